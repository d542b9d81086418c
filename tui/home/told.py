"""What a run's events come to for a line in the list: kept up as they come, so that a long log is read once."""

from typing import Any

from engine.files import JsonLinesReader
from engine.run import RunFolder, valid_events

Event = dict[str, Any]
Reached = tuple[float | None, float | None]  # loss and accuracy


class Told:
    """As of the last `look`. last: the latest event of each kind. total: steps as planned last.

    began: the event that says which machine trains it. state: the event that says its state; empty before the first.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._forget()

    def _forget(self) -> None:
        self._log = JsonLinesReader(self._folder.events_file)
        self.last: dict[str, Event] = {}
        self.state: Event = {}
        self.began: Event = {}
        self.total: float | None = None
        self._evaluations: dict[tuple[str, int], Event] = {}  # the latest of each split and member

    def look(self) -> None:
        """Take up what is new; all of it, where a rewind has voided something."""
        if self._log.is_cut():
            self._forget()  # another run of the same name
        new = self._log.read()
        if any(event.get("event") in ("resumed", "rewound") for event in new):
            known = self._log.position
            self._forget()
            self._log.position = known
            new = [event for _, event in valid_events(self._folder, known)]
        for event in new:
            self._add(event)

    def _add(self, event: Event) -> None:
        kind = str(event.get("event"))
        self.last[kind] = event
        self.total = event.get("total_steps", self.total)
        if kind == "evaluation":
            self._evaluations[str(event["split"]), int(event.get("member", 0))] = event
        elif kind == "state":
            self.state = event
            if event.get("state") == "starting":
                self.began = event

    def reached(self) -> dict[str, Reached]:
        """Of each split the latest evaluation: its mean over the members, or over a sweep's winner."""
        winner = self.last.get("winner")
        of_splits: dict[str, list[Event]] = {}
        for (split, member), event in self._evaluations.items():
            if winner is None or member in winner["members"]:
                of_splits.setdefault(split, []).append(event)
        return {split: _mean_of_last(events) for split, events in of_splits.items()}


def _mean_of_last(events: list[Event]) -> Reached:
    step = max(int(event["step"]) for event in events)
    together = [event for event in events if int(event["step"]) == step]
    loss, accuracy = ([e[name] for e in together if e.get(name) is not None] for name in ("loss", "accuracy"))
    return _mean(loss), _mean(accuracy)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
