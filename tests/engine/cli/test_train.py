"""What `descent run` and `descent resume` print and answer is all that a person or a batch job learns of a run."""

import json
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from descent.common.errors import ExitCode
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from tests.helpers.held_run import Held
from tests.helpers.processes import Child, Done
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]


def test_json_is_one_object_on_the_last_line(finished: tuple[Done, Path]) -> None:
    """A script could not read what a run has reached."""
    done, folder = finished
    assert done.code == 0, done
    assert len(done.out.splitlines()) == 1
    found = json.loads(done.out)
    assert set(found) == set("run dir state step epoch seconds metrics device threads".split())  # noqa: SIM905
    assert found | {"seconds": 0, "metrics": 0} == {
        "run": "whole", "dir": str(folder / "runs" / "whole"), "state": "finished", "step": 800, "epoch": 20,
        "seconds": 0, "metrics": 0, "device": found["device"], "threads": found["threads"],
    }  # fmt: skip
    assert found["seconds"] > 0
    metrics = found["metrics"]
    assert set(metrics) == {"train_loss", "val_loss", "val_accuracy", "test_loss", "test_accuracy"}
    rows = Metrics(folder / "runs" / "whole").column("loss")
    samples = [32] * 39 + [10]  # of 1,258 for training
    assert metrics["train_loss"] == pytest.approx(np.average(rows[-40:].astype(np.float64), weights=samples))
    assert metrics["test_accuracy"] > 0.9


def test_with_json_the_progress_is_on_stderr(finished: tuple[Done, Path]) -> None:
    """A batch job's log would be empty until the end, or its JSON mixed with other lines."""
    assert len(re.findall(r"^epoch +\d+ ", finished[0].err, re.MULTILINE)) == 20


@pytest.mark.slow
def test_without_a_terminal_there_is_a_plain_line_an_epoch(descent: Descent) -> None:
    """A log file would hold escape sequences and half-drawn bars."""
    done = descent("run", "digits-mlp", "--set", "train.epochs=5", "--id", "mine").end()
    assert done.code == 0, done
    assert done.out.startswith("run mine\n")
    epochs = [line for line in done.out.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 5
    assert all(re.search(r"loss [\d.]+ .*val [\d.]+, \d+\.\d%.* step/s", line) for line in epochs)
    assert "\x1b" not in done.out
    assert "checkpoints/step-200.pt" in done.out


@pytest.mark.slow
def test_quiet_prints_nothing(descent: Descent) -> None:
    """A cron job would send a mail after each run."""
    done = descent("run", "digits-mlp", "--set", "train.epochs=1", "--set", "train.batchsize=16", "-q").end()
    assert "did you mean batch_size?" in done.err  # an error is no chatter
    done = descent("run", "digits-mlp", "--set", "train.epochs=1", "-q").end()
    assert done == Done(0, "", "")


@pytest.fixture
def terminal() -> Iterator[Callable[..., str]]:
    """`terminal(words …)` is tmux's answer, from a server of the test's own."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    name = f"descent-{uuid.uuid4().hex[:8]}"

    def tmux(*words: str) -> str:
        done = subprocess.run(["tmux", "-L", name, *words], capture_output=True, text=True, check=False)
        return done.stdout

    yield tmux
    tmux("kill-server")


@pytest.mark.slow
def test_on_a_terminal_it_draws_the_numbers_of_this_moment(terminal: Callable[..., str], tmp_path: Path) -> None:
    """A person would see wrapped or torn lines, or miss what matters; Ctrl-C would leave no cursor."""
    sizes = {"small": (80, 24), "large": (120, 40)}
    for name, (width, height) in sizes.items():
        words = f"{sys.executable} -m descent run digits-mlp --set train.epochs=5000 --id {name}"
        command = f"trap : INT; {words}; echo exit code $?; exec cat"
        size = ("-x", str(width), "-y", str(height))
        settings = ("-e", f"XDG_STATE_HOME={tmp_path}", "-e", f"DESCENT_RUNS={tmp_path}/runs")
        terminal("new-session", "-d", "-s", name, *size, *settings, command)

    def screen(name: str, *options: str) -> list[str]:
        lines = terminal("capture-pane", "-p", "-t", name, *options).splitlines()
        return [line for line in lines if line.strip()]

    def drawn(name: str) -> list[str] | None:
        lines = screen(name)
        return lines if "validation loss 0." in "\n".join(lines) and lines[-1].startswith("train loss") else None

    for name, (width, height) in sizes.items():
        lines = wait_for(lambda name=name: drawn(name), f"a frame at {name} size")
        bar, pace, learned = lines[-3:]
        assert re.fullmatch(r"digits-mlp +[━╸╺]+ +\d+%  ETA \d+(:\d\d)+", bar)
        assert len(bar) == width
        assert re.fullmatch(
            r"epoch \d+/5000  step +[\d,]+/200,000 +[\d,.]+ step/s  lr 0.1( +grad norm \S+)?", pace.rstrip()
        )
        assert re.fullmatch(
            r"train loss \S+ +accuracy \d+\.\d% +validation loss \S+ +accuracy \d+\.\d%", learned.rstrip()
        )
        assert sum("ETA" in line for line in lines) == 1  # no remains of earlier frames
        assert len(lines) <= height
        if width == 120:
            # No line goes on in the next. Between the two looks, a number may change.
            wait_for(lambda name=name: screen(name) == screen(name, "-J"), "lines that end where they are cut")
        terminal("send-keys", "-t", name, "C-c")
    for name in sizes:
        wait_for(lambda name=name: "exit code" in "\n".join(screen(name)), f"the end of {name}")
        text = "\n".join(screen(name, "-J"))
        assert f"descent resume {name}" in text
        assert "stopped at step" in text
        assert "ETA" not in text
        assert "exit code 130" in text
        assert terminal("display-message", "-p", "-t", name, "#{cursor_flag}").strip() == "1"


# --- ids, and going on with a run ------------------------------------------------------------------------


def test_an_id_that_is_taken_is_refused_and_its_run_untouched(finished: tuple[Done, Path], descent: Descent) -> None:
    """A second job of the same name would overwrite the first one's results."""
    _, folder = finished
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")}
    done = descent("run", "digits-mlp", "--id", "whole", cwd=folder).end()
    assert done.code == ExitCode.WRONG_USE
    assert "already has a run of this name" in done.err
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*")} == before


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(finished: tuple[Done, Path], descent: Descent) -> None:
    """A batch job that is started again would train again, or fail."""
    told, folder = finished
    again = ("run", "digits-mlp", "--id", "whole", "--resume-if-exists")
    for words in (("resume", "whole"), again):
        done = descent(*words, "--json", cwd=folder).end()
        assert done.code == 0, done
        assert done.json == told.json
        assert "finished" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits-mlp", "--set", 'train.on_nan="continue"'], "train.on_nan = stop, not continue"),
        (["digits-mlp", "--set", "train.epochs=7"], "train.epochs = 20, not 7; take another --id"),
        (["digits-mlp", "--set", "model.dropout=0.5", "--set", "optimizer.lr=1"], "optimizer.lr = 0.1, not 1.0"),
        (["moons-mlp"], "data.name = digits, not moons, .* more; take another --id"),
    ],
)
def test_another_run_of_that_name_is_not_gone_on_with(
    words: list[str], said: str, finished: tuple[Done, Path], descent: Descent
) -> None:
    """A batch job would report the result of settings that it did not ask for."""
    done = descent("run", *words, "--id", "whole", "--resume-if-exists", "--json", cwd=finished[1]).end()
    assert done.code == ExitCode.WRONG_USE, done
    assert re.search(f"whole was started with .*{said}", done.err), done


def test_a_run_whose_facts_are_damaged_is_named(finished: tuple[Done, Path], descent: Descent, runs: Path) -> None:
    """Resuming it would be called a bug of Descent."""
    shutil.copytree(finished[1] / "runs" / "whole", runs / "mine")
    (runs / "mine" / "run.json").write_text("garbage")
    done = descent("resume", "mine").end()
    assert done.code == ExitCode.WRONG_USE, done
    assert "run mine: run.json is damaged: Expecting" in done.err


@pytest.mark.slow
def test_the_idempotent_form_starts_then_goes_on(descent: Descent, held: Held, runs: Path) -> None:
    """A requeued batch job would begin again, or refuse to begin at all."""
    words = [*held.start, "--resume-if-exists"]
    child = descent(*words)
    held.wait()
    child.send(signal.SIGTERM)
    held.release()
    assert child.end().code == 143
    done = descent(*words).end()
    assert done.code == 0, done
    assert "resumed at step 25" in done.out
    assert RunFolder(runs / "mine").state() == "finished"
    assert descent("run", "digits-mlp", "--resume-if-exists").end().code == ExitCode.WRONG_USE


@pytest.mark.slow
def test_of_two_that_resume_one_run_one_wins(descent: Descent, held: Held, runs: Path) -> None:
    """Two workers would write one run's rows."""
    child = descent(*held.start)
    held.wait()
    folder = RunFolder(runs / "mine")
    done = descent("resume", "mine").end()
    assert done.code == ExitCode.WRONG_USE
    assert f"in process {child.pid}" in done.err
    child.send(signal.SIGKILL)
    wait_for(child.has_ended, "its end")

    both = [descent("resume", "mine"), descent("resume", "mine")]
    wait_for(lambda: any(one.has_ended() for one in both), "the loser's end")
    assert worker_pid(folder.path) in [one.pid for one in both]
    held.release()
    ended = sorted((one.end() for one in both), key=lambda done: done.code)
    assert [done.code for done in ended] == [0, ExitCode.WRONG_USE], ended
    assert "nothing was changed" in ended[1].err
    assert folder.state() == "finished"
    assert len(Metrics(folder.path)) == 130
