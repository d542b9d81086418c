"""What curves take from a run's events: evaluations and marks in arrays that grow with what is new."""

import math
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.common.mean import mean_of_finite
from descent.run.best_by import BestBy, best_by
from descent.run.epochs import Epochs, resized
from descent.run.events import Evaluation, Event, Fold, evaluation_of
from descent.run.follower import Follower, Member
from descent.run.sweep import SweepPoint
from tui.data.words import mark_of


class Points(NamedTuple):
    """One curve's evaluations: ascending steps, and the value at each; NaN where it was not finite. (n,) each."""

    steps: NDArray[np.int64] = np.empty(0, np.int64)
    values: NDArray[np.float64] = np.empty(0)

    @property
    def latest(self) -> float | None:
        """The last value; None where it was not finite, or there is none."""
        value = float(self.values[-1]) if len(self.values) else math.nan
        return value if math.isfinite(value) else None

    def until(self, step: int | None) -> "Points":
        """Return those up to a step; all for None."""
        if step is None:
            return self
        end = int(np.searchsorted(self.steps, step, side="right"))
        return Points(self.steps[:end], self.values[:end])


class Evaluations:
    """The evaluations of one split, at ascending steps. Arrays that were handed out change in their last value only.

    A long run has a hundred thousand of them: its steps are kept once for all names.
    """

    def __init__(self) -> None:
        self._steps, self._length = np.empty(256, np.int64), 0
        self._values: dict[str, NDArray[np.float64]] = {}  # as long as the steps

    def put(self, step: int, values: dict[str, float]) -> None:
        """Add an evaluation, or correct the last one. values: by name, those that were measured."""
        if not self._length or self._steps[self._length - 1] != step:
            if self._length == len(self._steps):
                larger = 2 * self._length  # what is not written to yet takes no memory
                steps = np.empty(larger, np.int64)
                steps[: self._length], self._steps = self._steps, steps
                for name, before in self._values.items():
                    self._values[name] = np.empty(larger)
                    self._values[name][: self._length] = before
            self._steps[self._length] = step
            for row in self._values.values():
                row[self._length] = math.nan
            self._length += 1
        for name, value in values.items():
            if name not in self._values:
                self._values[name] = np.empty(len(self._steps))
                self._values[name][: self._length] = math.nan
            self._values[name][self._length - 1] = value

    @property
    def names(self) -> tuple[str, ...]:
        """Return what was measured, in the order in which it came first."""
        return tuple(self._values)

    def points(self, name: str) -> Points:
        if name not in self._values:
            return Points()
        return Points(self._steps[: self._length], self._values[name][: self._length])


class EvaluationHistory(Fold):
    """One run's events as far as its curves need them.

    alone: the run has one member, whose evaluations are their own mean and are kept once.
    epochs: from each change of the batch size on; resized: the events. total_steps: as planned last.
    """

    def __init__(self, diverged: frozenset[int], points: Sequence[SweepPoint] = (), *, alone: bool) -> None:
        self._diverged, self._alone = diverged, alone
        self._point_of = {member: point.members for point in points for member in point.members}
        super().__init__()

    def begin(self) -> None:
        self.winner: tuple[int, ...] | None = None  # of a sweep: the members of the candidate that was chosen
        self._marks: list[tuple[int, str, str]] = []
        self.epochs: list[Epochs] = []
        self.resized: list[Event] = []
        self.total_steps: int | None = None
        self._evaluations: dict[tuple[str, Member], Evaluations] = {}
        # Of the last step, by split and what has a mean: who said what.
        self._together: dict[tuple[str, Member], tuple[int, dict[int, dict[str, float]]]] = {}

    def points(self, split: str, name: str, member: Member = "mean") -> Points:
        """Return the evaluations of one member, or means: of all, or of a sweep's candidate, less what diverged."""
        found = self._evaluations.get((split, 0 if self._alone and member == "mean" else member))
        return Points() if found is None else found.points(name)

    def names(self, split: str) -> tuple[str, ...]:
        """Return what the evaluations of a split have measured."""
        return tuple(
            dict.fromkeys(name for (of, _), each in self._evaluations.items() if of == split for name in each.names)
        )

    def marks_between(self, first: int, last: int) -> list[tuple[int, str, str]]:
        """Return (step, words, style) of each change from step `first` up to and including `last`."""
        begin = bisect_left(self._marks, first, key=lambda mark: mark[0])
        return self._marks[begin : bisect_right(self._marks, last, key=lambda mark: mark[0])]

    def add(self, event: Event) -> None:
        kind = event.get("event")
        if kind == "evaluation":
            self._evaluation(evaluation_of(event))
        elif kind == "winner":
            self.winner = tuple(event["members"])
        elif kind in ("plan", "batch_size", "length"):
            self.total_steps = event.get("total_steps", self.total_steps)
            if kind == "batch_size":
                self.epochs.append(resized(event))
                self.resized.append(event)
        else:
            mark = mark_of(event)
            if mark is not None:
                self._marks.append(mark)

    def _evaluation(self, evaluation: Evaluation) -> None:
        step, split, member, told = evaluation
        values = {name: math.nan if value is None else float(value) for name, value in told.items()}
        self._of(split, member).put(step, values)
        if self._alone or member in self._diverged:
            return
        self._add_to("mean", split, step, member, values)
        if member in self._point_of:
            self._add_to(self._point_of[member], split, step, member, values)

    def _add_to(self, of: Member, split: str, step: int, member: int, values: dict[str, float]) -> None:
        """Correct the mean at a step by what one more member has said."""
        at, together = self._together.get((split, of), (-1, {}))
        if at != step:
            together = {}
            self._together[split, of] = step, together
        together[member] = values
        self._of(split, of).put(step, {name: _mean(each.get(name) for each in together.values()) for name in values})

    def _of(self, split: str, member: Member) -> Evaluations:
        key = split, member
        if key not in self._evaluations:
            self._evaluations[key] = Evaluations()
        return self._evaluations[key]


def _mean(values: Iterable[float | None]) -> float:
    mean = mean_of_finite(values)
    return math.nan if mean is None else mean


def best_of(follower: Follower, member: Member, until: int | None = None) -> tuple[int, str, float] | None:
    """Return the step of the best evaluation, what it is the best by, and its value; None without two evaluations.

    The run's preset says what the best is. until: the last step that counts.

    For whoever may read the follower now.
    """
    by = _by.get(follower)
    if by is None:
        by = _by[follower] = best_by(follower.folder)
    history = history_of(follower)
    points = history.points("validation", by.metric.removeprefix("val_"), member)
    if not len(points.steps):
        by, points = BestBy(), history.points("validation", "loss", member)
    there = np.isfinite(points.values) & (points.steps > 0)
    if until is not None:
        there &= points.steps <= until
    if np.count_nonzero(there) < 2:
        return None
    steps, values = points.steps[there], points.values[there]
    at = int(np.argmax(values) if by.highest else np.argmin(values))
    return int(steps[at]), by.metric.removeprefix("val_"), float(values[at])


_by: weakref.WeakKeyDictionary[Follower, BestBy] = weakref.WeakKeyDictionary()
# Of each follower what its history is of, and the history.
_kept: weakref.WeakKeyDictionary[Follower, tuple[object, EvaluationHistory]] = weakref.WeakKeyDictionary()


def history_of(follower: Follower) -> EvaluationHistory:
    """Return the history of the events so far. It is made anew once a member has diverged.

    Only the thread that may read the follower may call it.
    """
    alone = follower.layout is not None and len(follower.layout.members) == 1
    of = follower.diverged, alone, bool(follower.points)
    made, history = _kept.get(follower, (None, None))
    if history is None or made != of:
        history = EvaluationHistory(follower.diverged, follower.points, alone=alone)
        _kept[follower] = of, history
    history.take(follower.events, follower.events.voided)
    return history
