"""A model that a too large rate has broken must be told of while it is worth going back, and a whole one never."""

from typing import Any

import numpy as np
import pytest
import torch

from descent.run.layout import Layout
from engine.preset import schema
from engine.training import losses
from engine.training.collapse import LASTS
from engine.training.loss_watch import LossWatch

LAYERS = ({"name": "hidden", "kind": "linear 2 × 2"}, {"name": "head", "kind": "linear 2 × 2"})
LAYOUT = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=LAYERS)
Losses = np.ndarray[Any, Any]


def told(
    losses: Losses, dead: Losses | None = None, *, layout: Layout = LAYOUT, first: int = 0, past: Losses | None = None
) -> list[dict[str, Any]]:
    """The collapses and recoveries of these losses, (steps,); dead: share of the first layer, NaN: not measured."""
    events: list[dict[str, Any]] = []
    write = lambda event, **values: events.append({"event": event, **values})  # noqa: E731
    watch = LossWatch(layout, first, write, [] if past is None else past.tolist())
    rows = np.full((len(losses), len(layout.members), len(layout.columns)), np.nan, np.float32)
    rows[:, :, layout.columns.index("loss")] = losses[:, None]
    if dead is not None:
        rows[:, :, layout.columns.index("layer.hidden.dead")] = dead[:, None]
    for begin in range(0, len(losses), 37):
        watch.rows(rows[begin : begin + 37])
    return [event for event in events if event["event"] in ("collapse", "recovered")]


def falling(steps: int) -> Losses:
    drawn = np.random.default_rng(0).gamma(2.0, 0.5, steps)
    return 2.3 / (1 + np.arange(steps) / 50) * (1 + 0.3 * (drawn - 1)) + 0.02


def chance(steps: int) -> Losses:
    return 2.303 + np.random.default_rng(2).normal(0, 0.05, steps)


def test_a_loss_that_goes_back_to_chance_is_told_once_with_where_it_began() -> None:
    """Somebody who turned the rate up would watch a dead network train for an hour."""
    events = told(np.concatenate([falling(1000), chance(2000)]))
    assert [event["event"] for event in events] == ["collapse"]
    assert 990 <= events[0]["since"] <= 1010
    assert events[0]["step"] <= 1000 + LASTS + 20
    assert events[0]["lowest"] < 0.5


def test_a_loss_that_flies_off_at_once_is_told_though_it_was_never_low() -> None:
    """A run with a rate of 30 would be called finished, and its checkpoint the best."""
    losses = np.concatenate([[2.3], 40 + 20 * np.random.default_rng(0).random(800)])
    events = told(losses)
    assert [(event["event"], event["since"]) for event in events] == [("collapse", 0)]


def test_a_first_batch_that_is_easy_by_chance_makes_no_collapse() -> None:
    """A table of quantities of which a few are large would be said to have broken the model, and its best be lost."""
    drawn = np.random.default_rng(0).gamma(0.5, 8.0, 800)
    batch = np.concatenate([[1.7], drawn])
    events: list[dict[str, Any]] = []
    for constant in (0.0, 4.5):
        events.clear()
        watch = LossWatch(LAYOUT, 0, lambda event, **values: events.append({"event": event}), constant=constant)
        rows = np.full((len(batch), 1, len(LAYOUT.columns)), np.nan, np.float32)
        rows[:, 0, LAYOUT.columns.index("loss")] = batch
        watch.rows(rows)
        assert ({"event": "collapse"} in events) == (constant == 0.0)


def test_the_loss_of_a_constant_model_is_the_variance_or_the_entropy() -> None:
    """A collapse would be told of models that do better than always giving the mean."""
    targets = torch.tensor([[0.0], [0.0], [6.0]])
    mse = losses.SIMPLE["mse"]
    assert losses.of_constant(schema.SimpleLoss(name="mse"), mse, targets, None) == pytest.approx(8.0)
    labels, entropy = torch.tensor([0, 0, 0, 1]), torch.nn.functional.cross_entropy
    section = schema.CrossEntropyLoss(name="cross-entropy")
    assert losses.of_constant(section, entropy, labels, 3) == pytest.approx(0.5623, abs=1e-4)
    assert losses.of_constant(schema.SimpleLoss(name="bce"), losses.bce, labels, 2) == 0.0


@pytest.mark.parametrize("steps", [10, 40])
def test_a_short_jump_is_none(steps: int) -> None:
    losses = falling(2000)
    losses[1000 : 1000 + steps] = 5.0
    assert told(losses) == []


def test_a_loss_that_stays_at_chance_has_not_collapsed() -> None:
    """A network that has not learned yet would be called broken."""
    assert told(chance(3000)) == []


def test_a_layer_without_a_live_unit_is_told_by_its_name() -> None:
    dead = np.full(1000, np.nan)
    dead[::20] = 0.4
    dead[600::20] = 1.0
    events = told(falling(1000), dead)
    assert [(event["event"], event["why"], event["layer"]) for event in events] == [("collapse", "dead", "hidden")]
    assert events[0]["since"] == 600


def test_a_model_that_comes_back_is_told_of_too() -> None:
    losses = np.concatenate([falling(1000), chance(300), falling(2000)[500:]])
    assert [event["event"] for event in told(losses)] == ["collapse", "recovered"]


def test_a_resumed_run_knows_how_low_it_was() -> None:
    """After a resume a dead network would be taken for one that has not learned yet."""
    losses = np.concatenate([falling(1000), chance(1000)])
    events = told(losses[1100:], first=1100, past=losses[[0, *range(100, 1100)]])
    assert [event["event"] for event in events] == ["collapse"]


def test_several_members_do_not_collapse_together() -> None:
    """One hopeless candidate of a sweep would have the whole sweep called broken."""
    members = tuple({"member": m, "seed": m, "values": {}} for m in range(2))
    layout = Layout.of(accuracy=False, members=members, layers=LAYERS)
    assert told(np.concatenate([falling(1000), chance(1000)]), layout=layout) == []
