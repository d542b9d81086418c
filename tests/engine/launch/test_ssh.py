"""A laptop that is closed, or a link that drops, must cost the training nothing: the next login finds it going on."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from tests.helpers.held_run import Held
from tests.helpers.processes import Child
from tests.helpers.sshd import Machine, machine
from tests.helpers.waiting import wait_for

__all__ = ["machine"]  # a fixture
LONG = "--set train.epochs=1000000 --set train.evaluate_every=1000 --set train.threads=1 --set data.size=400"


def has_terminal(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] != "0"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["in the foreground", "in the background"])
def test_the_link_breaks_and_the_next_login_goes_on(how: str, machine: Machine, tmp_path: Path, runs: Path) -> None:
    folder = RunFolder(runs / "mine")
    start = f"run digits-mlp {LONG} --id mine"
    script = f"descent {start}" if how == "in the foreground" else f"descent {start} --detach; cat"
    # -tt: a terminal, as a person has; the shell and what it runs get SIGHUP when the link breaks.
    with open(tmp_path / "seen", "wb") as seen:
        client = subprocess.Popen(machine.command(script, "-tt"), stdin=subprocess.PIPE, stdout=seen, stderr=seen)
    wait_for(lambda: folder.path.exists() and len(Metrics(folder.path)) > 100, "the run")
    pid = worker_pid(folder.path)
    assert pid is not None
    assert has_terminal(pid) == (how == "in the foreground")
    client.kill()
    client.communicate()
    wait_for(lambda: not has_terminal(pid), "word of the broken link")
    reached = len(Metrics(folder.path))
    wait_for(lambda: len(Metrics(folder.path)) > reached + 1000, "more steps without anybody there")

    shown, paused = machine.answers("show mine", "pause mine")
    assert shown["state"] == "running"
    assert reached < shown["step"] <= paused["step"] == len(Metrics(folder.path))
    shown, resumed, stopped = machine.answers("show mine", "resume mine", "stop mine")
    assert shown["state"] == "paused"
    assert resumed["step"] == paused["step"]
    assert Path(stopped["checkpoint"]) == folder.checkpoint(stopped["step"])
    assert Path(stopped["checkpoint"]).exists()
    wait_for(lambda: worker_pid(folder.path) is None, "the end of the worker")
    assert folder.state() == "stopped"
    assert len(Metrics(folder.path)) == stopped["step"]


@pytest.mark.slow
def test_a_shell_that_ends_takes_no_run_with_it(descent: Callable[..., Child], held: Held, runs: Path) -> None:
    """A login shell that is hung up passes SIGHUP on to all that it started."""
    child = descent(*held.start, prepare=os.setsid)
    held.wait()
    os.killpg(child.pid, signal.SIGHUP)
    held.release()
    assert child.end().code == 0
    assert RunFolder(runs / "mine").state() == "finished"
