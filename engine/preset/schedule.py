"""The learning rate's plan: the schedule of the preset, and what a person has changed about it since.

The plan is a pure function of the step, so it can be drawn ahead and resumed exactly. The worker trains by it, and a
client draws the rest of the curve from the run's last `plan` event.

The rate at step s is base_lr × scale(s) × lr_scale. Only reduce-on-plateau depends on what happened in the run. Its
state is a `Plateau`, and the caller multiplies by that object's `scale`.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.preset import schema
from engine.preset.loading import Preset
from engine.preset.schema.section import LARGEST

HAS_HORIZON = ("linear", "cosine", "one-cycle")  # kinds that end at the last step


@dataclass
class SchedulePosition:
    """Maps the steps of a run to positions on the schedule that was planned for `total` steps.

    Steps and positions are equal at first. When the run's length changes, a schedule that ends with the run is walked
    faster or slower, so that both still end together. Other schedules go by epochs: with a larger batch an epoch has
    fewer steps. The rate never jumps.
    """

    total: int
    per_epoch: int
    since_step: int = 0
    since_position: float = 0.0
    speed: float = 1.0  # positions a step

    def position(self, step: int) -> float:
        # A step before the last change may be asked for, after a number that was not finite.
        return max(0.0, self.since_position + (step - self.since_step) * self.speed)

    def scale(self, section: schema.AnySchedule, step: int) -> float:
        """Return the factor on the base learning rate at `step`."""
        return scale(section, self.position(step), self.total, self.per_epoch)

    def change(self, step: int, factor: float) -> None:
        """Walk `factor` times as fast from `step` on."""
        self.since_position, self.since_step = self.position(step), step
        self.speed *= factor

    def extend(self, section: schema.AnySchedule, step: int, left_before: int, left_now: int) -> None:
        """Adapt to a new length: from `step` on the run has `left_now` steps to go instead of `left_before`."""
        if section.name in HAS_HORIZON:
            self.change(step, max(0, left_before - 1) / max(1, left_now - 1))  # last step to last step

    def resize(self, section: schema.AnySchedule, step: int, factor: float, left_before: int, left_now: int) -> None:
        """Adapt to a new batch size: from `step` on epochs have `factor` times fewer steps, the run `left_now`."""
        if section.name in HAS_HORIZON:
            self.extend(section, step, left_before, left_now)
        else:
            self.change(step, factor)

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "SchedulePosition":
        return cls(**state)


def learning_rate(
    section: schema.AnySchedule, pace: SchedulePosition, step: int, *, base: float, hand: float, plateau: float
) -> float:
    """Return the rate of update `step`: base_lr × schedule × lr_scale × the scale of reduce-on-plateau.

    It is at most what float32 can hold.
    """
    return min(base * (pace.scale(section, step) * hand * plateau), LARGEST)


@dataclass(frozen=True)
class Plan:
    """The learning rates of a run from now on, unless somebody edits them.

    base: `optimizer.lr`. hand: `lr_scale`. plateau: the factor of reduce-on-plateau so far, 1.0 for other schedules.
    """

    section: schema.AnySchedule
    pace: SchedulePosition
    base: float
    hand: float
    plateau: float
    total_steps: int

    def rate(self, step: int) -> float:
        """Return the learning rate planned for update `step`."""
        return learning_rate(self.section, self.pace, step, base=self.base, hand=self.hand, plateau=self.plateau)

    def state(self) -> dict[str, Any]:
        """Return what a `plan` event holds, besides its step."""
        return {
            "lr": self.base,
            "lr_scale": self.hand,
            "plateau": self.plateau,
            "pace": self.pace.state(),
            "total_steps": self.total_steps,
        }


def planned(preset: Preset, events: Sequence[dict[str, Any]]) -> Plan | None:
    """Return the current plan, from a run's valid events, or None for a run that has not begun."""
    event = next((event for event in reversed(events) if event.get("event") == "plan"), None)
    if event is None:
        return None
    pace = SchedulePosition.restore(event["pace"])
    return Plan(preset.schedule, pace, event["lr"], event["lr_scale"], event["plateau"], event["total_steps"])


def scale(section: schema.AnySchedule, step: float, total_steps: int, steps_per_epoch: int) -> float:
    """Return the factor on the base learning rate for update number `step`, counted from 0. It need not be whole.

    Warm-up comes first: (step + 1) / warmup times the schedule's own first value. The schedule proper runs over the
    remaining total_steps − warmup steps. For reduce-on-plateau this is the warm-up only.
    """
    length = max(1, total_steps - section.warmup)
    if step < section.warmup:
        return (step + 1) / section.warmup * _proper(section, 0, length, steps_per_epoch)
    return _proper(section, step - section.warmup, length, steps_per_epoch)


def curve(
    section: schema.AnySchedule, total_steps: int, steps_per_epoch: int, points: int
) -> list[tuple[int, float]]:
    """Return at most `points` pairs (step, scale) for drawing, evenly spaced from the first step to the last."""
    last = max(0, total_steps - 1)
    pieces = max(1, min(points - 1, last))
    steps = sorted({round(last * i / pieces) for i in range(pieces + 1)})
    return [(step, scale(section, step, total_steps, steps_per_epoch)) for step in steps]


class Plateau:
    """Reduce on plateau.

    `scale` is multiplied by `factor` when the validation loss has not fallen for `patience` evaluations in a row.
    """

    def __init__(self, section: schema.PlateauSchedule) -> None:
        self.section = section
        self.scale = 1.0
        self._best = math.inf
        self._waited = 0

    def observe(self, validation_loss: float) -> bool:
        """Take note of an evaluation, and return whether the scale fell. NaN counts as a loss that has not fallen."""
        if validation_loss < self._best:
            self._best, self._waited = validation_loss, 0
            return False
        self._waited += 1
        if self._waited < self.section.patience:
            return False
        self._waited = 0
        before = self.scale
        # After an edit `floor` may lie above the present scale. It never lifts the rate.
        self.scale = min(before, max(before * self.section.factor, self.section.floor))
        return self.scale < before

    def state(self) -> dict[str, Any]:
        """Return plain numbers for a checkpoint."""
        return {"scale": self.scale, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale, self._best, self._waited = state["scale"], state["best"], state["waited"]


def _proper(section: schema.AnySchedule, step: float, length: int, steps_per_epoch: int) -> float:
    """Return the schedule's factor without warm-up, for step 0 … length − 1. It stays constant after that."""
    match section:
        case schema.StepSchedule():
            return _power(section.gamma, step // (section.every * steps_per_epoch))
        case schema.ExponentialSchedule():
            return _power(section.gamma, step / steps_per_epoch)
        case schema.FallingSchedule():
            anneal = _line if section.name == "linear" else _half_cosine
            return anneal(1.0, section.final, _progress(step, 0, length - 1))
        case schema.OneCycleSchedule():
            return _one_cycle(section, step, length)
        case schema.InverseTimeSchedule():
            return 1 / (1 + section.decay * step)
        case _:
            return 1.0


def _one_cycle(section: schema.OneCycleSchedule, step: float, length: int) -> float:
    """Return the factor of one-cycle. The top lies at step peak · length − 1, as in torch's OneCycleLR."""
    top = max(0.0, section.peak * length - 1)
    if step < top:
        return _half_cosine(section.start, 1.0, step / top)
    return _half_cosine(1.0, section.final, _progress(step, top, length - 1))


def _progress(step: float, first: float, last: float) -> float:
    """Return 0 at `first`, 1 at `last` and beyond.

    A stretch of one step stays at 0, its beginning: one step of training with a rate of 0 would learn nothing.
    """
    return min(1.0, (step - first) / (last - first)) if last > first else 0.0


def _line(start: float, end: float, progress: float) -> float:
    return start * (1 - progress) + end * progress


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _power(base: float, exponent: float) -> float:
    """Return base ** exponent. A growing schedule that overflows stays at the largest float."""
    try:
        return float(base**exponent)
    except OverflowError:
        return sys.float_info.max
