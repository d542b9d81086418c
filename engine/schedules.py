"""The learning rate's plan: a pure function of the step, so it can be drawn ahead and resumed exactly.

The rate at step s is base_lr × scale(s) × lr_scale. Only reduce-on-plateau depends on what happened; its
state is a `Plateau`, by whose `scale` the caller multiplies.
"""

import math
import sys
from typing import Any

from engine import schema


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
