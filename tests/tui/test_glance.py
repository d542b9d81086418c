"""A glance at a run says how far it is and what it reached; a wrong one sends its user to the wrong run."""

import json
from pathlib import Path

import pytest

from tests.tui.screens import record
from tui.home.glance import POINTS, Glances


def test_a_finished_run(tmp_path: Path) -> None:
    """The list would show wrong numbers."""
    run = Glances().of(record(tmp_path, "digits-mlp-260921-131000-kqzt", "finished"))
    assert (run.name, run.letters, run.state, run.alive) == ("digits-mlp", "kqzt", "finished", False)
    assert (run.step, run.total, run.share, run.epoch) == (800, 800, 1.0, 20.0)
    assert run.last("test") == (0.0812, 0.977)
    assert run.seconds == pytest.approx(0.8)
    assert len(run.loss) == POINTS
    assert run.loss[-1] == pytest.approx(2.3 / 21, rel=0.05)


def test_it_follows_what_is_written(tmp_path: Path) -> None:
    """A live run would stand still on the screen, or keep what a rewind has voided."""
    path = record(tmp_path, "mine", "running", steps=100, accuracy=0.5)
    glances = Glances()
    assert glances.of(path).step == 100
    (path / "metrics" / "1-40.f32").write_bytes((path / "metrics" / "0-0.f32").read_bytes()[: -(50 * 4 * 12)])
    with (path / "events.jsonl").open("a") as events:
        events.write(json.dumps({"time": 1, "event": "rewound", "to": 40}) + "\n")
    seen = glances.of(path)
    assert seen.step == 90
    assert seen.last("validation") is None


def test_a_killed_worker(tmp_path: Path) -> None:
    """A run whose worker was killed would look alive for ever."""
    import socket

    path = record(tmp_path, "mine", "running", host=socket.gethostname())
    assert Glances().of(path).state == "lost"


def test_a_folder_of_rubbish(tmp_path: Path) -> None:
    """One damaged run would take the whole list along."""
    path = record(tmp_path, "mine", "finished")
    (path / "metrics.json").write_text("[]")
    seen = Glances().of(path)
    assert seen.state == "damaged"
    assert seen.problem
