"""A run's log: a line for each of its events, those that are routine folded."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.epochs import Epochs, epochs_since, resized
from engine.texts import clean
from tui.reading.words import Event, said

CALM = 1.0  # seconds that new routine lines wait: many short epochs a second can't be read
MOST_LINES = 1000  # of a log that is kept for scrolling
ROUTINE = 6  # evaluations and saves in a row that are shown; those before are counted: no command scrolls away


@dataclass(frozen=True)
class LogLine:
    """clock: local time, "13:15:28". step: where it happened, or None. style: one of widgets.lines.STYLES, or ""."""

    clock: str
    step: int | None
    text: str
    style: str = ""


class Log:
    """The lines of a run's valid events; a look costs what is new, unless a rewind has voided some."""

    def __init__(self) -> None:
        self._known = self._rewinds = 0  # events, and rewinds, that are in it
        self._lines: list[LogLine] = []
        self._together: list[Event] = []  # of one evaluation, member by member: one line
        self._shown: tuple[LogLine, ...] = ()
        self._per_epoch = 0  # at the run's beginning
        self._epochs: Epochs | None = None
        self._row = 0  # routine lines in a row, at the end
        self._folded = 0  # of these, how many one line stands for
        self._has_begun = False
        self._shown_at = -CALM
        self._news = self._is_urgent = False  # lines that are not shown yet; one of them can't wait

    def of(self, events: Sequence[Event], facts: dict[str, Any], rewinds: int = 0) -> tuple[LogLine, ...]:
        """All lines, the oldest first; the same object as before where nothing happened.

        rewinds: how often events were voided.
        """
        per_epoch = int(facts.get("steps_per_epoch", 0))
        if rewinds != self._rewinds or len(events) < self._known or per_epoch != self._per_epoch:
            self._known, self._rewinds, self._per_epoch, self._lines = 0, rewinds, per_epoch, []
            self._row, self._folded, self._has_begun = 0, 0, False
            self._together = []
            self._epochs = epochs_since(None, facts) if per_epoch else None
            self._news = self._is_urgent = True
        new = events[self._known :]
        for event in new:
            self._add(event, facts)
        self._known += len(new)
        now = time.monotonic()
        if self._news and (self._is_urgent or now - self._shown_at >= CALM):
            self._shown, self._shown_at = tuple(self._lines[-MOST_LINES:]), now
            self._news = self._is_urgent = False
        return self._shown

    def _add(self, event: Event, facts: dict[str, Any]) -> None:
        if event.get("event") == "batch_size":
            self._epochs = resized(event)
        elif event.get("event") == "evaluation" and self._epochs is not None:
            event = {**event, "epoch": self._epochs.at(int(event["step"]))}
        goes_on = self._gather(event)
        if goes_on:
            self._lines.pop()
            event = _mean(self._together)
        told = said(event, facts)
        if told is None:
            return
        text, style = told
        if event["event"] == "state" and event["state"] == "running":
            if self._has_begun:
                return  # back at step 0, after a rewind
            self._has_begun = True
        clock = time.strftime("%H:%M:%S", time.localtime(float(event.get("time", 0))))
        step = event.get("step")
        line = LogLine(clock, step if isinstance(step, int) else None, clean(text), style)
        last = self._lines[-1] if self._lines else None
        if event["event"] == "epoch" and last is not None and last.step == step and last.style == "validation":
            return  # the evaluation of the same moment has said how the epoch went
        self._lines.append(line)
        if goes_on:
            self._news = True
            return
        self._fold(routine=event["event"] in ("evaluation", "epoch") or text == "saved")

    def _gather(self, event: Event) -> bool:
        """Whether it is one more member's part of the evaluation that the last line tells of."""
        if event.get("event") != "evaluation":
            self._together = []
            return False
        first = self._together[0] if self._together else {}
        same = all(first.get(key) == event.get(key) for key in ("step", "split"))
        goes_on = same and event.get("member", 0) > self._together[-1].get("member", 0)
        self._together = [*self._together, event] if goes_on else [event]
        return goes_on

    def _fold(self, *, routine: bool) -> None:
        """Keep the last few of a row of routine lines, and one that counts those before them."""
        self._news = True
        if not routine:
            self._is_urgent = True
            self._row = self._folded = 0
            return
        self._row += 1
        if self._row <= ROUTINE:
            return
        first = len(self._lines) - ROUTINE - 1  # the oldest that is still shown
        if self._folded:
            self._lines.pop(first - 1)
            first -= 1
        self._folded += 1
        oldest = self._lines[first]
        self._lines[first] = LogLine(oldest.clock, None, f"… {self._folded:,} more of these", "quiet")


def _mean(of_members: Sequence[Event]) -> Event:
    """Their evaluations as one, with the standard deviation of the loss as its `spread`."""
    if len(of_members) == 1:
        return of_members[0]
    losses, accuracies = ([e[name] for e in of_members if e.get(name) is not None] for name in ("loss", "accuracy"))
    return {
        **of_members[-1],
        "loss": statistics.fmean(losses) if losses else None,
        "accuracy": statistics.fmean(accuracies) if accuracies else None,
        "spread": statistics.stdev(losses) if len(losses) > 1 else None,
    }
