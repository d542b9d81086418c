"""Of a growing log the events that a run's results are read off: what later ones have made worthless is let go."""

import math
from typing import Any

from engine.follow.follower import Follower

Event = dict[str, Any]


class Gist:
    """A look costs what is new; a resume or a rewind, which voids events, costs all of them once.

    Let go are checkpoints but for the latest, and of each split and member the evaluations that were neither the
    latest nor, when they came, the best: what early stopping goes by stays.
    """

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self._forget()

    def _forget(self) -> None:
        self._voided = self.follower.events.voided
        self._known = 0  # events that were taken up
        self._kept: dict[int, Event] = {}  # by their number
        self._least: dict[object, float] = {}  # loss
        self._passing: dict[object, int] = {}  # of each kind the latest, where the next one takes its place

    def look(self) -> list[Event]:
        """Those that count, in the order in which they came, as of the follower's last look."""
        events = self.follower.events
        if events.voided != self._voided:
            self._forget()
        for event in events[self._known :]:
            self._add(self._known, event)
            self._known += 1
        return list(self._kept.values())

    def _add(self, number: int, event: Event) -> None:
        if event.get("event") in ("evaluation", "checkpoint"):
            kind = event["event"], event.get("split"), event.get("member", 0)
            self._kept.pop(self._passing.pop(kind, -1), None)
            loss = event.get("loss")
            if isinstance(loss, int | float) and loss < self._least.get(kind, math.inf):
                self._least[kind] = loss
            else:
                self._passing[kind] = number
        self._kept[number] = event
