"""What a run's events come to: the last of each kind and where the run stands, kept up as they come."""

from collections.abc import Sequence
from typing import Any

from tui.reading import live

Event = dict[str, Any]


class Story:
    """A look costs what is new; a rewind, which voids events, costs all of them once.

    last: the latest event of each kind. anomaly: the one that nobody has seen to yet. collapse: the event, while the
    model is broken. edits: live settings, as they were changed. checkpoints: the events that tell of one.
    """

    def __init__(self) -> None:
        self._known = -1  # events, and rewinds, that are in it
        self._rewinds = -1
        self._forget()

    def _forget(self) -> None:
        self.last: dict[str, Event] = {}
        self.anomaly: Event | None = None
        self.collapse: Event | None = None
        self.edits: dict[str, Any] = {}
        self.checkpoints: list[Event] = []
        self.total_steps: int | None = None
        self._known = 0

    def take(self, events: Sequence[Event], rewinds: int) -> frozenset[str]:
        """The kinds of the events that were new."""
        if rewinds != self._rewinds or len(events) < self._known:
            self._forget()
            self._rewinds = rewinds
        new = events[self._known :]
        for event in new:
            self._add(event)
        self._known = len(events)
        return frozenset(str(event.get("event")) for event in new)

    def _add(self, event: Event) -> None:
        kind = str(event.get("event"))
        self.last[kind] = event
        match kind:
            case "command" if event.get("command") == "set":
                self.edits.update(live.edits((event.get("arguments") or {}).get("edits", ())))
            case "checkpoint":
                self.checkpoints.append(event)
            case "anomaly":
                self.anomaly = event
            case "collapse":
                self.collapse = event
            case "recovered":
                self.collapse = None
            case "rewound" | "resumed":
                self.anomaly = self.collapse = None
            case "state" if event.get("state") == "running":
                self.anomaly = None  # somebody has seen to it
        if kind in ("plan", "batch_size"):
            self.total_steps = event.get("total_steps", self.total_steps)
