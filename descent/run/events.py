"""The events of a run: writing them, and reading them as the log grows.

Of a long log only the last events stay in memory. What a resume or a rewind voids is left out here and nowhere else.
"""

import math
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from descent.common.files import JsonLines
from descent.run.schema import EVENTS, NO_VALUES, EventReader
from descent.run.schema import SCRIPT as SCRIPT_SHAPE
from descent.run.state import State

KEPT = 4096  # events that stay in memory at least
Event = dict[str, Any]  # one line; `event` is its kind, and what else it has is of that kind
SCRIPT = "replay.jsonl"
STEERING = ("set", "extend", "action")  # commands that change what a run computes


class Evaluation(NamedTuple):
    """An event of kind evaluation or ensemble.

    values: by name, in the order in which they were given; None where it is not finite.
    """

    step: int
    split: str
    member: int
    values: dict[str, float | None]


def evaluation_of(event: Event) -> Evaluation:
    """Return the evaluation that an event of kind evaluation or ensemble holds."""
    values: dict[str, float | None] = {
        name: value
        for name, value in event.items()
        if name not in NO_VALUES and (value is None or type(value) in (int, float))
    }
    return Evaluation(int(event["step"]), str(event.get("split")), int(event.get("member", 0)), values)


class MemberEnd(NamedTuple):
    """An event of kind member: one of several trains no more."""

    member: int
    state: Literal["diverged", "stopped early"]
    step: int


def member_end_of(event: Event) -> MemberEnd:
    """Return the end of a member that an event of kind member holds."""
    return MemberEnd(int(event["member"]), event["state"], int(event["step"]))


class EventLog(Sequence[Event]):
    """The events of a run as of the last `look`, less what a resume or a rewind has voided.

    It is meant to be followed by the numbers of the events that are new, as a Fold does: the last `keep` of them stay
    in memory at least, and for an earlier one the log is read again. All numbers change where events are voided;
    `voided` says how often that was.
    """

    def __init__(self, run: Path, keep: int = KEPT) -> None:
        self.voided = 0
        self._run, self._keep = run, keep
        self._lines = EventReader(run)
        self._kept: list[tuple[int, Event]] = []  # each with the byte that its line begins at
        self._left_out = 0  # events before those

    def look(self) -> list[Event]:
        """Read the log to its end. Returns the events that are new, in their order."""
        excess = len(self._kept) - self._keep
        if excess > self._keep:  # whoever follows has seen them since the last look
            self._left_out += excess
            self._kept = self._kept[excess:]
        new = self._lines.read_with_positions()
        self._take_up(new)
        return [event for _, event in new]

    def _take_up(self, new: Iterable[tuple[int, Event]]) -> None:
        for position, event in new:
            if event.get("event") in ("resumed", "rewound"):
                before = self._before(position)
                self._kept = still_valid(before, to=int(event["to"]), log=event.get("log"))
                self._left_out = 0
                self.voided += 1
            self._kept.append((position, event))

    def _before(self, position: int) -> list[tuple[int, Event]]:
        """All that counted when the log was as long as byte `position`."""
        if not self._left_out:
            return self._kept
        again = EventLog(self._run)
        lines = EventReader(self._run).read_with_positions()
        again._take_up(line for line in lines if line[0] < position)
        return again._kept

    def with_positions(self) -> list[tuple[int, Event]]:
        """Return the events, each with the byte of the log where its line begins."""
        return list(self._before(self._lines.position))

    def is_cut(self) -> bool:
        """Return whether the log is shorter than what was read of it: the run is gone, or another has its name."""
        return self._lines.is_cut()

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
            known, left_out = self.with_positions(), 0
        return [event for _, event in known[begin - left_out : max(0, end - left_out) : step]]


def valid_events(run: Path) -> list[tuple[int, Event]]:
    """Return the events of the run in the folder `run` that a resume or a rewind has not voided.

    Each comes with the byte of the log where its line begins.
    """
    log = EventLog(run)
    log.look()
    return log.with_positions()


def still_valid(events: Iterable[tuple[int, Event]], *, to: int, log: int | None) -> list[tuple[int, Event]]:
    """Return the events that still count after the run went back to step `to`, where its log ended at byte `log`."""
    return [(at, event) for at, event in events if _stays(event, at, to, log)]


def _stays(event: Event, at: int, to: int, log: int | None) -> bool:
    if event.get("event") == "state":
        return True
    if event.get("event") in ("command", "evaluation") and log is not None:
        return at < log  # two commands of one step may lie before and behind a checkpoint
    return int(event.get("step", 0)) <= to


class Fold(ABC):
    """A value that is computed from a run's valid events, one after the other.

    A look costs what is new. Where events were voided it begins anew, with all that are valid.
    """

    def __init__(self) -> None:
        self._voided = 0  # as the log said last
        self._known = 0  # events that were taken up
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Forget all events."""

    @abstractmethod
    def add(self, event: Event) -> None:
        """Take up the next event."""

    def begin_anew(self) -> None:
        self._known = 0
        self.begin()

    def take(self, events: Sequence[Event], voided: int) -> Sequence[Event]:
        """Take up the new events and return them. voided: how often events were voided, as an EventLog counts."""
        if voided != self._voided or len(events) < self._known:
            self._voided = voided
            self.begin_anew()
        new = events[self._known :]
        for event in new:
            self.add(event)
            self._known += 1
        return new


class EventIndex(Fold):
    """The events that results are read from, in constant memory however long the log.

    Let go are samples, checkpoints but for the latest, and of each split and member the evaluations that were neither
    the latest nor, when they came, the best: what early stopping goes by stays.
    """

    def begin(self) -> None:
        self._kept: dict[int, Event] = {}  # by their number
        self._least: dict[object, float] = {}  # loss
        self._passing: dict[object, int] = {}  # of each kind the latest, where the next one takes its place

    @property
    def kept(self) -> list[Event]:
        """Return the events that are kept, in their order."""
        return list(self._kept.values())

    def add(self, event: Event) -> None:
        if event.get("event") == "sample":
            return  # a loop may give one at every step
        if event.get("event") in ("evaluation", "checkpoint"):
            kind = event["event"], event.get("split"), event.get("member", 0)
            self._kept.pop(self._passing.pop(kind, -1), None)
            loss = event.get("loss")
            if isinstance(loss, int | float) and loss < self._least.get(kind, math.inf):
                self._least[kind] = loss
            else:
                self._passing[kind] = self._known
        self._kept[self._known] = event


def script_of(run: Path) -> list[dict[str, Any]]:
    """Return the commands that a replay is still to be given, by step. Empty for any other run."""
    script = EventReader(run, SCRIPT, SCRIPT_SHAPE).read()
    given = sum(1 for _at, event in valid_events(run) if event["event"] == "command" and event.get("replayed"))
    return script[given:]


def to_give_again(run: Path, log: int) -> list[dict[str, Any]]:
    """Return the commands that a run loses by going on from its last checkpoint, where its log ended at byte `log`.

    They were given after it, by a worker that was killed. Also those that an earlier resume was still to give again.
    Each is as `as_entry` returns it. Ask before the resume is written to the log.
    """
    events = valid_events(run)
    given = [(at, e) for at, e in events if e.get("event") == "command" and e["command"] in STEERING]
    promised: list[dict[str, Any]] = []
    for at, event in events:
        if event.get("event") == "again":
            promised = list(event["commands"])
            for _, again in [(a, e) for a, e in given if a > at and e.get("again")]:
                promised = [one for one in promised if not _is_same(one, again)]
    lost = [event for at, event in given if at >= log and not event.get("replayed")]
    entries = [as_entry(event) for event in [*lost, *promised]]
    return sorted(entries, key=lambda entry: int(entry["step"]))


def as_entry(event: Event) -> dict[str, Any]:
    """Return what a replay or a resume needs of a command in the log, to give it again."""
    return {key: event[key] for key in ("step", "command", "arguments", "given_by") if key in event}


def _is_same(one: Event, other: Event) -> bool:
    return all(one[key] == other[key] for key in ("step", "command", "arguments"))


class Events:
    """A writer of events.jsonl, for the worker."""

    def __init__(self, run: Path) -> None:
        self._lines = JsonLines(run / EVENTS)

    def write(self, event: str, **values: Any) -> None:
        """Write one event. Numbers that JSON can't hold (NaN, infinity) become null."""
        entry = {"time": round(time.time(), 3), "event": event, **values}
        self._lines.append({key: _plain(value) for key, value in entry.items()})

    def state(self, state: State, **values: Any) -> None:
        """Write a change of the run's state. The end of a run is on the disk when this returns."""
        self.write("state", state=state, **values)
        if state not in ("running", "paused"):  # after a power cut these two say the same: lost
            self._lines.sync()

    def awaited(self, pid: int) -> None:
        """Write that the run is starting as long as a process of this machine lives, which waits for its worker."""
        self.state("starting", awaited=pid, host=socket.gethostname())

    def size(self) -> int:
        """Return the length of the log in bytes."""
        return self._lines.size()

    def sync(self) -> None:
        self._lines.sync()

    def close(self) -> None:
        self._lines.close()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
