"""After a crash, a reboot or a mistake, what is said of a run must be so, and one worker at most may train it."""

import json
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from descent.control import NotRunningError, RefusedError, send
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from tests.helpers.held_run import Held
from tests.helpers.processes import Child, kill
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow

Descent = Callable[..., Child]
STEPS = 130  # of the held preset


@pytest.fixture
def run(runs: Path) -> RunFolder:
    return RunFolder(runs / "mine")


def listens(run: RunFolder) -> bool:
    """Whether somebody answers on the run's socket, even in the middle of a step."""
    try:
        send(run.path, "no such command")
    except RefusedError as error:
        return "unknown command" in str(error)
    except NotRunningError:
        return False
    raise AssertionError("a command that does not exist was followed")


def test_a_machine_that_was_switched_off(descent: Descent, held: Held, run: RunFolder, tmp_path: Path) -> None:
    """A run that nobody trains any more would look alive for ever, and could not be resumed."""
    child = descent(*held.start)
    held.wait()
    after = RunFolder(tmp_path / "after" / "mine")  # the files of this moment, as a power cut leaves them; no locks
    shutil.copytree(run.path, after.path, ignore=shutil.ignore_patterns("control.sock"))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(after.path / "control.sock"))
    kill(child)
    held.release()
    assert after.state() == "lost"
    with pytest.raises(
        NotRunningError, match=f"mine is lost; continue with: descent resume {re.escape(str(after.path))}"
    ):
        send(after.path, "pause")
    done = descent("resume", str(after.path), "--json").end()
    assert done.code == 0, done
    assert after.state() == done.json["state"] == "finished"
    assert len(Metrics(after.path)) == STEPS
    assert not (after.path / "control.sock").exists()


def test_a_socket_that_a_killed_worker_left(descent: Descent, held: Held, run: RunFolder) -> None:
    """A run that was killed once could never be steered again."""
    child = descent(*held.start)
    held.wait()
    kill(child)
    assert stat.S_ISSOCK((run.path / "control.sock").stat().st_mode)
    assert not listens(run)
    (run.path.parents[1] / "reached").unlink()
    resumed = descent("resume", "mine")
    held.wait()
    assert listens(run)
    held.release()
    assert resumed.end().code == 0
    assert not (run.path / "control.sock").exists()


@pytest.mark.parametrize("how", ["started", "resumed"])
def test_of_four_at_once_one_trains(how: str, descent: Descent, held: Held, run: RunFolder) -> None:
    """Two workers in one folder would mix their rows."""
    words: tuple[str, ...] = (*held.start, "--resume-if-exists")
    if how == "resumed":
        lost = descent(*held.start)
        held.wait()
        kill(lost)
        (run.path.parents[1] / "reached").unlink()
        words = ("resume", "mine")
    waiting, gate = os.pipe()

    def wait_for_all() -> None:
        os.close(gate)
        os.read(waiting, 1)

    children = [descent(*words, prepare=wait_for_all) for _ in range(4)]
    os.close(gate)
    os.close(waiting)
    held.wait()
    wait_for(lambda: sum(child.has_ended() for child in children) == 3, "the end of three of them")
    (winner,) = [child for child in children if not child.has_ended()]
    assert worker_pid(run.path) == winner.pid
    assert listens(run)
    for child in children:
        if child is not winner:
            done = child.end()
            assert done.code == 2, done
            assert "already has a run of this name" in done.err or f"in process {winner.pid}" in done.err
    held.release()
    assert winner.end().code == 0
    assert run.state() == "finished"
    assert len(Metrics(run.path)) == STEPS


def test_a_run_of_another_host_is_left_alone(descent: Descent, held: Held, run: RunFolder) -> None:
    """On a cluster's shared disk, a run that trains on another node would be called lost, and be trained twice."""
    child = descent(*held.start)
    held.wait()
    kill(child)
    held.release()
    elsewhere(run)
    assert run.state() == "running"
    for words in (("resume", "mine"), ("run", "held.toml", "--id", "mine", "--allow-code", "--resume-if-exists")):
        done = descent(*words).end()
        assert done.code == 2, done
        assert "mine is running on host node-7; resume it there" in done.err
    done = descent("pause", "mine").end()
    assert done.code == 2, done
    assert "mine is running on host node-7, but does not listen here" in done.err
    assert "node-7" in descent("show", "mine").end().out


def elsewhere(run: RunFolder) -> None:
    """Let the run be one of the host node-7, which was alive a moment ago."""
    for file in (run.path / "run.json", run.path / "events.jsonl"):
        file.write_text(file.read_text().replace(socket.gethostname(), "node-7"))
    os.utime(run.path / "worker.lock")


def test_a_folder_that_is_too_deep_for_a_socket(descent: Descent, held: Held, tmp_path: Path) -> None:
    """A Unix socket's address has 107 bytes; the runs of a long path could not be steered."""
    runs = tmp_path / ("deep-" * 12) / ("er-" * 20) / "한국어-경로"
    child = descent(*held.start, "--runs-dir", str(runs))
    run = RunFolder(runs / "mine")
    assert len(os.fsencode(run.path / "control.sock")) > 107
    held.wait()
    assert (run.path / "control.sock").exists()
    assert listens(run)
    held.release()
    assert child.end().code == 0


def test_a_file_system_that_knows_no_sockets(descent: Descent, held: Held, run: RunFolder, tmp_path: Path) -> None:
    """A run on a network disk could not be steered, or a killed one would leave its socket elsewhere for ever."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    options: dict[str, Any] = {
        "environment": {"TMPDIR": str(temporary)},
        "prepare": lambda: setattr(tempfile, "tempdir", None),  # a forked process remembers its parent's
    }
    place = run.path / "control.sock"

    def sockets() -> list[Path]:
        return list(temporary.glob("descent-*/control.sock"))

    first = descent(*held.start, **options)
    held.wait()
    kill(first)
    place.unlink()
    (place / "in-the-way").mkdir(parents=True)  # now no socket can be made here
    for attempt in ("resumed", "killed and resumed"):
        (tmp_path / "reached").unlink()
        child = descent("resume", "mine", **options)
        held.wait()
        assert len(sockets()) == 1, attempt
        assert stat.S_IMODE(sockets()[0].parent.stat().st_mode) == 0o700
        assert json.loads((run.path / "control.json").read_text()) == {
            "socket": str(sockets()[0]),
            "host": socket.gethostname(),
        }
        assert listens(run)
        if attempt == "resumed":
            kill(child)
            assert not listens(run)
    held.release()
    assert child.end().code == 0
    assert list(temporary.iterdir()) == []
    assert not (run.path / "control.json").exists()


def test_an_address_that_leads_elsewhere_removes_nothing(descent: Descent, held: Held, run: RunFolder) -> None:
    """A run folder from somebody else could have files deleted that are none of its own."""
    child = descent(*held.start)
    held.wait()
    kill(child)
    held.release()
    precious = run.path.parents[1] / "descent-precious"
    precious.mkdir()
    (precious / "control.sock").write_text("a file of the user's")
    (run.path / "control.json").write_text(json.dumps({"socket": str(precious / "control.sock")}))
    assert descent("resume", "mine").end().code == 0
    assert (precious / "control.sock").read_text() == "a file of the user's"


def test_a_job_that_is_queued_again_on_another_node(descent: Descent, held: Held, run: RunFolder) -> None:
    """A node that dies would take its run with it: on every other node it would look alive for ever."""
    child = descent(*held.start)
    held.wait()
    kill(child)
    held.release()
    elsewhere(run)
    os.utime(run.path / "worker.lock", (0, 0))
    assert run.state() == "lost"
    done = descent("run", "held.toml", "--id", "mine", "--allow-code", "--resume-if-exists", "--json").end()
    assert done.code == 0, done
    assert run.host() == socket.gethostname()
    assert len(Metrics(run.path)) == STEPS
