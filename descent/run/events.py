"""The events of a run: writing them, reading them as the log grows, and how its steps lie in epochs.

Of a long log only the last events stay in memory.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from descent.common.files import JsonLines, JsonLinesReader, read_json_lines

if TYPE_CHECKING:
    from descent.run.folder import RunFolder
    from descent.run.state import State


@dataclass(frozen=True)
class Epochs:
    """per_epoch: steps of an epoch from step `since` on, where `passed` epochs were over."""

    per_epoch: int
    since: int = 0
    passed: int = 0

    def at(self, step: int) -> float:
        """Passes over the data at a step."""
        return self.passed + max(0, step - self.since) / self.per_epoch


def resized(event: Mapping[str, Any]) -> Epochs:
    """From an event of kind batch_size on."""
    return Epochs(max(1, int(event["per_epoch"])), int(event["step"]), int(event["epoch"]))


def epochs_since(change: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> Epochs:
    """Since the last `change`, an event of kind batch_size, if any; else as `facts`, run.json, tells."""
    return resized(change) if change is not None else Epochs(max(1, int(facts["steps_per_epoch"])))


def epochs_before(step: int, events: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> Epochs:
    """As the last update before `step` was made: of a change at that very step the next one is the first to know."""
    changes = [event for event in events if event.get("event") == "batch_size" and int(event["step"]) < step]
    return epochs_since(changes[-1] if changes else None, facts)


KEPT = 4096  # events that stay at least

Event = dict[str, Any]


class History(Sequence[Event]):
    """The events as of the last `look`, less what a resume or a rewind has voided.

    Who asks for earlier ones than those in memory waits until the log is read again: it is meant to be followed, by
    the numbers of the events that are new. They all change where events are voided; `voided` says how often that was.
    """

    def __init__(self, folder: "RunFolder") -> None:
        self.voided = 0
        self._folder = folder
        self._log = JsonLinesReader(folder.events_file)
        self._kept: list[tuple[int, Event]] = []  # each with the byte that its line begins at
        self._left_out = 0  # events before those

    def look(self) -> list[Event]:
        """Those that are new, in the order in which they came."""
        if len(self._kept) > 2 * KEPT:  # whoever follows has seen them since the last look
            self._left_out += len(self._kept) - KEPT
            self._kept = self._kept[-KEPT:]
        new = self._log.read_with_positions()
        for position, event in new:
            if event.get("event") in ("resumed", "rewound"):
                self._void(position, int(event["to"]), event.get("log"))
            self._kept.append((position, event))
        return [event for _, event in new]

    def _void(self, position: int, to: int, log: int | None) -> None:
        """The run went back to step `to`, where its log ended at byte `log`; it says so at `position`."""
        known = valid_events(self._folder, position) if self._left_out else self._kept
        self._kept = [(at, event) for at, event in known if stays(event, at, to=to, log=log)]
        self._left_out = 0
        self.voided += 1

    def __len__(self) -> int:
        return self._left_out + len(self._kept)

    def __iter__(self) -> Iterator[Event]:
        return iter(self[:])

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, int):
            found = self[index : index + 1] if index != -1 else self[-1:]
            if not found:
                raise IndexError(index)
            return found[0]
        begin, end, step = index.indices(len(self))
        known, left_out = self._kept, self._left_out
        if begin < left_out:
            known, left_out = valid_events(self._folder, self._log.position), 0
        return [event for _, event in known[begin - left_out : max(0, end - left_out) : step]]


SCRIPT = "replay.jsonl"


def script_of(run: "RunFolder") -> list[dict[str, Any]]:
    """The commands that a replay is still to be given, by step; empty for any other run."""
    script = read_json_lines(run.path / SCRIPT)
    given = sum(1 for event in run.events() if event["event"] == "command" and event.get("replayed"))
    return script[given:]


def valid_events(run: "RunFolder", until: int | None = None) -> list[tuple[int, dict[str, Any]]]:
    """What happened before byte `until` of the log was written, less what was void by then; each with its byte."""
    events: list[tuple[int, dict[str, Any]]] = []
    for position, event in JsonLinesReader(run.events_file).read_with_positions():
        if until is not None and position >= until:
            break
        if event.get("event") in ("resumed", "rewound"):
            to, log = int(event["to"]), event.get("log")
            events = [(at, e) for at, e in events if stays(e, at, to=to, log=log)]
        events.append((position, event))
    return events


def stays(event: dict[str, Any], at: int, *, to: int, log: int | None) -> bool:
    """Whether an event still counts after the run went back to step `to`, where its log ended at byte `log`."""
    if event.get("event") == "state":
        return True
    if event.get("event") in ("command", "evaluation") and log is not None:
        return at < log  # two commands of one step may lie before and behind a checkpoint
    return int(event.get("step", 0)) <= to


class Events:
    """The worker's hand on events.jsonl."""

    def __init__(self, run: "RunFolder") -> None:
        self._lines = JsonLines(run.events_file)

    def write(self, event: str, **values: Any) -> None:
        """One line. Floats that JSON can't hold (NaN, infinity) become null."""
        entry = {"time": round(time.time(), 3), "event": event, **values}
        self._lines.append({key: _plain(value) for key, value in entry.items()})

    def state(self, state: "State", **values: Any) -> None:
        self.write("state", state=state, **values)
        if state not in ("running", "paused"):  # after a power cut these two say the same: lost
            self._lines.sync()

    def size(self) -> int:
        """Bytes written so far."""
        return self._lines.size()

    def sync(self) -> None:
        self._lines.sync()

    def close(self) -> None:
        self._lines.close()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
