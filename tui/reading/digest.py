"""What curves take from a run's events: evaluations and marks in arrays that grow with what is new."""

import math
import weakref
from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.epochs import Epochs, resized
from engine.follow import Follower, Member
from tui.reading.marks import mark_of

Floats = NDArray[np.float64]
NAMES = ("loss", "accuracy")  # what an evaluation tells


class Points:
    """(step, value) pairs with ascending steps. What was handed out is not written to, but for its last value."""

    def __init__(self) -> None:
        self._room = np.empty((2, 256))
        self._length = 0

    def put(self, step: int, value: float) -> None:
        """Add a point, or correct the last one."""
        if not self._length or self._room[0, self._length - 1] != step:
            if self._length == self._room.shape[1]:
                larger = np.empty((2, 2 * self._length))  # what is not written to yet takes no memory
                larger[:, : self._length] = self._room
                self._room = larger
            self._length += 1
        at = self._length - 1
        self._room[0, at], self._room[1, at] = step, value  # in one go it takes twice as long

    @property
    def steps(self) -> Floats:
        return self._room[0, : self._length]

    @property
    def values(self) -> Floats:
        return self._room[1, : self._length]

    @property
    def latest(self) -> float | None:
        """The last value; None where it was not finite, or there is none."""
        value = float(self._room[1, self._length - 1]) if self._length else math.nan
        return value if math.isfinite(value) else None


class Digest:
    """One run's events as far as its curves need them.

    alone: the run has one member, whose evaluations are their own mean and are kept once.
    epochs: from each change of the batch size on. total_steps: as planned last. known: events that are in it.
    """

    def __init__(self, diverged: frozenset[int], *, alone: bool) -> None:
        self._marks: list[tuple[int, str, str]] = []
        self.epochs: list[Epochs] = []
        self.total_steps: int | None = None
        self.known = 0
        self._diverged, self._alone = diverged, alone
        self._points: dict[tuple[str, str, Member], Points] = {}
        self._together: dict[tuple[str, str], tuple[int, dict[int, float]]] = {}  # of the last step: who said what

    def points(self, split: str, name: str, member: Member = "mean") -> Points:
        """The evaluations of one member, or their mean over those that have not diverged."""
        return self._points.get((split, name, 0 if self._alone and member == "mean" else member)) or Points()

    def marks_between(self, first: int, last: int) -> list[tuple[int, str, str]]:
        """(step, words, style) of what was changed from step `first` to `last`, both with it."""
        begin = bisect_left(self._marks, first, key=lambda mark: mark[0])
        return self._marks[begin : bisect_right(self._marks, last, key=lambda mark: mark[0])]

    def add(self, event: dict[str, Any]) -> None:
        """Take up the next event."""
        kind = event.get("event")
        if kind == "evaluation":
            for name in NAMES:
                if name in event:
                    self._evaluation(event, name)
        elif kind in ("plan", "batch_size"):
            self.total_steps = event.get("total_steps", self.total_steps)
            if kind == "batch_size":
                self.epochs.append(resized(event))
        else:
            mark = mark_of(event)
            if mark is not None:
                self._marks.append(mark)
        self.known += 1

    def _evaluation(self, event: dict[str, Any], name: str) -> None:
        split, step, member = str(event.get("split")), int(event["step"]), int(event.get("member", 0))
        value = math.nan if event[name] is None else float(event[name])
        self._of(split, name, member).put(step, value)
        if self._alone or member in self._diverged:
            return
        at, together = self._together.get((split, name), (-1, {}))
        if at != step:
            together = {}
            self._together[split, name] = step, together
        together[member] = value
        finite = [each for each in together.values() if math.isfinite(each)]
        self._of(split, name, "mean").put(step, sum(finite) / len(finite) if finite else math.nan)

    def _of(self, split: str, name: str, member: Member) -> Points:
        key = split, name, member
        if key not in self._points:
            self._points[key] = Points()
        return self._points[key]


_kept: weakref.WeakKeyDictionary[Follower, tuple[object, Digest]] = weakref.WeakKeyDictionary()  # and what it is of


def digest_of(follower: Follower) -> Digest:
    """The events digested so far; made anew once a rewind has voided some, or a member has diverged.

    For whoever may read the follower now.
    """
    alone = follower.layout is not None and len(follower.layout.members) == 1
    of = follower.rewinds, follower.diverged, alone
    made, digest = _kept.get(follower, (None, None))
    if digest is None or made != of:
        digest = Digest(follower.diverged, alone=alone)
        _kept[follower] = of, digest
    for event in follower.events[digest.known :]:
        digest.add(event)
    return digest
