"""A student whose one rate of five is too high must not lose the other four, and be asked where that was wanted."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from descent.control import send
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.training import worker  # noqa: F401 - imported once here, not in each child
from tests.helpers.waiting import wait_for
from tests.helpers.workers import ends_with, start

LIVE = ["train.steps=100000", "train.evaluate_every=1000"]
SWEEP = 'members.sweep."optimizer.lr"='
Start = Callable[..., tuple[int, RunFolder]]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    pids: list[int] = []

    def begin(*settings: str) -> tuple[int, RunFolder]:
        pid, folder = start(tmp_path / "runs", *LIVE, *settings)
        pids.append(pid)
        return pid, folder

    yield begin
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def ended(folder: RunFolder) -> dict[int, str]:
    return {event["member"]: event["state"] for event in folder.events() if event["event"] == "member"}


def losses(folder: RunFolder, member: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    return Metrics(folder.path).column("loss", member)


def paused_with_one_lost(started: Start) -> tuple[int, RunFolder]:
    pid, folder = started('train.on_nan="pause"', SWEEP + "[0.1, 1e30, 0.05]")
    wait_for(lambda: folder.last("anomaly") and folder.state() == "paused", "the pause")
    return pid, folder


def test_with_pause_the_run_waits_and_names_the_member(started: Start) -> None:
    _, folder = paused_with_one_lost(started)
    told, state = folder.last("anomaly"), folder.last("state")
    assert told is not None
    assert state is not None
    assert (told["member"], told["lr"], told["checkpoint"]) == (1, np.float32(1e30), 0)
    assert "the loss of member 1 became NaN or infinite" in state["reason"]
    assert ended(folder) == {1: "diverged"}


def test_going_on_trains_the_others_and_leaves_it_marked(started: Start) -> None:
    pid, folder = paused_with_one_lost(started)
    before = send(folder.path, "resume")["step"]
    wait_for(lambda: len(Metrics(folder.path)) > before + 50, "more steps")
    assert folder.state() == "running"
    assert ended(folder) == {1: "diverged"}
    assert np.isnan(losses(folder, 1)[-1])
    assert np.isfinite(losses(folder, 0)).all()
    assert np.isfinite(losses(folder, 2)).all()
    send(folder.path, "set", {"edits": ["member=0", "optimizer.lr=1e30"]})  # the next one is asked about as well
    wait_for(lambda: folder.state() == "paused", "the second pause")
    assert ended(folder) == {1: "diverged", 0: "diverged"}
    assert send(folder.path, "stop")["checkpoint"]
    assert ends_with(pid) == 0


@pytest.mark.slow
def test_going_back_with_a_lower_rate_for_it_alone_trains_them_all(started: Start) -> None:
    pid, folder = paused_with_one_lost(started)
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "set", {"edits": ["member=1", "optimizer.lr=0.02"]})
    send(folder.path, "resume")
    wait_for(lambda: len(Metrics(folder.path)) > 100, "more steps")
    assert folder.state() == "running"
    assert ended(folder) == {}
    assert all(np.isfinite(losses(folder, member)).all() for member in range(3))
    send(folder.path, "stop")
    assert ends_with(pid) == 0


def test_with_stop_the_others_go_on_until_none_is_left(started: Start) -> None:
    pid, folder = started('train.on_nan="stop"', SWEEP + "[0.1, 1e30]")
    wait_for(lambda: ended(folder) == {1: "diverged"} and len(Metrics(folder.path)) > 50, "the others' steps")
    assert folder.state() == "running"
    send(folder.path, "set", {"edits": ["optimizer.lr=1e30"]})
    assert ends_with(pid) == 3
    assert folder.state() == "failed"


def test_a_run_whose_last_member_diverges_keeps_those_that_stopped_early(started: Start) -> None:
    """The results of all would be lost with the one."""
    early = ["train.evaluate_every.steps=5", "train.early_stopping.patience=2"]
    pid, folder = started(*early, SWEEP + "[1e-12, 1e-3]")
    wait_for(lambda: ended(folder).get(0) == "stopped early", "the early stop")
    send(folder.path, "set", {"edits": ["member=1", "optimizer.lr=1e30"]})
    assert ends_with(pid) == 0
    assert folder.state() == "finished"
    assert ended(folder) == {0: "stopped early", 1: "diverged"}
    winner = folder.last("winner")
    assert winner is not None
    assert winner["members"] == [0]
