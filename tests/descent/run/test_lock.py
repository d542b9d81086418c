"""Who trains a run must be known while it starts, and its own worker may ask too."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from descent.common.errors import DescentError
from descent.run import state
from descent.run.events import Events
from descent.run.folder import Claim, RunFolder, create
from descent.run.lock import announced_pid, worker_pid


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return create(tmp_path, "mine", "", {})


def test_a_worker_that_asks_keeps_its_lock(run: RunFolder) -> None:
    """A script that lists the runs would let go of its own, which would be shown as lost and could be taken."""
    claim = Claim(run)
    assert (worker_pid(run.path), announced_pid(run.path), run.state()) == (os.getpid(), os.getpid(), "starting")
    code = (
        "import pathlib, sys; from descent.run.lock import worker_pid; print(worker_pid(pathlib.Path(sys.argv[1])))"
    )
    ask = [sys.executable, "-c", code]
    assert subprocess.check_output([*ask, str(run.path)], text=True).strip() == str(os.getpid())
    with pytest.raises(DescentError, match="training already"):
        Claim(run)
    claim.release()
    assert worker_pid(run.path) is None


def test_a_start_that_takes_long_is_no_lost_run(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that imports PyTorch for a minute would be given up, and be started a second time."""
    monkeypatch.setattr(state, "STARTING_GRACE", -1.0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        Events(run.path).awaited(waiting.pid)
        assert run.state() == "starting"
        waiting.communicate(b"\n")
    assert run.state() == "lost"
    assert not state.is_alive_since(os.getpid(), time.time() - 1e6)  # the number of a process that came later
