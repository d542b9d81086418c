"""A loss that jumps or no longer falls must be told once, and ordinary noise never."""

from typing import Any

import numpy as np
import pytest

from descent.run.layout import Layout
from engine.training.loss_watch import BLOCK, STALL_STEPS, LossWatch

LAYOUT = Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=())


def told(losses: np.ndarray[Any, Any], chunk: int = 37) -> list[dict[str, Any]]:
    """The events of a watch that is given these losses, (steps,), in chunks."""
    events: list[dict[str, Any]] = []
    watch = LossWatch(LAYOUT, 0, lambda event, **values: events.append({"event": event, **values}))
    rows = np.full((len(losses), 1, len(LAYOUT.columns)), np.nan, np.float32)
    rows[:, 0, LAYOUT.columns.index("loss")] = losses
    for first in range(0, len(losses), chunk):
        watch.rows(rows[first : first + chunk])
    return events


def test_what_is_told_does_not_depend_on_a_resume() -> None:
    """A resumed run would average other blocks of ten, and tell other spikes and stalls, or none."""
    losses = np.concatenate([falling(1003, noise=0.3), np.full(4000, 0.2)])
    losses[640:700] *= 8
    rows = np.full((len(losses), 1, len(LAYOUT.columns)), np.nan, np.float32)
    rows[:, 0, LAYOUT.columns.index("loss")] = losses
    for at in (13, 645, 3999):
        events: list[dict[str, Any]] = []

        def write(event: str, events: list[dict[str, Any]] = events, **values: Any) -> None:
            events.append({"event": event, **values})

        before = LossWatch(LAYOUT, 0, write)
        before.rows(rows[:at])
        after = LossWatch(LAYOUT, at, write)
        after.restore(before.state())
        after.rows(rows[at:])
        assert events == told(losses) != []


def falling(steps: int, noise: float) -> np.ndarray[Any, Any]:
    """A loss like that of a network: steep, then slow, with the noise of batches."""
    drawn = np.random.default_rng(0).gamma(2.0, 0.5, steps)
    return 2.3 / (1 + np.arange(steps) / 50) * (1 + noise * (drawn - 1)) + 0.02


def test_noise_is_no_spike() -> None:
    assert told(falling(5000, noise=0.8)) == []


def test_a_jump_is_told_once_with_its_step_and_the_usual_loss() -> None:
    losses = falling(2000, noise=0.3)
    losses[1200:1300] *= 8
    events = told(losses)
    assert [event["event"] for event in events] == ["spike"]
    assert 1200 < events[0]["step"] <= 1200 + 2 * BLOCK
    assert events[0]["loss"] > 3 * events[0]["usual"]
    assert events[0]["z"] > 6


def test_a_second_jump_is_told_too_once_the_loss_has_come_back() -> None:
    losses = falling(3000, noise=0.3)
    losses[1000:1040] *= 8
    losses[2000:2040] *= 8
    assert [event["step"] // 1000 for event in told(losses)] == [1, 2]


def test_a_loss_that_stops_falling_is_told_once() -> None:
    losses = np.concatenate([falling(1000, noise=0.1), np.full(4000, 0.2)])
    events = [event for event in told(losses) if event["event"] == "stall"]
    assert len(events) == 1
    assert events[0]["step"] - events[0]["since"] >= STALL_STEPS


@pytest.mark.parametrize("chunk", [1, 9, 10, 2000])
def test_what_is_told_does_not_depend_on_when_rows_arrive(chunk: int) -> None:
    losses = falling(2000, noise=0.3)
    losses[1200:1300] *= 8
    assert told(losses, chunk) == told(losses)


def test_numbers_that_are_not_finite_are_left_to_others() -> None:
    losses = falling(2000, noise=0.1)
    losses[500:520] = np.nan
    losses[700] = np.inf
    assert told(losses) == []


def test_a_loss_near_nothing_is_left_alone() -> None:
    """A run that has learned its data by heart would fill the log with spikes and stalls of a millionth."""
    drawn = np.random.default_rng(1)
    learned = 1e-5 * np.exp(drawn.normal(0, 0.3, 6000))
    learned[::397] *= 400
    assert told(np.concatenate([falling(400, noise=0.2), learned])) == []


def test_spikes_that_follow_each_other_closely_are_told_once_in_a_while() -> None:
    losses = falling(10_000, noise=0.3)
    for first in range(8000, 9000, 60):
        losses[first : first + 20] *= 8
    spikes = [event["step"] for event in told(losses) if event["event"] == "spike"]
    assert 2 <= len(spikes) <= 8
    assert min(np.diff(spikes)) >= 0.02 * 8000
