"""`descent runs`, `show` and `rm` are how a person finds, reads and loses results."""

import fcntl
import io
import json
import os
import pty
import re
import shutil
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from descent.common.errors import DescentError, ExitCode
from descent.loop.folder import make
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics, MetricsWriter
from engine import cli
from tests.helpers.held_run import Held
from tests.helpers.processes import Child, Done
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]
Capture = pytest.CaptureFixture[str]
KOREAN = "한글-이름의-실행"
LONG = "a-name-of-many-words-that-somebody-has-given-to-their-run-to-find-it-again-later"


@pytest.fixture
def copied(finished: tuple[Done, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`copied(id)` is the folder of a real run of that id, in ./runs."""
    monkeypatch.chdir(tmp_path)
    assert finished[0].code == 0, finished[0]

    def copy(run_id: str) -> Path:
        return Path(shutil.copytree(finished[1] / "runs" / "whole", tmp_path / "runs" / run_id))

    return copy


def test_the_speed_of_slow_steps_is_not_none(copied: Callable[..., Path], capsys: Capture) -> None:
    """Steps of ten seconds would read "0 step/s"."""
    run = copied("slow")
    stored = Metrics(run)
    assert stored.layout is not None
    rows = stored.rows()
    rows[:, :, stored.layout.columns.index("time")] = 10.0 * np.arange(1, 1 + len(rows))[:, None]
    writer = MetricsWriter(run, 0)
    writer.append(rows)
    writer.close()
    assert cli.main(["show", str(run)]) == 0
    assert ", 0.100 step/s" in capsys.readouterr().out


def on_terminal(descent: Descent, words: list[str], columns: int, typed: str = "") -> list[str]:
    """The lines that `descent` prints on a terminal of that width."""
    window, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(window, typed.encode())
    read: list[bytes] = []

    def collect() -> None:
        try:
            while data := os.read(window, 4096):
                read.append(data)
        except OSError:
            pass  # nobody holds the terminal any more

    reader = threading.Thread(target=collect)
    child = descent(*words, stdout=inside, prepare=lambda: os.dup2(inside, 0))
    os.close(inside)
    reader.start()
    done = child.end()
    reader.join()
    os.close(window)
    assert done.code == 0, done
    styled = b"".join(read).decode().replace("\r", "")
    return re.sub(r"\x1b\[[\d;]*m", "", styled).splitlines()


# --- runs ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_runs_as_a_table_that_can_be_piped(copied: Callable[..., Path], capsys: Capture) -> None:
    """`descent runs | grep` would find cut-off ids, or miss a run."""
    copied("first")
    copied(LONG)
    assert cli.main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["RUN", "PRESET", "STATE", "STEP", "LOSS", "VAL", "TEST", "STARTED"]
    row = next(line for line in lines if line.startswith(LONG)).split()
    assert row[1:5] == ["digits-mlp", "✓", "finished", "800"]
    assert row[6].endswith("%")
    assert cli.main(["runs", "FIRST"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["RUN", "first"]
    assert cli.main(["runs", "failed"]) == 0
    assert capsys.readouterr().out == 'no runs whose id or state contains "failed"\n'


def test_a_collapsed_run_is_marked(copied: Callable[..., Path], capsys: Capture) -> None:
    """A model that guesses would be a green ✓ in the table, and its details would not say why it is none."""
    folder = copied("guess")
    events = (folder / "events.jsonl").read_text().splitlines()
    events.insert(-1, json.dumps({"time": 1, "event": "collapse", "step": 60, "since": 10, "why": "loss"}))
    (folder / "events.jsonl").write_text("\n".join(events) + "\n")
    assert cli.main(["runs", "collapsed"]) == 0
    assert "✗ collapsed" in capsys.readouterr().out
    assert cli.main(["show", "guess"]) == 0
    assert re.search(r"verdict +collapsed at step 10\n", capsys.readouterr().out)
    assert cli.main(["show", "guess", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["kind"] == "collapsed"


def test_the_runs_as_json(copied: Callable[..., Path], capsys: Capture, tmp_path: Path) -> None:
    """A script could not compare runs."""
    folder = copied("first")
    assert cli.main(["runs", "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)["runs"]
    assert entry["run"] == "first"
    assert entry["dir"] == str(folder)
    assert entry["preset"] == "digits-mlp"
    assert entry["metrics"]["test_accuracy"] > 0.9
    assert cli.main(["runs", "--json", "--runs-dir", str(tmp_path / "nowhere")]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": []}
    listed = []
    copied("second")
    for options in ([], ["--latest", "1"]):
        assert cli.main(["runs", "--json", *options]) == 0
        listed.append([entry["run"] for entry in json.loads(capsys.readouterr().out)["runs"]])
    assert len(listed[0]) == 2
    assert listed[1] == listed[0][:1]


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_start_that_failed_says_why_and_is_cleared_unasked(descent: Descent, tmp_path: Path) -> None:
    """Mistyped starts in the background would look like runs, and each would have to be asked for its reason."""
    (tmp_path / "bad.csv").write_text("a,y\n1,0\nnan,1\n" + "2,0\n" * 20)
    words = ("--set", 'data={name="csv", path="bad.csv", target="y"}', "--set", "train.epochs=1", "--id", "bad")
    assert descent("run", "linear-regression", *words, "--detach", cwd=tmp_path).end().code == 0
    run = RunFolder(tmp_path / "runs" / "bad")
    wait_for(lambda: run.state() == "failed", "the failure")
    listed = descent("runs", cwd=tmp_path).end().out
    assert "failed at start" in listed
    assert "is missing" in listed
    late = descent("stop", "bad", cwd=tmp_path).end()
    assert late.code == 2
    assert "is missing" in late.err
    assert "start a new run" in late.err
    assert "descent resume" not in late.err  # which would fail the same way
    assert descent("rm", "bad", cwd=tmp_path).end().code == 0
    assert not run.path.exists()


def test_where_no_worker_can_begin_no_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list would fill with runs that never were."""
    from engine.launch import start
    from engine.launch.options import Options

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DescentError, match="ended at once"):
        start.detach("linear-regression", (), Options("never", tmp_path))
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_of_a_named_folder_only_its_runs(finished: tuple[Done, Path], descent: Descent, tmp_path: Path) -> None:
    """Runs of other projects would be mixed in with those that were asked for."""
    assert descent("run", "digits-mlp", "--set", "train.epochs=1", "-q", "--id", "here").end().code == 0
    (tmp_path / "elsewhere").mkdir()
    words = ("runs", "--json")
    assert [run["run"] for run in descent(*words, cwd=tmp_path / "elsewhere").end().json["runs"]] == ["here"]
    there = str(finished[1] / "runs")
    assert [run["run"] for run in descent(*words, "--runs-dir", there).end().json["runs"]] == ["whole"]


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_nothing_is_wider_than_it(columns: int, copied: Callable[..., Path], descent: Descent) -> None:
    """Lines would break in two, and a Korean name, of double width, push the columns apart."""
    for run_id in ("digits-mlp-261003-101500-abcd", KOREAN, LONG):
        facts = copied(run_id) / "run.json"
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"started": time.time() - 50 * 60}))
    lines = on_terminal(descent, ["runs"], columns)
    assert max(map(cell_len, lines)) <= columns
    text = "\n".join(lines)
    assert "digits-mlp-261003-101500-abcd" in text
    assert KOREAN in text
    assert LONG in "".join(line.split(" ")[0] for line in lines)  # folded, not cut
    ends = {cell_len(line[: line.index("finished")]) for line in lines if "finished" in line}
    assert len(ends) == 1
    for run_id in (KOREAN, LONG):
        shown = on_terminal(descent, ["show", run_id], columns)
        assert max(map(cell_len, shown)) <= columns
        assert any("→" in line and line.startswith("loss") for line in shown)


def test_a_hostile_name_is_shown_and_not_obeyed(copied: Callable[..., Path], capsys: Capture) -> None:
    """A folder from somebody else could recolour the terminal, or hide itself."""
    copied("\x1b[31mred\x07")
    copied("[bold]x[")
    assert cli.main(["runs"]) == 0
    shown = capsys.readouterr().out
    assert "[31mred" in shown
    assert "[bold]x[" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert cli.main(["show", "[bold]x["]) == 0
    assert "[bold]x[" in capsys.readouterr().out


def test_a_terminal_without_utf8(copied: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster's node with LC_ALL=C, each sign would be a \\u2014 or a traceback."""
    copied("mine")
    for words in (["runs"], ["show", "mine"]):
        screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", screen)
            assert cli.main(words) == 0
        text = screen.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
        assert "mine" in text
        assert "\\u" not in text


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["show", "mine"], ["show", "mine", "--json"]])
def test_a_reader_that_leaves_is_no_error(words: list[str], copied: Callable[..., Path], descent: Descent) -> None:
    """`descent runs | head -1` would end in a traceback, or fail a script."""
    copied("mine")
    reader, writer = os.pipe()
    os.close(reader)
    assert descent(*words, stdout=writer).end() == Done(0, "", "")


def spoil(name: str, content: bytes) -> Callable[[Path], None]:
    def spoiled(run: Path) -> None:
        (run / name).write_bytes(content)

    spoiled.__name__ = f"{name}: {content[:20]!r}"
    return spoiled


DAMAGE = [
    spoil("run.json", b'{"device": "cpu", "thre'),
    spoil("run.json", b"[]"),
    spoil("run.json", b'{"steps_per_epoch": 0.5, "started": "yesterday"}'),
    spoil("metrics.json", b""),
    spoil("metrics.json", b'{"columns": [], "members": [], "layers": []}'),
    spoil("metrics.json", b"\xff\xfe" * 100),
    spoil("events.jsonl", b'{"event": "state", "state": ["running"]}\n'),
    spoil("events.jsonl", b'{"event": "state", "state": "finished"}\n{"event": "resumed"}\n'),
    spoil("metrics/9-99999999999999.f32", b""),
]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_run_hides_no_other_and_can_be_removed(
    damage: Callable[[Path], None], copied: Callable[..., Path], capsys: Capture
) -> None:
    """After a crash of the disk no run at all could be listed."""
    copied("good")
    damaged = copied("mine")
    damage(damaged)
    assert cli.main(["runs", "--json"]) == 0
    listed = {run["run"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
    assert listed["good"]["state"] == "finished"
    assert listed["mine"]["state"] == "damaged"
    assert cli.main(["runs"]) == 0
    assert "mine: damaged: " in capsys.readouterr().out
    assert cli.main(["show", "mine"]) == ExitCode.WRONG_USE
    assert "damaged: " in capsys.readouterr().err
    assert cli.main(["rm", "mine", "--yes"]) == 0
    assert not damaged.exists()


# --- show ------------------------------------------------------------------------------------------------


def test_show_says_what_matters(copied: Callable[..., Path], capsys: Capture) -> None:
    """A person would have to open the run's files to learn what came of it."""
    folder = copied("mine")
    assert cli.main(["show", "last"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine"
    fields = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines[1:]}
    assert fields["state"] == "✓ finished"
    assert fields["step"] == "800 of 800, epoch 20"
    assert fields["parameters"] == "4,810"
    assert fields["loss"].startswith("▇")
    assert fields["lr"] == "0.1"
    assert fields["test"].startswith("loss 0.")
    assert fields["checkpoints"].endswith(", 800")
    assert fields["folder"] == str(folder)
    assert cli.main(["show", "mine", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["checkpoints"][-1] == 800
    assert shown["facts"]["total_steps"] == 800
    assert shown["metrics"]["val_accuracy"] > 0.9


def test_show_says_what_the_worker_warned_of(copied: Callable[..., Path], capsys: Capture) -> None:
    """Nobody reads what a run in the background says when it goes on; what an earlier start said is over."""
    events = Events(copied("warned"))
    events.write("warning", message="of the first start")
    for state in ("starting", "running"):
        events.state(state)  # type: ignore[arg-type]
    for _ in range(2):
        events.write("warning", message="made again at\x1b[31m step 3")
    assert cli.main(["show", "warned"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert lines == ["warning        made again at[31m step 3"]
    assert cli.main(["show", "warned", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == ["made again at\x1b[31m step 3"]


def test_show_says_why_a_run_failed(copied: Callable[..., Path], capsys: Capture) -> None:
    """The reason of a failure in the night would be gone with its terminal."""
    events = Events(copied("mine"))
    events.state("failed", reason="the loss became NaN")
    events.close()
    assert cli.main(["show", "mine"]) == 0
    assert "✗ failed: the loss became NaN" in capsys.readouterr().out


def test_a_name_that_fits_several_or_none(copied: Callable[..., Path], capsys: Capture) -> None:
    """The wrong run would be shown, or removed."""
    copied("mine-1")
    copied("mine-2")
    assert cli.main(["show", "mine"]) == ExitCode.WRONG_USE
    assert "more than one run" in capsys.readouterr().err
    assert cli.main(["rm", "mine", "--yes"]) == ExitCode.WRONG_USE
    assert cli.main(["show", "mien-1"]) == ExitCode.WRONG_USE
    assert "did you mean mine-1?" in capsys.readouterr().err


# --- rm --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_removing_asks_first(copied: Callable[..., Path], descent: Descent) -> None:
    """A slip of the finger would cost a week's training."""
    folder = copied("mine")
    done = descent("rm", "mine", prepare=lambda: os.dup2(os.open(os.devnull, os.O_RDONLY), 0)).end()
    assert done.code == ExitCode.WRONG_USE
    assert "--yes" in done.err
    assert on_terminal(descent, ["rm", "mine"], 120, "n\n")[-1].endswith("kept")
    assert folder.exists()
    assert "deleted" in on_terminal(descent, ["rm", "mine"], 120, "y\n")[-1]
    assert not folder.exists()


@pytest.mark.slow
def test_a_run_that_trains_is_not_removed(descent: Descent, held: Held, runs: Path) -> None:
    """A training would lose the ground under its feet."""
    child = descent(*held.start)
    held.wait()
    done = descent("rm", "mine", "--yes").end()
    assert done.code == ExitCode.WRONG_USE
    assert f"in process {child.pid}" in done.err
    assert descent("runs", "running").end().out.splitlines()[1].split()[:4] == ["mine", "held", "▶", "running"]
    held.release()
    assert child.end().code == 0
    assert descent("rm", "mine", "--yes").end().code == 0
    assert not list(runs.iterdir())


def test_what_descent_did_not_write_is_not_removed(copied: Callable[..., Path], capsys: Capture) -> None:
    """`descent rm .` in a folder that holds a preset.toml would delete everything else in it."""
    folder = copied("mine")
    (folder / "thesis.tex").write_text("years of work")
    assert cli.main(["rm", str(folder), "--yes"]) == ExitCode.WRONG_USE
    assert "thesis.tex; nothing was deleted" in capsys.readouterr().err
    assert (folder / "preset.toml").exists()


def test_of_a_loop_that_starts_it_is_said_that_exactness_is_not_known(tmp_path: Path, capsys: Capture) -> None:
    """A fork that loads for a minute would be shown without a word on whether it goes on exactly."""
    begun = {"script": None, "command": [], "arguments": [], "folder": str(tmp_path)}
    folder = make("train", "mine", tmp_path, begun)
    assert cli.main(["show", str(folder.path)]) == ExitCode.DONE
    assert re.search(r"exact +not known before its first step", capsys.readouterr().out)
