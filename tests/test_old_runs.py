"""Runs that a user made with an earlier version would be lost with the next one: not shown, not resumed, not forked.

The folders are in tests/old_runs; what of them is printed is compared to the letter in test_json_golden.py.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent import handle
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from tests.helpers import old_runs
from tests.helpers.processes import Done

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]

# Of each run: its state, and the step that it has come to.
RUNS = {
    "plain": ("finished", 80),
    "repeats": ("finished", 80),
    "sweep": ("finished", 100),
    "fork": ("finished", 80),
    "lab": ("finished", 300),
    "rewound": ("finished", 200),
    "stopped": ("stopped", 200),
    "failed": ("failed", 19),
}
ROUNDED = {"rtol": 1e-4, "atol": 1e-6}  # by how much what another CPU computes may differ

Descent = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with copies of the kept runs and of the study."""
    return old_runs.copied(tmp_path)


@pytest.fixture
def descent(folder: Path) -> Descent:
    """`descent(words …)` in that folder, in a process of its own, to its end."""
    return lambda *words: old_runs.descent(words, folder, old_runs.environment(folder))


def rows(folder: Path, run: str) -> Any:
    """(steps, members, columns) without the time that a step took."""
    stored = Metrics(folder / "runs" / run)
    assert stored.layout is not None
    return stored.rows()[:, :, [place for place, name in enumerate(stored.layout.columns) if name != "time"]]


def test_all_are_listed(descent: Descent) -> None:
    """A user would miss runs in the list, or find them called damaged or lost."""
    found = descent("runs", "--json")
    assert found.code == 0, found
    listed = {entry["run"]: (entry["state"], entry["step"]) for entry in found.json["runs"]}
    assert listed == RUNS
    table = descent("runs").out
    assert all(run in table for run in RUNS)


def test_each_is_shown(descent: Descent) -> None:
    """A user could not look up what a run of last year has reached, and with which settings."""
    for run, (state, step) in RUNS.items():
        shown = descent("show", run, "--json")
        assert shown.code == 0, shown
        found = shown.json
        assert (found["state"], found["step"]) == (state, step)
        assert found["facts"]["host"]  # another machine: an ended run is nobody's
    assert "started" in descent("show", "sweep").out


def test_the_study_is_shown_and_is_complete(descent: Descent) -> None:
    """A study's results would be gone, or it would train all its runs again."""
    found = descent("study", "show", "widths", "--json")
    assert found.code == 0, found
    assert found.json["states"] == {"finished": 2}
    before = found.json["jobs"]
    again = descent("study", "run", "widths", "--json", "--quiet")
    assert again.code == 0, again
    assert again.json["jobs"] == before


def test_one_that_was_stopped_goes_on_to_its_end(descent: Descent, folder: Path) -> None:
    """A long training that was interrupted before an update would have to begin again."""
    before = rows(folder, "stopped")
    done = descent("resume", "stopped", "--json")
    assert done.code == 0, done
    assert (done.json["state"], done.json["step"], done.json["epoch"]) == ("finished", 400, 10)
    assert done.json["metrics"]["test_accuracy"] > 0.9
    after = rows(folder, "stopped")
    assert len(after) == 400
    assert np.array_equal(after[:200], before, equal_nan=True)
    assert RunFolder(folder / "runs" / "stopped").checkpoints()[-1] == 400


def test_one_is_replayed(descent: Descent, folder: Path) -> None:
    """A result could not be checked: the same preset, seed and edits would train something else."""
    done = descent("replay", "plain", "--id", "again", "--json")
    assert done.code in (0, 1), done  # on another CPU the last digits differ, and that is told
    assert (done.json["state"], done.json["step"]) == ("finished", 80)
    assert done.code == (0 if done.json["differs_at"] is None else 1)
    assert np.allclose(rows(folder, "again"), rows(folder, "plain"), equal_nan=True, **ROUNDED)


def test_one_is_forked(descent: Descent, folder: Path) -> None:
    """A model that was trained before an update could not be trained on with other settings."""
    done = descent("fork", "plain", "--at", "40", "--set", "optimizer.lr=0.01", "--id", "mine", "--json")
    assert done.code == 0, done
    assert (done.json["state"], done.json["step"]) == ("finished", 80)
    assert np.array_equal(rows(folder, "mine")[:40], rows(folder, "plain")[:40], equal_nan=True)
    assert np.allclose(rows(folder, "mine"), rows(folder, "fork"), equal_nan=True, **ROUNDED)
    parent = json.loads((folder / "runs" / "mine" / "parent.json").read_text(encoding="utf-8"))
    assert (parent["run"], parent["step"], parent["changed"]) == ("plain", 40, ["optimizer.lr"])


def test_one_member_goes_on_alone(descent: Descent) -> None:
    """The best of several models that were trained together could not be taken further."""
    done = descent("fork", "repeats", "--member", "1", "--set", "train.epochs=3", "--id", "mine", "--json")
    assert done.code == 0, done
    assert (done.json["state"], done.json["step"]) == ("finished", 120)


def test_two_are_compared(descent: Descent) -> None:
    """What changed between two old runs, and which was better, could not be told."""
    done = descent("compare", "plain", "fork", "--json")
    assert done.code == 0, done
    assert done.json["differences"] == {"optimizer.lr": ["0.1", "0.01"]}
    assert done.json["best"]["test_accuracy"] == ["plain"]
    assert [run["parent"] for run in done.json["runs"]] == [None, {"run": "plain", "step": 40}]


def test_events_and_metrics_are_read_from_python(folder: Path) -> None:
    """A notebook that draws curves of old runs would fail, or draw what a rewind has undone."""

    async def read(name: str) -> tuple[str, list[dict[str, Any]], Metrics]:
        run = await handle.attach(name, folder / "runs")
        return run.state, [event async for event in run.events()], run.metrics()

    for name, (state, step) in RUNS.items():
        found, events, metrics = asyncio.run(read(name))
        assert found == state
        assert (events[-1]["event"], events[-1]["state"]) == ("state", state)
        assert len(metrics) == step
        assert len(metrics.column("loss")) == step
        members = len({event["member"] for event in events if event["event"] == "evaluation"})
        assert metrics.layout is not None
        assert members <= len(metrics.layout.members)


def test_what_a_rewind_undid_does_not_count(folder: Path) -> None:
    """A user would see the diverged past in the curve of a run that was saved from it."""
    run = RunFolder(folder / "runs" / "rewound")
    files = sorted(path.name for path in (run.path / "metrics").iterdir())
    assert files == ["0-0.f32", "1-10.f32"]
    metrics = Metrics(run.path)
    rates = metrics.column("lr")
    assert rates.tolist() == pytest.approx([5.0] * 10 + [0.1] * 190)
    assert np.isfinite(metrics.column("loss")).all()
    assert not [event for event in run.events() if event["event"] == "anomaly"]
    assert [event["command"] for event in run.events() if event["event"] == "command"] == ["rewind", "set", "resume"]


def test_one_that_was_no_number_says_so_and_goes_on_with_a_smaller_rate(descent: Descent) -> None:
    """A run that diverged could neither be understood nor saved."""
    assert "became NaN or infinite at step 18" in descent("show", "failed", "--json").json["reason"]
    done = descent("fork", "failed", "--set", "optimizer.lr=0.1", "--id", "saved", "--json")
    assert done.code == 0, done
    assert (done.json["state"], done.json["step"]) == ("finished", 100)
