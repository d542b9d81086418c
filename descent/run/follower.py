"""Follows a run as it grows: a look costs what is new, and only the columns asked for take memory.

Columns become series (`series.py`) that draw equally
fast for a thousand steps and for millions.
"""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import mean_over_members
from descent.run.events import Event, EventLog, Fold, MemberEnd, member_end_of
from descent.run.folder import RunFolder
from descent.run.layout import Layout, generations
from descent.run.metrics import Segment, valid
from descent.run.scalars import ScalarFollower
from descent.run.series import MinMaxPyramid
from descent.run.state import State, host_of, state_now
from descent.run.sweep import SweepPoint, points_of

AT_ONCE = 1 << 16  # steps given to a series at once: fewer cost more, more take more memory

# One of the members, the mean of some of them, or what all have in common.
Member = int | tuple[int, ...] | Literal["low", "mean", "high"]
Key = tuple[str, Member]
LOOK_BACK = 4 << 20  # bytes of rows in which the last number is looked for: of one model some 20,000 steps


class LastValues:
    """The last value of a column. latest: the last one that is not NaN, None if there is none."""

    def __init__(self) -> None:
        self.latest: float | None = None
        self._room = np.empty(0, np.float32)

    def room(self, count: int) -> NDArray[np.float32]:
        """Return room for the next steps, (count,), to be written to."""
        self._room = np.empty(count, np.float32)
        return self._room

    def filled(self, count: int) -> None:
        """Count the first `count` places of the room given last as values. The room must not be used any more."""
        measured = np.flatnonzero(~np.isnan(self._room[:count]))
        if len(measured):
            self.latest = float(self._room[measured[-1]])
        self._room = np.empty(0, np.float32)


class _States(Fold):
    """What the events say of a run's state and of its members'."""

    def begin(self) -> None:
        self.last: Event = {}
        self.began: Event = {}  # the event of the last start
        self.ended: dict[int, MemberEnd] = {}

    def add(self, event: Event) -> None:
        match event.get("event"):
            case "state":
                self.last = event
                if event.get("state") == "starting":
                    self.began = event
            case "member":
                end = member_end_of(event)
                self.ended[end.member] = end


class Follower:
    """A run folder's rows, events and state as of the last `look`.

    step: rows there are. scalars: numbers of other names.
    events: all that happened, less what a resume or a rewind has voided. state: as
    RunFolder.state. facts and layout: of run.json and metrics.json, empty and None until the run has got so far.
    ended: the members that train no more. What members have in
    common leaves out those that diverged, all their steps: one that goes to infinity would be all that is seen.
    points: the candidates of a sweep.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.layout: Layout | None = None
        self.facts: dict[str, Any] = {}
        self._facts_at = (0, 0)  # number and time of the file that they were read from
        self.step = 0
        self.state: State = "starting"
        self.events = EventLog(folder.path)
        self.scalars = ScalarFollower(folder.path)
        self.rewinds = 0  # how often events or rows were voided since this Follower was made
        self._states = _States()
        self._generation = -1
        self._segments: tuple[Segment, ...] = ()  # of the files, as of the last look
        self._series: dict[Key, MinMaxPyramid] = {}
        self._tails: dict[Key, LastValues] = {}  # of columns of which only the last number is wanted
        self.look()

    # --- looking ---

    def look(self) -> bool:
        """Read what is new. Returns whether anything is."""
        before = self.step, self.rewinds, self.state, len(self.events), self.layout is None, len(self.facts)
        if self.layout is None:
            self.layout = Layout.load(self.folder.path)
        self._read_facts()
        self.state = self._state_now()  # reads the events
        has_scalars = self._read_rows()
        now = self.step, self.rewinds, self.state, len(self.events), self.layout is None, len(self.facts)
        return now != before or has_scalars

    def _read_facts(self) -> None:
        """Read run.json if it is another one than before: that of a loop of one's own grows at its start."""
        try:
            found = os.stat(self.folder.path / "run.json")
        except OSError:
            return
        if (found.st_ino, found.st_mtime_ns) != self._facts_at:
            self._facts_at = found.st_ino, found.st_mtime_ns
            self.facts = self.folder.facts()

    def _read_events(self) -> None:
        diverged, voided = self.diverged, self.events.voided
        self.events.look()
        self._states.take(self.events, self.events.voided)
        self.rewinds += self.events.voided - voided
        if self.diverged != diverged:  # read anew when somebody asks: the rest have other means
            self._series = {key: series for key, series in self._series.items() if isinstance(key[1], int)}
            self._tails.clear()

    @property
    def ended(self) -> dict[int, MemberEnd]:
        return self._states.ended

    @property
    def diverged(self) -> frozenset[int]:
        """Return the members that have diverged."""
        return frozenset(member for member, end in self.ended.items() if end.state == "diverged")

    @functools.cached_property
    def _points(self) -> tuple[SweepPoint, ...]:
        return points_of(self.layout.members if self.layout is not None else ())

    @property
    def points(self) -> tuple[SweepPoint, ...]:
        """Return the candidates of a sweep. Empty for any other run, and before the layout is known."""
        return self._points if self.layout is not None else ()

    @property
    def host(self) -> str:
        """Return the machine that trained the run last, as RunFolder.host does."""
        return host_of(self._states.began, self.facts)

    def _state_now(self) -> State:
        return state_now(self.folder.path, self._look_for_state, lambda: self.host)

    def _look_for_state(self) -> dict[str, Any]:
        self._read_events()
        return self._states.last

    # --- rows ---

    def _read_rows(self) -> bool:
        """Read what is new. Returns whether scalars are."""
        files = generations(self.folder.path)
        if self.layout is None or not files:
            return False
        newer = [start for number, start, _ in files if number > self._generation]
        self._generation = files[-1][0]
        self._segments = valid(files)
        if newer and min(newer) < self.step:
            self._truncate(min(newer))
        for segment in self._segments:
            self.step = self._read_segment(segment, self.step, {**self._tails, **self._series})
        return self.scalars.look(files)

    def _truncate(self, step: int) -> None:
        self.step = step
        self.rewinds += 1
        for pyramid in self._series.values():
            pyramid.truncate(step)
        self.scalars.truncate(step)
        self._tails.clear()  # looked for anew when somebody asks

    def _read_segment(self, segment: Segment, first: int, series: Mapping[Key, MinMaxPyramid | LastValues]) -> int:
        """Append the rows of a file from step `first` on to `series`; the step that follows the last of them."""
        if segment.end is not None and segment.end <= first:
            return first
        if first < segment.first:  # never by our own hand: rows are synced before a checkpoint
            first = _pad(series, first, segment.first)
        there = segment.there(self._width)
        if not series:
            first = max(first, there)
        while first < there:
            last = min(first + AT_ONCE, there)
            done = self._copy(segment, first, last, series, [each.room(last - first) for each in series.values()])
            for each in series.values():
                each.filled(done)
            first += done
            if first < last:
                break  # the file is gone
        return _pad(series, first, segment.end) if segment.end is not None and first < segment.end else first

    def _copy(
        self, segment: Segment, first: int, last: int, keys: Iterable[Key], into: Sequence[NDArray[np.float32]]
    ) -> int:
        """Write what steps have of each key into its array of (last - first,); how many rows there were."""
        done = 0
        for rows in segment.rows(first, last, self._width):
            pieces = [room[done : done + len(rows)] for room in into]
            self._take(rows.reshape(len(rows), self._members, -1), keys, pieces)
            done += len(rows)
        return done

    def _again(self, key: Key, first: int, last: int) -> NDArray[np.float32]:
        """(last - first,) what the files have of a series; NaN where they can no longer be read."""
        values = np.full(last - first, np.nan, np.float32)
        for segment in self._segments:
            begin, end = max(first, segment.first), last if segment.end is None else min(last, segment.end)
            if begin < end:
                self._copy(segment, begin, end, [key], [values[begin - first : end - first]])
        return values

    @property
    def _members(self) -> int:
        return len(self.layout.members) if self.layout is not None else 1

    @property
    def _width(self) -> int:
        """Numbers of a row."""
        return self._members * len(self.layout.columns) if self.layout is not None else 0

    def _take(self, rows: NDArray[np.float32], keys: Iterable[Key], into: Iterable[NDArray[np.float32]]) -> None:
        """Copy what is wanted out of rows, (n, M, columns), into arrays of (n,)."""
        assert self.layout is not None
        together = [m for m in range(rows.shape[1]) if m not in self.diverged] or list(range(rows.shape[1]))
        for (column, member), taken in zip(keys, into, strict=True):
            values = rows[:, :, self.layout.columns.index(column)]
            match member:
                case int():
                    taken[:] = values[:, member]
                case tuple():
                    taken[:] = mean_over_members(values[:, [m for m in member if m in together] or list(member)])
                case _:
                    taken[:] = _common(values[:, together], member)

    # --- series ---

    def want(self, columns: Iterable[str], *members: Member) -> None:
        """Ask for several columns, of the first member or of those named, in one pass over the past.

        Those that the run does not have are passed over.
        """
        self._register((column, member) for column in columns for member in members or (0,))

    def series(self, column: str, member: Member = 0) -> MinMaxPyramid:
        """One number a step, kept up to date from now on. Empty, and not kept, where the run has no such column
        or member, or is not so far that its columns are known."""
        self._register([(column, member)])
        return self._series.get((column, member), MinMaxPyramid())

    def band(self, column: str) -> tuple[MinMaxPyramid, MinMaxPyramid, MinMaxPyramid]:
        """The least, the mean and the greatest over the members."""
        self._register([(column, "low"), (column, "mean"), (column, "high")])
        return self.series(column, "low"), self.series(column, "mean"), self.series(column, "high")

    def latest(self, column: str, member: Member = 0) -> float | None:
        """Return the last number measured. Unless the series was asked for, only the last rows are searched."""
        key = column, member
        if key in self._series:
            return self._series[key].latest()
        self.want_latest([column], member)
        return self._tails[key].latest if key in self._tails else None

    def want_latest(self, columns: Iterable[str], member: Member = 0) -> None:
        """Ask for the last numbers of several columns in one pass over the last rows."""
        keys = ((column, member) for column in columns)
        missing = (key for key in keys if key not in self._series and key not in self._tails)
        new = {key: LastValues() for key in missing if self._has(key)}
        if new and self.layout is not None:
            rows = LOOK_BACK // (4 * self._width)
            self._read_past(new, max(0, self.step - max(1, rows)))
            self._tails |= new

    def latest_before(self, step: int, columns: Iterable[str], member: Member = 0) -> dict[str, float | None]:
        """Return the last number measured before a step of each of these columns, searched in the rows before it."""
        found = {(column, member): LastValues() for column in columns if self._has((column, member))}
        if found and self.layout is not None:
            rows = LOOK_BACK // (4 * self._width)
            self._read_past(found, max(0, step - max(1, rows)), step)
        return {column: each.latest for (column, _), each in found.items()}

    def _register(self, keys: Iterable[Key]) -> None:
        missing = (key for key in keys if key not in self._series and self._has(key))
        new = {key: MinMaxPyramid(functools.partial(self._again, key)) for key in missing}
        if not new:
            return
        self._read_past(new, 0)
        self._series |= new

    def _read_past(self, new: Mapping[Key, MinMaxPyramid | LastValues], reached: int, end: int | None = None) -> None:
        """Give them the rows from step `reached` to before `end`, or to where the others are."""
        for segment in self._segments:
            reached = self._read_segment(segment.until(self.step if end is None else end), reached, new)

    def _has(self, key: Key) -> bool:
        column, member = key
        if self.layout is None or column not in self.layout.columns:
            return False
        named = member if isinstance(member, tuple) else (member,) if isinstance(member, int) else ()
        return all(0 <= each < len(self.layout.members) for each in named)


def _pad(series: Mapping[Key, MinMaxPyramid | LastValues], first: int, last: int) -> int:
    """Rows that a disk lost are gaps, and move no other row."""
    for each in series.values():
        each.room(last - first)[:] = np.nan
        each.filled(last - first)
    return last


def _common(values: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """values: (n, M). (n,) the least, the mean or the greatest of the finite ones; NaN where none is."""
    if kind == "mean":
        return mean_over_members(values)
    finite = np.isfinite(values)
    extreme = np.fmin if kind == "low" else np.fmax
    common: NDArray[np.float32] = extreme.reduce(np.where(finite, values, np.float32(np.nan)), axis=1)
    return common
