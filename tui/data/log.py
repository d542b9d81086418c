"""A run's log: a line for each of its events. Routine lines in a row are folded."""

import bisect
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from descent.common.i18n import ngettext
from descent.common.mean import mean_of_finite
from descent.common.numbers import NONE, count, number, percent
from descent.common.text import clean
from descent.run.epochs import Epochs, epochs_since, resized
from descent.run.events import Event, Fold, evaluation_of
from descent.run.sweep import SweepPoint
from tui.data.words import is_best, names_epoch, said

CALM = 1.0  # seconds that new routine lines wait: several a second can't be read
LOOK_BACK = 20  # lines among which the evaluation of a checkpoint is looked for: the file is written a little later
MOST_LINES = 1000  # of a log that is kept for scrolling
ROUTINE = 6  # evaluations and saves in a row that are shown. Those before are counted, so that commands stay in sight


@dataclass(frozen=True)
class LogLine:
    """A line in words.

    clock: local time, "13:15:28". step: where it happened, or None. style: one of widgets.lines.STYLES, or "".
    names_epoch: whether the text begins with the epoch, so that the step need not be shown.
    """

    clock: str
    step: int | None
    text: str
    style: str = ""
    names_epoch: bool = False
    row: "EpochRow | None" = None


class EpochRow(NamedTuple):
    """A line as a row of a table: the number of an epoch, its losses and accuracy, and whether it is the best.

    train: empty as long as nobody has told it.
    """

    epoch: str
    train: str
    val: str
    accuracy: str
    is_best: bool


@dataclass(frozen=True)
class _Evaluation:
    """A line that is put into words when it is shown. Most lines of a long run are folded before that.

    is_best: whether a checkpoint of the best model so far was made of it.
    """

    of_members: tuple[Event, ...]
    epoch: float | None
    points: tuple[SweepPoint, ...] = ()  # of a sweep
    is_best: bool = False

    @property
    def step(self) -> int:
        return int(self.of_members[0]["step"])

    def line(self, facts: dict[str, Any]) -> LogLine:
        event = self._placed(_best(self.of_members, self.points) if self.points else _mean(self.of_members))
        text, style = said(event, facts) or ("", "")
        is_named = names_epoch(event)
        return LogLine(_clock(event), self.step, clean(text), style, is_named, self._row(event) if is_named else None)

    def _row(self, event: Event) -> "EpochRow | None":
        """As a row of a table; None where its loss has a spread, or it tells of other metrics."""
        others = set(evaluation_of(event).values) - {"loss", "accuracy", "epoch", "spread"}
        if event.get("spread") is not None or others or "loss" not in event:
            return None
        accuracy = "" if event.get("accuracy") is None else percent(event["accuracy"])
        return EpochRow(count(event["epoch"]), "", number(event["loss"]), accuracy, self.is_best)

    @property
    def names_epoch(self) -> bool:
        """Return whether its words begin with its epoch."""
        return names_epoch(self._placed(self.of_members[-1]))

    def _placed(self, event: Event) -> Event:
        """The event with the epoch of this line."""
        return event if self.epoch is None else {**event, "epoch": self.epoch}


@dataclass(frozen=True)
class _Folded:
    """A line that stands for routine ones. epochs: how many of them name an epoch. last: the latest that is known."""

    count: int
    epochs: int
    last: LogLine | _Evaluation

    def line(self) -> LogLine:
        clock = self.last.clock if isinstance(self.last, LogLine) else _clock(self.last.of_members[-1])
        if self.epochs:
            text = ngettext("… {count:,} more epoch", "… {count:,} more epochs", self.epochs)
        else:
            text = ngettext("… {count:,} more line", "… {count:,} more lines", self.count)
        return LogLine(clock, None, text, "quiet")


@dataclass(slots=True)
class _Entry:
    """A line in its place. at: the step by which it was there.

    row: which one in a row of routine lines it is, from 1 on; 0 for any other. epochs: how many of that row name an
    epoch, up to this one.
    """

    line: LogLine | _Evaluation
    at: int
    row: int
    epochs: int


class Log(Fold):
    """The lines of a run's valid events."""

    def __init__(self, points: Sequence[SweepPoint] = ()) -> None:
        """points: the candidates of a sweep, of which an evaluation tells the best."""
        self.points = tuple(points)
        self._facts: dict[str, Any] = {}
        self._shown: tuple[LogLine, ...] = ()
        self._shown_at = -CALM
        super().__init__()
        self._news = self._is_urgent = False

    def begin(self) -> None:
        self._entries: list[_Entry] = []
        self._together: tuple[Event, ...] = ()  # of one evaluation, member by member: one line
        self._epochs: Epochs | None = epochs_since(None, self._facts)
        self._folded = 0  # lines that are kept though one line stands for them now
        self._every = 1  # which of those that came long ago are kept
        self._has_begun = False
        self._news = self._is_urgent = True  # lines that are not shown yet; one of them can't wait

    def of(
        self,
        events: Sequence[Event],
        facts: dict[str, Any],
        voided: int = 0,
        train_before: Callable[[int], float | None] | None = None,
    ) -> tuple[LogLine, ...]:
        """All lines, the oldest first; the same object as before where nothing happened.

        voided: as Fold.take has it. train_before: the training loss of the epoch that ends at a step.
        """
        known, self._facts = self._facts.get("steps_per_epoch"), facts
        if facts.get("steps_per_epoch") != known:
            self.begin_anew()
        self.take(events, voided)
        now = time.monotonic()
        if self._news and (self._is_urgent or now - self._shown_at >= CALM):
            self._shown, self._shown_at = self._in_words(facts, train_before), now
            self._news = self._is_urgent = False
        return self._shown

    def until(self, step: int, train_before: Callable[[int], float | None] | None = None) -> tuple[LogLine, ...]:
        """Return the lines as they were at an earlier step. A line without a step has that of the one before it."""
        return self._in_words(self._facts, train_before, step)

    def _in_words(
        self, facts: dict[str, Any], train_before: Callable[[int], float | None] | None, until: int | None = None
    ) -> tuple[LogLine, ...]:
        shown: list[LogLine] = []
        for each in self._unfolded(until):
            if isinstance(each, _Folded):
                shown.append(each.line())
                continue
            line = each.line if isinstance(each.line, LogLine) else each.line.line(facts)
            if train_before is not None and line.row is not None and not line.row.train and line.step is not None:
                loss = train_before(line.step)
                line = replace(line, row=line.row._replace(train=NONE if loss is None else number(loss)))
            each.line = line
            shown.append(line)
        return tuple(shown)

    def _unfolded(self, until: int | None) -> list[_Entry | _Folded]:
        """The entries that are shown, the last few of each row of routine ones, and what stands for those before."""
        known, found = self._entries, list[_Entry | _Folded]()
        end = len(known) if until is None else bisect.bisect_right(known, until, key=lambda entry: entry.at)
        while end and len(found) < MOST_LINES:
            last = known[end - 1]
            first = self._first_of_row(end - 1)
            shown = known[max(first, end - ROUTINE) : end]
            found += reversed(shown)
            if last.row > len(shown):
                epochs = last.epochs - sum(entry.line.names_epoch for entry in shown)
                found.append(_Folded(last.row - len(shown), epochs, known[max(first, end - ROUTINE - 1)].line))
            end = first
        return found[MOST_LINES - 1 :: -1]

    def _first_of_row(self, place: int) -> int:
        """Return the place of the first entry of the row of routine ones that the entry at `place` is in."""
        while place and 0 < self._entries[place - 1].row < self._entries[place].row:
            place -= 1
        return place

    def add(self, event: Event) -> None:
        if event.get("event") == "evaluation":
            self._evaluated(event)
            return
        self._together = ()
        if event.get("event") == "batch_size":
            self._epochs = resized(event)
        told = said(event, self._facts)
        if told is None:
            return
        text, style = told
        if event["event"] == "state" and event["state"] == "running":
            if self._has_begun:
                return  # back at step 0, after a rewind
            self._has_begun = True
        step = event.get("step")
        if event["event"] == "epoch" and self._entries and self._is_evaluated(self._entries[-1].line, step):
            return  # the evaluation of the same moment has said how the epoch went
        if event["event"] == "checkpoint" and is_best(event) and self._is_starred(event["best"]):
            return  # the row of its evaluation says so
        where = step if isinstance(step, int) else None
        line = LogLine(_clock(event), where, clean(text), style, names_epoch(event))
        is_save = event["event"] == "checkpoint" and not is_best(event)
        self._append(line, routine=is_save or event["event"] == "epoch")

    def _evaluated(self, event: Event) -> None:
        """A line of its own, or one more member's part of the evaluation that the last line tells of."""
        last = self._together[-1] if self._together else {}
        same = last.get("step") == event["step"] and last.get("split") == event["split"]
        goes_on = same and event.get("member", 0) > last.get("member", 0)
        self._together = (*self._together, event) if goes_on else (event,)
        epoch = None if self._epochs is None else self._epochs.at(int(event["step"]))
        line = _Evaluation(self._together, epoch, self.points)
        if goes_on:
            self._entries[-1].line = line
            self._news = True
            return
        self._append(line, routine=True)

    def _is_starred(self, step: int) -> bool:
        """Mark the row of the evaluation at a step as the best so far. Returns whether there is one in sight."""
        last = 0  # of the row of routine lines that the entry is in
        for place in range(len(self._entries) - 1, max(-1, len(self._entries) - 1 - LOOK_BACK), -1):
            entry = self._entries[place]
            line, last = entry.line, max(last, entry.row) if entry.row else 0
            if line.step != step or not line.names_epoch or last - entry.row >= ROUTINE:
                continue
            if isinstance(line, _Evaluation):
                entry.line = replace(line, is_best=True)
            elif line.row is not None:
                entry.line = replace(line, row=line.row._replace(is_best=True))
            self._news = True
            return True
        return False

    @staticmethod
    def _is_evaluated(line: LogLine | _Evaluation, step: object) -> bool:
        return line.step == step and (isinstance(line, _Evaluation) or line.style == "validation")

    def _append(self, line: LogLine | _Evaluation, *, routine: bool) -> None:
        self._news = True
        self._is_urgent = self._is_urgent or not routine
        before = self._entries[-1] if self._entries else _Entry(line, 0, 0, 0)
        row = before.row + 1 if routine else 0
        epochs = (before.epochs if row > 1 else 0) + line.names_epoch if routine else 0
        self._entries.append(_Entry(line, max(before.at, line.step or 0), row, epochs))
        self._folded += row > ROUTINE
        if self._folded > MOST_LINES:
            self._thin()

    def _thin(self) -> None:
        """Let folded lines go, so that those that stay lie evenly: a long run has millions."""
        while self._folded > MOST_LINES // 2:
            kept: list[_Entry] = []
            last = 0  # of the row of routine lines that the entry is in
            for entry in reversed(self._entries):
                last = max(last, entry.row) if entry.row else 0
                if last - entry.row < ROUTINE or entry.row % self._every == 0:
                    kept.append(entry)
            self._folded -= len(self._entries) - len(kept)
            self._entries = kept[::-1]
            if self._folded > MOST_LINES // 2:
                self._every *= 2


def _clock(event: Event) -> str:
    """Local time, "13:15:28"."""
    return time.strftime("%H:%M:%S", time.localtime(float(event.get("time", 0))))


def _best(of_members: Sequence[Event], points: Sequence[SweepPoint]) -> Event:
    """Return the evaluation of the candidate with the lowest loss, with its name as `candidate`."""
    found: list[tuple[float, int, Event]] = []
    for point in points:
        own = [event for event in of_members if event.get("member") in point.members]
        if own:
            event = {**_mean(own), "candidate": point.name}
            found.append((math.inf if event.get("loss") is None else event["loss"], len(found), event))
    return min(found)[2] if found else _mean(of_members)


def _mean(of_members: Sequence[Event]) -> Event:
    """Their evaluations as one, with the standard deviation of the loss as its `spread`."""
    if len(of_members) == 1:
        return of_members[0]
    losses = [e["loss"] for e in of_members if e.get("loss") is not None]
    return {
        **of_members[-1],
        **{name: mean_of_finite(e.get(name) for e in of_members) for name in evaluation_of(of_members[-1]).values},
        "spread": statistics.stdev(losses) if len(losses) > 1 else None,
    }
