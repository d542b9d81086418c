"""After a live batch size an epoch has another number of steps; the mean of the last one would be that of several.

A log of very many evaluations must not fill the memory, and what is told of it must be what is in the file.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from descent.run.epochs import Epochs, epochs_before, epochs_since, resized
from descent.run.events import EventLog, Events
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.means import samples_of_batches
from descent.run.metrics import MetricsWriter
from descent.run.results import result_of
from engine.study import results
from engine.study.folder import Job, Study

FACTS = {"steps_per_epoch": 4, "started": 1.0}
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
    events = Events(run.path)
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
    found = result_of(folder)
    assert found.epoch == epoch
    assert found.metrics["train_loss"] == pytest.approx(np.mean(last))
    assert _train_accuracy(folder) == pytest.approx(np.mean(last) / 100)


def test_a_member_that_ended_before_the_change_had_epochs_of_the_old_length(folder: RunFolder) -> None:
    _trained(folder, 12, {"event": "member", "member": 1, "state": "stopped early", "step": 6}, SMALLER, members=2)
    assert [entry.metrics["train_loss"] for entry in result_of(folder).members] == [11.5, np.mean((3, 4, 5, 6))]
    assert _train_accuracy(folder) == pytest.approx((0.115 + 0.045) / 2)


def test_the_epoch_at_a_step() -> None:
    assert epochs_since(None, FACTS) == Epochs(4)
    assert Epochs(4).at(6) == 1.5
    assert resized(SMALLER).at(9) == 2.5
    assert [epochs_before(step, [SMALLER], FACTS) for step in (0, 8, 9)] == [Epochs(4), Epochs(4), resized(SMALLER)]
    assert epochs_since(None, {}) is None  # a fork has no run.json before it begins


def test_a_short_last_batch_counts_for_its_samples(folder: RunFolder) -> None:
    """The training loss would be of other weights than the validation loss that stands beside it."""
    _trained(folder, 8)
    (folder.path / "run.json").write_text(json.dumps(FACTS | {"batch_size": 32, "last_batch": 8}))
    assert result_of(folder).metrics["train_loss"] == pytest.approx((32 * (5 + 6 + 7) + 8 * 8) / 104)
    assert _train_accuracy(folder) == pytest.approx((32 * (5 + 6 + 7) + 8 * 8) / 104 / 100)


def test_in_the_middle_of_an_epoch_the_short_batch_is_that_of_the_epoch_before(folder: RunFolder) -> None:
    """The loss of a run that was stopped would be weighted by batches that it never had."""
    smaller = {**SMALLER, "size": 64, "last_batch": 16}
    _trained(folder, 11, smaller)
    (folder.path / "run.json").write_text(json.dumps(FACTS | {"batch_size": 32, "last_batch": 8}))
    assert result_of(folder).metrics["train_loss"] == pytest.approx((16 * 10 + 64 * 11) / 80)
    facts = folder.facts()
    assert samples_of_batches(2, 11, [smaller], facts).tolist() == [32, 8, 32, 32, 32, 8, 64, 16, 64]
    assert samples_of_batches(2, 11, [SMALLER], facts) is None  # of an older Descent


KEPT = 256
EACH = KEPT // 2


@pytest.fixture
def log_folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def _told(log_folder: RunFolder, history: EventLog, times: int) -> list[int]:
    """Write EACH events so often, with a look after each, and follow them; the steps of all that were new."""
    events, known, seen = Events(log_folder.path), len(history), []
    for _ in range(times):
        for step in range(len(history), len(history) + EACH):
            events.write("evaluation", step=step, split="validation", loss=1.0)
        history.look()
        seen += [event["step"] for event in history[known:]]
        known = len(history)
    return seen


def test_all_events_are_followed_and_few_are_kept(log_folder: RunFolder) -> None:
    history = EventLog(log_folder.path, KEPT)
    assert _told(log_folder, history, 9) == list(range(9 * EACH))
    assert len(history) == 9 * EACH
    assert len(history._kept) <= 3 * KEPT
    assert history._left_out > 0
    assert list(history) == log_folder.events()
    assert history[0] == log_folder.events()[0]
    assert (history[-1]["step"], history[EACH]["step"]) == (9 * EACH - 1, EACH)
    assert [event["step"] for event in history[3:7]] == [3, 4, 5, 6]
    with pytest.raises(IndexError):
        history[9 * EACH]


def test_who_looks_seldom_misses_nothing(log_folder: RunFolder) -> None:
    history = EventLog(log_folder.path, KEPT)
    _told(log_folder, history, 9)
    Events(log_folder.path).write("evaluation", step=9 * EACH, split="validation", loss=1.0)  # not looked at yet
    assert [event["step"] for event in history[10:]] == list(range(10, 9 * EACH))


@pytest.mark.parametrize("to", [5, 8 * EACH])
def test_a_rewind_voids_what_is_in_memory_and_what_is_not(log_folder: RunFolder, to: int) -> None:
    history = EventLog(log_folder.path, KEPT)
    _told(log_folder, history, 9)
    events = Events(log_folder.path)
    events.write("rewound", to=to)
    events.write("evaluation", step=to + 1, split="validation", loss=2.0)
    assert [event["event"] for event in history.look()] == ["rewound", "evaluation"]
    assert history.voided == 1
    assert list(history) == log_folder.events()
    assert len(history) == to + 3
    assert _told(log_folder, history, 9)[-1] == len(history) - 1
    assert list(history) == log_folder.events()
