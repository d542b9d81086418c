"""What is said of a run must be what is so: its state, its id, what a resume has voided.

A run's id is a folder's name and a word that people type: a strange preset must not make it a trap.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import DescentError
from descent.run import state
from descent.run.events import Events
from descent.run.folder import RunFolder, check_id, create, new_id
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
    with pytest.raises(DescentError, match="already has a run of this name"):
        create(folder.path.parent, "mine", "title = 'y'\n", {})
    assert folder.preset.read_text() == "title = 'x'\n"
    assert [p.name for p in folder.path.parent.iterdir()] == ["mine"]


def test_a_runs_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DescentError, match=r"--runs-dir"):
        create(tmp_path / "file" / "runs", "mine", "", {})


@pytest.mark.slow
def test_a_killed_worker_is_told_from_a_live_one_by_its_lock(folder: RunFolder) -> None:
    """A command would be sent where the worker before has listened, or a run be resumed twice."""
    Events(folder.path).state("paused", step=7)  # of a worker that was killed
    assert folder.state() == "lost"
    code = (
        "import sys, pathlib\n"
        "from descent.run.events import Events; from descent.run.lock import WorkerLock\n"
        "run = pathlib.Path(sys.argv[1]); lock = WorkerLock(run)\n"
        "print('locked', flush=True); sys.stdin.readline()\n"
        "Events(run).state('running', step=0); lock.announce()\n"
        "print('announced', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert worker.stdout.readline() == "locked\n"
        assert worker_pid(folder.path) == worker.pid
        assert folder.state() == "starting"  # what the log says is another's
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "announced\n"
        assert worker_pid(folder.path) == worker.pid
        assert folder.state() == "running"
        with pytest.raises(DescentError, match=f"in process {worker.pid}"):
            WorkerLock(folder.path)
        assert folder.state() == "running"
        os.kill(worker.pid, signal.SIGKILL)
    assert worker_pid(folder.path) is None
    assert folder.state() == "lost"


def test_a_worker_that_ends_while_it_is_looked_at_is_not_lost(folder: RunFolder, monkeypatch: Any) -> None:
    """It says how it ended and lets go of its lock, both after the log was read and before the lock was."""
    Events(folder.path).state("running", step=0)

    def pid(of: Path) -> None:
        Events(folder.path).state("stopped", step=3)

    monkeypatch.setattr(state, "worker_pid", pid)
    assert folder.state() == "stopped"


def test_a_run_of_another_machine_is_believed(folder: RunFolder) -> None:
    (folder.path / "run.json").write_text('{"host": "another-host", "started": 1.0}')
    Events(folder.path).state("running", step=0)
    assert folder.state() == "running"
    assert folder.host() == "another-host"


def test_going_back_voids_later_results_and_nothing_else(folder: RunFolder) -> None:
    events = Events(folder.path)
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
    Events(folder.path).write("evaluation", step=1, split="test", loss=float("nan"), accuracy=float("inf"))
    last = folder.last("evaluation")
    assert last is not None
    assert last["loss"] is None
    assert last["accuracy"] is None


@pytest.mark.parametrize(
    ("preset", "stem"),
    [
        ("digits-mlp", "digits-mlp"),
        ("my preset\n", "my-preset"),
        ("a/b\x1b[31m;rm", "a-b[31m-rm"),
        ("../..", "run"),
        ("-rf", "rf"),
        ("~", "run"),
        ("한글 이름", "한글-이름"),
        ("가" * 200, "가" * 40),
        ("x" * 300, "x" * 60),
    ],
)
def test_an_id_is_safe_whatever_the_preset_is_called(preset: str, stem: str) -> None:
    """The folder would lie elsewhere, drive the terminal, or have a name too long to make."""
    made = new_id(preset)
    assert re.fullmatch(re.escape(stem) + r"-\d{6}-\d{6}-[a-z]{4}", made)
    check_id(made)
    assert len(made.encode()) < 200


@pytest.mark.parametrize("wanted", ["last", "", " ", ".", "..", "a/b", "-x", "~x", "a\nb", "x" * 101, "가" * 90])
def test_an_id_that_could_not_be_found_again_is_refused(wanted: str) -> None:
    """`descent resume last` would mean two things, or a folder outside of the runs be written."""
    with pytest.raises(DescentError, match="--id"):
        check_id(wanted)


def test_any_plain_name_is_allowed() -> None:
    """A batch system's job name would be refused."""
    for wanted in ("mine", "job_17.3", "실험 1", "a b", "LAST"):
        check_id(wanted)
