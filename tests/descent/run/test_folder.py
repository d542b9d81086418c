"""What is said of a run must be what is so: its state, its id, what a resume has voided."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import DescentError
from descent.run import state
from descent.run.events import Events
from descent.run.folder import RunFolder, create
from descent.run.lock import WorkerLock, worker_pid


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create(tmp_path / "runs", "mine", "title = 'x'\n", {"net.py": b"pass"})


def test_a_new_run_is_private_and_holds_what_it_was_started_with(folder: RunFolder) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.preset.read_text() == "title = 'x'\n"
    assert (folder.path / "code" / "net.py").read_bytes() == b"pass"
    assert folder.state() == "starting"


def test_an_id_is_given_once_and_the_first_run_is_not_touched(folder: RunFolder) -> None:
    with pytest.raises(DescentError, match="there is such a run"):
        create(folder.path.parent, "mine", "title = 'y'\n", {})
    assert folder.preset.read_text() == "title = 'x'\n"
    assert [p.name for p in folder.path.parent.iterdir()] == ["mine"]


def test_a_runs_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DescentError, match=r"--runs-dir"):
        create(tmp_path / "file" / "runs", "mine", "", {})


def test_a_killed_worker_is_told_from_a_live_one_by_its_lock(folder: RunFolder) -> None:
    code = (
        "import sys, pathlib\n"
        "from descent.run.events import Events; from descent.run.folder import RunFolder\n"
        "from descent.run.lock import WorkerLock\n"
        "f = RunFolder(pathlib.Path(sys.argv[1])); lock = WorkerLock(f); Events(f).state('running', step=0)\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        assert worker_pid(folder.path) == worker.pid
        assert folder.state() == "running"
        with pytest.raises(DescentError, match=f"in process {worker.pid}"):
            WorkerLock(folder)
        assert folder.state() == "running"
        os.kill(worker.pid, signal.SIGKILL)
    assert worker_pid(folder.path) is None
    assert folder.state() == "lost"


def test_a_worker_that_ends_while_it_is_looked_at_is_not_lost(folder: RunFolder, monkeypatch: Any) -> None:
    """It says how it ended and lets go of its lock, both after the log was read and before the lock was."""
    Events(folder).state("running", step=0)

    def pid(of: Path) -> None:
        Events(folder).state("stopped", step=3)

    monkeypatch.setattr(state, "worker_pid", pid)
    assert folder.state() == "stopped"


def test_a_run_of_another_machine_is_believed(folder: RunFolder) -> None:
    (folder.path / "run.json").write_text('{"host": "another-host"}')
    Events(folder).state("running", step=0)
    assert folder.state() == "running"
    assert folder.host() == "another-host"


def test_going_back_voids_later_results_and_nothing_else(folder: RunFolder) -> None:
    events = Events(folder)
    events.state("running", step=0)
    for step in (10, 20, 30):
        events.write("evaluation", step=step, split="validation", loss=1.0 / step)
    events.write("resumed", to=20)
    assert [e["step"] for e in folder.events() if e["event"] == "evaluation"] == [10, 20]
    events.write("evaluation", step=25, split="validation", loss=0.5)
    last = folder.last("evaluation", split="validation")
    assert last is not None
    assert last["step"] == 25
    assert folder.last("evaluation", split="test") is None


def test_numbers_that_json_cannot_hold_become_null(folder: RunFolder) -> None:
    Events(folder).write("evaluation", step=1, split="test", loss=float("nan"), accuracy=float("inf"))
    last = folder.last("evaluation")
    assert last is not None
    assert last["loss"] is None
    assert last["accuracy"] is None
