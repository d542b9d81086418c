"""A run's log: a line for each of its events. Routine lines in a row are folded."""

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
    """A line that stands for routine ones. epochs: how many of them name an epoch. last: the latest of them."""

    count: int
    epochs: int
    last: "LogLine | _Evaluation"

    def line(self, facts: dict[str, Any]) -> LogLine:
        clock = self.last.clock if isinstance(self.last, LogLine) else _clock(self.last.of_members[-1])
        if self.epochs:
            text = ngettext("… {count:,} more epoch", "… {count:,} more epochs", self.epochs)
        else:
            text = ngettext("… {count:,} more line", "… {count:,} more lines", self.count)
        return LogLine(clock, None, text, "quiet")


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
        self._lines: list[LogLine | _Evaluation | _Folded] = []
        self._together: tuple[Event, ...] = ()  # of one evaluation, member by member: one line
        self._epochs: Epochs | None = epochs_since(None, self._facts)
        self._row = 0  # routine lines in a row, at the end
        self._folded = self._folded_epochs = (
            0  # how many of them one line stands for; how many of these name an epoch
        )
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

    def _in_words(
        self, facts: dict[str, Any], train_before: Callable[[int], float | None] | None
    ) -> tuple[LogLine, ...]:
        shown = [line if isinstance(line, LogLine) else line.line(facts) for line in self._lines[-MOST_LINES:]]
        for place, each in enumerate(shown if train_before is not None else ()):
            if each.row is not None and not each.row.train and each.step is not None:
                assert train_before is not None
                loss = train_before(each.step)
                shown[place] = replace(each, row=each.row._replace(train=NONE if loss is None else number(loss)))
        for place, line in enumerate(shown, len(self._lines) - len(shown)):
            if not isinstance(self._lines[place], _Folded):  # which still has to know of what it is
                self._lines[place] = line
        return tuple(shown)

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
        if event["event"] == "epoch" and self._lines and self._is_evaluated(self._lines[-1], step):
            return  # the evaluation of the same moment has said how the epoch went
        if event["event"] == "checkpoint" and is_best(event) and self._is_starred(event["best"]):
            return  # the row of its evaluation says so
        where = step if isinstance(step, int) else None
        self._lines.append(LogLine(_clock(event), where, clean(text), style, names_epoch(event)))
        self._fold(routine=event["event"] == "epoch" or (event["event"] == "checkpoint" and not is_best(event)))

    def _evaluated(self, event: Event) -> None:
        """A line of its own, or one more member's part of the evaluation that the last line tells of."""
        last = self._together[-1] if self._together else {}
        same = last.get("step") == event["step"] and last.get("split") == event["split"]
        goes_on = same and event.get("member", 0) > last.get("member", 0)
        self._together = (*self._together, event) if goes_on else (event,)
        epoch = None if self._epochs is None else self._epochs.at(int(event["step"]))
        line = _Evaluation(self._together, epoch, self.points)
        if goes_on:
            self._lines[-1] = line
            self._news = True
            return
        self._lines.append(line)
        self._fold(routine=True)

    def _is_starred(self, step: int) -> bool:
        """Mark the row of the evaluation at a step as the best so far. Returns whether there is one."""
        for place in range(len(self._lines) - 1, max(-1, len(self._lines) - 1 - LOOK_BACK), -1):
            line = self._lines[place]
            if isinstance(line, _Folded) or line.step != step or not line.names_epoch:
                continue
            if isinstance(line, _Evaluation):
                self._lines[place] = replace(line, is_best=True)
            elif line.row is not None:
                self._lines[place] = replace(line, row=line.row._replace(is_best=True))
            self._news = True
            return True
        return False

    @staticmethod
    def _is_evaluated(line: LogLine | _Evaluation | _Folded, step: object) -> bool:
        if isinstance(line, _Folded) or line.step != step:
            return False
        return isinstance(line, _Evaluation) or line.style == "validation"

    def _fold(self, *, routine: bool) -> None:
        """Keep the last few of a row of routine lines, and one that counts those before them."""
        self._news = True
        if not routine:
            self._is_urgent = True
            self._row = self._folded = self._folded_epochs = 0
            return
        self._row += 1
        if self._row <= ROUTINE:
            return
        first = len(self._lines) - ROUTINE - 1  # the oldest that is still shown
        if self._folded:
            self._lines.pop(first - 1)
            first -= 1
        oldest = self._lines[first]
        assert not isinstance(oldest, _Folded)  # that one stood before it, and is gone
        self._folded += 1
        self._folded_epochs += oldest.names_epoch
        self._lines[first] = _Folded(self._folded, self._folded_epochs, oldest)


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
