"""After a live batch size an epoch has another number of steps; the mean of the last one would be that of several."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from descent.run.events import Events, epochs_before, epochs_since
from descent.run.folder import RunFolder
from descent.run.metrics import Layout, MetricsWriter
from descent.run.results import summary
from engine.study import results
from engine.study.folder import Job, Study

FACTS = {"steps_per_epoch": 4}
SMALLER = {"event": "batch_size", "step": 8, "epoch": 2, "size": 8, "per_epoch": 2}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The run of a study's only job."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "preset.toml").write_text("")
    (folder / "run.json").write_text(json.dumps(FACTS))
    return RunFolder(folder)


def _trained(run: RunFolder, steps: int, *told: dict[str, object], members: int = 1) -> None:
    """Row i of the loss is i + 1, of the accuracy (i + 1) / 100."""
    of = tuple({"member": m, "seed": m, "values": {}} for m in range(members))
    layout = Layout.of(accuracy=True, members=of, layers=())
    layout.save(run.path)
    rows = np.zeros((steps, members, len(layout.columns)), np.float32)
    rows[:, :, 0] = np.arange(1, steps + 1)[:, None]
    rows[:, :, 1] = rows[:, :, 0] / 100
    writer = MetricsWriter(run.path, 0)
    writer.append(rows)
    writer.close()
    events = Events(run)
    for event in told:
        events.write(**event)  # type: ignore[arg-type]
    events.state("finished", step=steps)
    events.close()


def _train_accuracy(run: RunFolder) -> float | None:
    job = Job(0, run.id, 0, 0, 0, {}, (), None, "cpu")
    found = results.outcome(Study(run.path.parents[1], "x.toml", (), (), 1, None, (job,)), job)
    assert found.state == "finished", found.reason
    return found.metrics["train_accuracy"]


@pytest.mark.parametrize(
    ("steps", "told", "epoch", "last"),
    [
        (8, (), 2, (5, 6, 7, 8)),
        (12, (SMALLER,), 4, (11, 12)),
        (13, (SMALLER,), 4, (12, 13)),
        (8, (SMALLER,), 2, (5, 6, 7, 8)),  # no step was made of the next epoch
        (12, ({**SMALLER, "step": 4, "epoch": 1, "per_epoch": 8},), 2, (5, 6, 7, 8, 9, 10, 11, 12)),
        (12, (SMALLER, {**SMALLER, "step": 10, "epoch": 3, "per_epoch": 1}), 5, (12,)),
    ],
)
def test_the_last_epoch_is_as_long_as_it_was(
    folder: RunFolder, steps: int, told: Sequence[dict[str, object]], epoch: int, last: Sequence[int]
) -> None:
    _trained(folder, steps, *told)
    found = summary(folder)
    assert found["epoch"] == epoch
    assert found["metrics"]["train_loss"] == pytest.approx(np.mean(last))
    assert _train_accuracy(folder) == pytest.approx(np.mean(last) / 100)


def test_a_member_that_ended_before_the_change_had_epochs_of_the_old_length(folder: RunFolder) -> None:
    _trained(folder, 12, {"event": "member", "member": 1, "state": "stopped early", "step": 6}, SMALLER, members=2)
    assert [entry["metrics"]["train_loss"] for entry in summary(folder)["members"]] == [11.5, np.mean((3, 4, 5, 6))]
    assert _train_accuracy(folder) == pytest.approx((0.115 + 0.045) / 2)


def test_the_epoch_at_a_step() -> None:
    assert epochs_since(None, FACTS).at(6) == 1.5
    assert epochs_since(SMALLER, FACTS).at(9) == 2.5
    assert [epochs_before(step, [SMALLER], FACTS).per_epoch for step in (0, 8, 9)] == [4, 4, 2]
