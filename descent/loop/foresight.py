"""The learning rates that a loop's scheduler will have, where they depend on its own count of steps alone.

A copy of the scheduler walks to the end of the run, over a stand-in for its optimizer. The scheduler is not touched.
"""

import copy
import dis
import functools
import inspect
import math
import warnings
from argparse import Namespace
from collections.abc import Iterable
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch.optim import lr_scheduler

from descent.common.arrays import Floats
from descent.loop.driver import Driver

MOST_CALLS = 30_000  # of a scheduler: some 0.3 s
MOST_STEPS = 3_000_000
MOST_POINTS = 512
_CLOSE = 1e-3  # of the highest rate: how far a straight line may be from the curve
_LOOKS = 100  # steps from one comparison with the real rate to the next
_MOST_MISSES = 3
_KNOWN = (
    lr_scheduler.StepLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.LinearLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.CosineAnnealingLR,
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.PolynomialLR,
    lr_scheduler.OneCycleLR,
)
_PURE = {"abs", "bool", "float", "int", "len", "max", "min", "pow", "range", "round", "sum"}
_CHANGES = {"STORE_GLOBAL", "STORE_DEREF", "STORE_ATTR", "STORE_SUBSCR", "IMPORT_NAME"}


class Foresight:
    """Foresees the rates of one optimizer's scheduler, once it has seen how often the loop calls it."""

    def __init__(self) -> None:
        self._begun: tuple[int, int, int] | None = None  # step, epoch, and the scheduler's count
        self._scheduler: Any = None  # if its rates can be foreseen
        self._count = self._within = 0  # its calls so far; those within epochs
        self._foreseen: tuple[Floats, Floats] | None = None
        self._next = 0  # the step of the next look
        self._misses = 0

    def forget(self) -> None:
        """Begin anew, because the run has gone back or has become longer."""
        self._begun, self._foreseen, self._next = None, None, 0

    def look(
        self, step: int, things: Iterable[Any], optimizer: torch.optim.Optimizer, driver: Driver
    ) -> dict[str, Any] | None:
        """Return what an event tells of the rates from `step` on, if that is new. Call it between two turns.

        things: what the loop tracks. It tells of no steps where the rates are others than were foreseen.
        """
        if step < self._next or self._misses > _MOST_MISSES:
            return None
        if self._foreseen is not None:
            return self._compared(step, float(optimizer.param_groups[0]["lr"]), *self._foreseen)
        if self._begun is None:
            own = [each for each in things if getattr(each, "optimizer", None) is optimizer and hasattr(each, "step")]
            self._scheduler = own[0] if len(own) == 1 and depends_on_its_count(own[0]) else None
        total = driver.total_steps()
        if self._scheduler is None or total is None or total > MOST_STEPS:
            self._next = step + _LOOKS
            return None
        calls = self._calls_between(step, self._scheduler.last_epoch, driver)
        return None if calls is None else self._walked(step, total, calls, driver)

    def _compared(self, step: int, rate: float, at: Floats, rates: Floats) -> dict[str, Any] | None:
        """Return that nothing is foreseen any more, if a rate is not the one that was."""
        self._next = step + _LOOKS
        if abs(float(np.interp(step, at, rates)) - rate) <= 2 * _CLOSE * float(rates.max()):
            return None
        self._misses += 1
        self.forget()
        return {"at": [], "rates": []}

    def _walked(self, step: int, total: int, calls: int, driver: Driver) -> dict[str, Any] | None:
        """Return the rates from `step` on. calls: the steps between two calls of the scheduler."""
        first = 1 if calls == 1 else driver.steps_to_end_of_epoch()
        which = (np.arange(total - step) + calls - first) // calls  # of the calls from now on, for each step
        walked = None
        if len(which) >= 2 and which[-1] <= MOST_CALLS:
            walked = walk(self._scheduler, int(which[-1]) + 1)
        if walked is None:
            self._next = total
            return None
        each = walked[which]
        kept = corners(each)
        self._foreseen, self._next = ((step + kept).astype(np.float64), each[kept]), step + _LOOKS
        return {"at": (step + kept).tolist(), "rates": each[kept].tolist()}

    def _calls_between(self, step: int, count: int, driver: Driver) -> int | None:
        """Return how many steps lie between two calls of a scheduler. None where that is not known yet.

        count: its calls so far.
        """
        if self._begun is None:
            self._begun, self._count, self._within = (step, driver.epoch, count), count, 0
            return None
        self._within += count != self._count and not driver.epoch_is_over
        self._count = count
        steps, epochs, calls = (
            now - then for now, then in zip((step, driver.epoch, count), self._begun, strict=True)
        )
        if steps >= 2 and calls == steps:
            return 1
        if epochs and calls == epochs and not self._within and not driver.epoch_is_over:
            return driver.steps_per_epoch()
        return None


def depends_on_its_count(scheduler: Any) -> bool:
    """Return whether a scheduler's rates are known beforehand: no loss, and no state of the user's, decides them."""
    if type(scheduler) in (lr_scheduler.SequentialLR, lr_scheduler.ChainedScheduler):
        return all(map(depends_on_its_count, scheduler._schedulers))
    if type(scheduler) in (lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR):
        return all(map(is_formula, scheduler.lr_lambdas))
    return type(scheduler) in _KNOWN


def is_formula(function: Any, depth: int = 3) -> bool:
    """Return whether a function reads numbers alone and changes nothing, so that it may be called at any time."""
    if isinstance(function, functools.partial):
        given = [*function.args, *function.keywords.values()]
        return is_formula(function.func, depth) and all(map(_is_plain, given))
    if not isinstance(function, FunctionType) or not depth:
        return False
    used = inspect.getclosurevars(function)
    read = [*used.nonlocals.values(), *used.globals.values()]
    return (
        set(used.builtins) <= _PURE
        and all(value is math or _is_plain(value) or is_formula(value, depth - 1) for value in read)
        and not any(instruction.opname in _CHANGES for instruction in dis.get_instructions(function))
    )


def _is_plain(value: Any) -> bool:
    """Return whether a value is of numbers and texts that no call changes."""
    if isinstance(value, tuple | Namespace):
        return all(map(_is_plain, value if isinstance(value, tuple) else vars(value).values()))
    return value is None or isinstance(value, int | float | str)


def walk(scheduler: Any, count: int) -> Floats | None:
    """Return the rates, (count,), before the next call of a scheduler, after it, and so on. None if it can't be."""
    optimizer = scheduler.optimizer
    try:
        groups = [
            {"params": [torch.nn.Parameter(torch.zeros(1))]}
            | copy.deepcopy({key: value for key, value in group.items() if key != "params"})
            for group in optimizer.param_groups
        ]
        stand_in = torch.optim.SGD(groups, lr=0.0)
        mine = copy.deepcopy(scheduler, {id(optimizer): stand_in})
        rates = [float(stand_in.param_groups[0]["lr"])]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is called before its optimizer
            for _call in range(count - 1):
                mine.step()
                rates.append(float(stand_in.param_groups[0]["lr"]))
    except Exception:  # of whatever the user has made of it; it fails in the loop too, if it does
        return None
    return np.array(rates)


def corners(values: Floats) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the places, ascending, between which straight lines are close to the values."""
    most = _CLOSE * float(np.abs(values).max())
    kept, open_ = {0, len(values) - 1}, [(0, len(values) - 1)]
    while open_ and len(kept) <= MOST_POINTS:
        first, last = open_.pop()
        line = np.interp(np.arange(first, last + 1), [first, last], [values[first], values[last]])
        off = np.abs(values[first : last + 1] - line)
        if off.max() > most:
            middle = first + int(off.argmax())
            kept.add(middle)
            open_ += [(first, middle), (middle, last)]
    if len(kept) > MOST_POINTS:
        return np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).astype(np.int64))
    return np.array(sorted(kept))
