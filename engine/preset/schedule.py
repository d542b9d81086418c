"""The learning rate that a run has planned: the schedule, and what a person has changed about it since.

The worker trains by it, and a client draws the rest of the curve from the run's last `plan` event.

The learning rate's plan: a pure function of the step, so it can be drawn ahead and resumed exactly.

The rate at step s is base_lr × scale(s) × lr_scale. Only reduce-on-plateau depends on what happened; its
state is a `Plateau`, by whose `scale` the caller multiplies.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.preset import schema
from engine.preset.loading import Preset

HAS_HORIZON = ("linear", "cosine", "one-cycle")  # kinds that end at the last step


@dataclass
class SchedulePosition:
    """Maps the steps of a run to positions on the schedule that was planned for `total` steps.

    At first both are the same. A schedule with an end is walked so that it ends with the run, however long that has
    become; one without goes by epochs, which a larger batch walks in fewer steps. The rate never jumps.
    """

    total: int
    per_epoch: int
    since_step: int = 0
    since_position: float = 0.0
    speed: float = 1.0  # positions a step

    def position(self, step: int) -> float:
        # A step before the last change of pace may be asked for, where a number turns out not to be finite.
        return max(0.0, self.since_position + (step - self.since_step) * self.speed)

    def scale(self, section: schema.AnySchedule, step: int) -> float:
        """What the base learning rate is multiplied by at `step`."""
        return scale(section, self.position(step), self.total, self.per_epoch)

    def change(self, step: int, factor: float) -> None:
        """From `step` on, walk `factor` times as fast."""
        self.since_position, self.since_step = self.position(step), step
        self.speed *= factor

    def extend(self, section: schema.AnySchedule, step: int, left_before: int, left_now: int) -> None:
        """The run has `left_now` steps to go from `step` on, instead of `left_before`."""
        if section.name in HAS_HORIZON:
            self.change(step, max(0, left_before - 1) / max(1, left_now - 1))  # last step to last step

    def resize(self, section: schema.AnySchedule, step: int, factor: float, left_before: int, left_now: int) -> None:
        """From `step` on an epoch has `factor` times fewer steps, and the run `left_now` to go."""
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
    """The rate of update `step`: base_lr × schedule × lr_scale, and × what a plateau has come down to."""
    return base * (pace.scale(section, step) * hand * plateau)


@dataclass(frozen=True)
class Plan:
    """What a run intends from now on, unless somebody steers it.

    base: `optimizer.lr`. hand: `lr_scale`. plateau: the factor of reduce-on-plateau so far, 1.0 for other schedules.
    """

    section: schema.AnySchedule
    pace: SchedulePosition
    base: float
    hand: float
    plateau: float
    total_steps: int

    def rate(self, step: int) -> float:
        """The learning rate planned for update `step`."""
        return learning_rate(self.section, self.pace, step, base=self.base, hand=self.hand, plateau=self.plateau)

    def state(self) -> dict[str, Any]:
        """What a `plan` event holds, beside its step."""
        return {
            "lr": self.base,
            "lr_scale": self.hand,
            "plateau": self.plateau,
            "pace": self.pace.state(),
            "total_steps": self.total_steps,
        }


def planned(preset: Preset, events: Sequence[dict[str, Any]]) -> Plan | None:
    """The plan in force, from a run's valid events; None for a run that has not begun."""
    event = next((event for event in reversed(events) if event.get("event") == "plan"), None)
    if event is None:
        return None
    pace = SchedulePosition.restore(event["pace"])
    return Plan(preset.schedule, pace, event["lr"], event["lr_scale"], event["plateau"], event["total_steps"])


def scale(section: schema.AnySchedule, step: float, total_steps: int, steps_per_epoch: int) -> float:
    """The factor on the base learning rate for update number `step`, counted from 0; between steps, what lies
    between.

    Warm-up comes first: (step + 1) / warmup times the schedule's own first value. The schedule proper runs
    over the total_steps − warmup steps that remain. For a plateau this is its warm-up alone.
    """
    length = max(1, total_steps - section.warmup)
    if step < section.warmup:
        return (step + 1) / section.warmup * _proper(section, 0, length, steps_per_epoch)
    return _proper(section, step - section.warmup, length, steps_per_epoch)


def curve(
    section: schema.AnySchedule, total_steps: int, steps_per_epoch: int, points: int
) -> list[tuple[int, float]]:
    """At most `points` pairs (step, scale), evenly spaced from the first step to the last, for drawing."""
    last = max(0, total_steps - 1)
    pieces = max(1, min(points - 1, last))
    steps = sorted({round(last * i / pieces) for i in range(pieces + 1)})
    return [(step, scale(section, step, total_steps, steps_per_epoch)) for step in steps]


class Plateau:
    """Reduce on plateau: `scale` falls by `factor` when the validation loss has not fallen for `patience`
    evaluations in a row."""

    def __init__(self, section: schema.PlateauSchedule) -> None:
        self.section = section
        self.scale = 1.0
        self._best = math.inf
        self._waited = 0

    def observe(self, validation_loss: float) -> bool:
        """Take note of an evaluation; True when the scale fell. A NaN is a loss that has not fallen."""
        if validation_loss < self._best:
            self._best, self._waited = validation_loss, 0
            return False
        self._waited += 1
        if self._waited < self.section.patience:
            return False
        self._waited = 0
        before = self.scale
        # `floor` may lie above the present scale, after an edit: it never lifts the rate.
        self.scale = min(before, max(before * self.section.factor, self.section.floor))
        return self.scale < before

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {"scale": self.scale, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.scale, self._best, self._waited = state["scale"], state["best"], state["waited"]


def _proper(section: schema.AnySchedule, step: float, length: int, steps_per_epoch: int) -> float:
    """The schedule without its warm-up, for step 0 … length − 1 and, level, beyond."""
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
    """The top lies at step peak · length − 1, as in torch.optim.lr_scheduler.OneCycleLR."""
    top = max(0.0, section.peak * length - 1)
    if step < top:
        return _half_cosine(section.start, 1.0, step / top)
    return _half_cosine(1.0, section.final, _progress(step, top, length - 1))


def _progress(step: float, first: float, last: float) -> float:
    """0 at `first`, 1 at `last` and beyond. A stretch of one step stays at its beginning: a training of one
    step with a rate of 0 would learn nothing."""
    return min(1.0, (step - first) / (last - first)) if last > first else 0.0


def _line(start: float, end: float, progress: float) -> float:
    return start * (1 - progress) + end * progress


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _power(base: float, exponent: float) -> float:
    """A growing schedule may outgrow a float; it then stays at the largest."""
    try:
        return float(base**exponent)
    except OverflowError:
        return sys.float_info.max
