"""What happens around a training, from Ctrl-C to a closed laptop, must cost nothing that was learned."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from tests.helpers.held_run import Held
from tests.helpers.processes import DESCENT, Child, Done, reopen_streams
from tests.helpers.unread_terminal import unread_terminal
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]


def full_pipe() -> int:
    """The writing end of a pipe that takes no more, and that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"." * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    os.set_inheritable(reader, True)
    return writer


def pipe_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def terminal_without_window() -> int:
    window, worker_end = pty.openpty()
    os.close(window)
    return worker_end


@pytest.mark.slow
@pytest.mark.parametrize("stdout", [full_pipe, unread_terminal, pipe_without_reader, terminal_without_window])
def test_nobody_reads_and_the_training_goes_on(stdout: Callable[[], int], descent: Descent, runs: Path) -> None:
    """A closed laptop would stop or fail a night's training."""
    done = descent("run", "digits-mlp", "--set", "train.epochs=3", "--id", "mine", stdout=stdout()).end()
    assert done.code == 0, done
    assert done.err == ""
    assert RunFolder(runs / "mine").state() == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("shown", [("--json",), ("--json", "--quiet")])
def test_a_result_that_nobody_reads_does_not_keep_the_command(
    shown: Sequence[str], descent: Descent, runs: Path
) -> None:
    """The next command of a night's script would never come."""
    words = ("run", "digits-mlp", "--set", "train.epochs=1", "--id", "mine", *shown)
    assert descent(*words, stdout=unread_terminal()).end().code == 0
    assert RunFolder(runs / "mine").state() == "finished"


@pytest.mark.slow
def test_an_error_that_nobody_reads_does_not_keep_the_command(descent: Descent) -> None:
    """A batch of runs would stand still for ever at the first wrong setting."""

    def stderr() -> None:
        os.dup2(unread_terminal(), 2)
        reopen_streams()

    words = ("run", "digits-mlp", "--set", "train.epochs=two", "--json")
    done = descent(*words, prepare=stderr).end()
    assert done.code == 2
    assert "train.epochs" in done.json["error"]


def close_streams() -> None:
    """As `descent … <&- >&- 2>&-` finds them."""
    for descriptor in range(3):
        os.close(descriptor)
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]


@pytest.mark.slow
def test_started_without_streams(descent: Descent, runs: Path) -> None:
    """A job of a scheduler that closes them would end in a traceback, or print into one of its run's files."""
    done = descent("run", "digits-mlp", "--set", "train.epochs=1", "--id", "mine", prepare=close_streams).end()
    assert done == Done(0, "", "")
    assert RunFolder(runs / "mine").state() == "finished"
    assert "epoch" not in RunFolder(runs / "mine").output.read_text()


# --- signals ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_end_it_saves_says_where_and_can_go_on(
    number: signal.Signals, code: int, descent: Descent, held: Held, runs: Path
) -> None:
    """Ctrl-C, or the end of a batch job's time, would cost the work since the last checkpoint."""
    child = descent(*held.start)
    held.wait()
    child.send(number)
    held.release()
    done = child.end()
    assert done.code == code, done
    run = RunFolder(runs / "mine")
    assert run.state() == "stopped"
    assert run.checkpoints()[-1] == len(Metrics(run.path)) == 25
    assert "stopped at step 25" in done.out
    assert str(run.checkpoint(25)) in done.out
    assert "descent resume mine" in done.out

    done = descent("resume", "last", "--json").end()
    assert done.code == 0, done
    assert done.json | {"metrics": 0, "seconds": 0} == {
        "run": "mine", "dir": str(run.path), "state": "finished", "step": 130, "epoch": 10, "seconds": 0,
        "metrics": 0, "device": "cpu", "threads": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_asked_twice_it_ends_at_once(descent: Descent, held: Held, runs: Path) -> None:
    """A second Ctrl-C would have to wait for a step, or a checkpoint, that takes for ever."""
    child = descent(*held.start)
    held.wait()
    child.send(signal.SIGINT)
    wait_for(lambda: "stopping" in child.printed(), "word of the first Ctrl-C")
    child.send(signal.SIGINT)
    assert child.end().code == 130
    assert RunFolder(runs / "mine").checkpoints() == [0]
    assert RunFolder(runs / "mine").state() == "lost"
    assert "ran out of memory; `descent resume mine` goes on from step 0" in descent("show", "mine").end().out


@pytest.mark.slow
def test_a_dropped_connection_costs_nothing(descent: Descent, held: Held) -> None:
    """An SSH link that drops would end the training."""
    child = descent(*held.start)
    held.wait()
    child.send(signal.SIGHUP)
    held.release()
    assert child.end().code == 0


@pytest.mark.slow
def test_ctrl_c_while_torch_is_loading_is_a_clean_end(tmp_path: Path) -> None:
    """A wrong preset, noticed at once, would end in a traceback and leave a run that looks alive."""
    words = [*DESCENT, "run", "digits-mlp", "--set", "train.epochs=1000000", "--id", "mine", "--runs-dir", tmp_path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        wait_for((tmp_path / "mine").exists, "the run's folder")
        started.send_signal(signal.SIGINT)
        out, err = started.communicate()
    assert started.returncode == 130, err
    assert err == ""
    assert "descent resume mine" in out
    assert RunFolder(tmp_path / "mine").state() == "stopped"


@pytest.mark.slow
def test_killed_for_real_and_resumed_it_finishes(descent: Descent, held: Held, tmp_path: Path, runs: Path) -> None:
    """A node that dies would cost the whole run."""
    started = subprocess.Popen([*DESCENT, *held.start], cwd=tmp_path, stdout=subprocess.DEVNULL)
    held.wait()
    started.kill()
    started.wait()
    held.release()
    run = RunFolder(runs / "mine")
    assert run.state() == "lost"
    done = descent("resume", "mine", "--json").end()
    assert done.code == 0, done
    assert done.json["state"] == run.state() == "finished"
    assert len(Metrics(run.path)) == 130
