"""A key that steers must not be dead without a word: its user would press it again, or believe that it was obeyed."""

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from descent.run.events import Events
from descent.run.follower import Follower
from tests.helpers.live_console import shown
from tests.helpers.recorded_run import record
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.data.reader import SnapshotBuilder
from tui.data.snapshot import Anomaly, Snapshot
from tui.screens.console.steering import STEERING, why_not
from tui.settings import Settings

EVERY = set(STEERING) - {"fork", "anomaly"}


def now(state: Any, **more: Any) -> Snapshot:
    known = {"checkpoints": (0, 40), "best_checkpoint": 40, "has_validation": True}
    return Snapshot("digits-mlp", "mine", state, **{**known, **more})


@pytest.mark.parametrize(
    ("moment", "can", "reason"),
    [
        (now("running"), EVERY - {"one_step"}, "paused run: pause it first"),
        (now("paused"), EVERY, ""),
        (now("running", has_validation=False), EVERY - {"one_step", "evaluate"}, ""),
        (now("running", checkpoints=(), best_checkpoint=None), EVERY - {"one_step", "rewind", "best"}, ""),
        (now("starting"), {"stop"}, "still starting"),
        (now("finished"), set(), "fork it to train on"),
        (now("stopped"), {"pause"}, "resume it first"),
        (now("lost"), {"pause"}, "resume it first"),
        (now("running", host="far-away"), set(), "steer it there"),
        (now("running", is_gone=True), set(), "is gone"),
        (None, set(), "still being read"),
    ],
)
def test_what_cannot_be_done_says_why(moment: Snapshot | None, can: set[str], reason: str) -> None:
    reasons = {action: why_not(action, moment) for action in EVERY}
    assert {action for action, why in reasons.items() if why is None} == can
    own = ("evaluate", "rewind", "best")
    assert all(reason in str(why) for action, why in reasons.items() if why and action not in own)


@pytest.mark.parametrize(
    ("state", "can"),
    [
        ("running", EVERY - {"one_step", "evaluate", "rewind", "best", "more"}),
        ("stopped", set()),
        ("finished", set()),
    ],
)
def test_what_a_loop_of_ones_own_can_only_refuse_is_not_offered(state: str, can: set[str]) -> None:
    """A dialog would ask for something, and refuse each answer."""
    refused = {command: f"no {command} here" for command in ("evaluate", "rewind", "extend", "fork")}
    moment = now(state, is_exact=False, refused=refused)
    reasons = {action: why_not(action, moment) for action in {*EVERY, "fork"}}
    assert {action for action, why in reasons.items() if why is None} == can
    assert reasons["fork"] == "no fork here"
    if state == "running":
        assert (reasons["more"], reasons["best"]) == ("no extend here", "no rewind here")
    assert "fork it" not in str(reasons["save"])


@pytest.mark.parametrize("taken_up_here", [True, False])
def test_a_run_that_was_queued_again_is_steered_where_it_trains_now(tmp_path: Path, taken_up_here: bool) -> None:
    here = socket.gethostname()
    first, then = ("node1", here) if taken_up_here else (here, "node2")
    folder = record(tmp_path)
    facts = json.loads((folder.path / "run.json").read_text())
    (folder.path / "run.json").write_text(json.dumps(facts | {"host": first}))
    events = Events(folder.path)
    events.state("starting", host=then)
    events.state("running", step=0)
    taken = SnapshotBuilder(Follower(folder)).take()
    assert taken.host == then
    assert (taken.machine.load is not None) == taken_up_here  # what this machine does is not shown as the other's
    assert (why_not("save", dataclasses.replace(taken, state="running")) is None) == taken_up_here


def test_what_there_is_nothing_for_says_so() -> None:
    assert "no checkpoint" in str(why_not("fork", now("running", checkpoints=())))
    assert why_not("fork", now("running", host="far-away")) is None
    assert "nothing has gone wrong" in str(why_not("anomaly", now("running")))
    assert why_not("anomaly", now("paused", anomaly=Anomaly(3, "loss", 0))) is None
    assert {why_not(action, now("running"), read_only=True) for action in STEERING} == {
        "read-only: this console can't steer the run"
    }


@pytest.mark.slow
async def test_a_dead_key_tells(tmp_path: Path) -> None:
    """Also where the user has put it on another key."""
    run = record(tmp_path)
    app = DescentApp(run=run, runs_dir=tmp_path, settings=Settings(keys={"console.save": "k"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "finished" in shown(pilot), "the run")
        await pilot.press("k")
        await until(pilot, lambda: "✗ the run has finished" in shown(pilot), "the reason")
