"""A run's events as lines of a log that a student can read."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.texts import clean
from tui.numbers import number

Event = dict[str, Any]
# What a worker does before its first step; it writes the names.
_STAGES = {"torch": "loading torch", "data": "reading data", "measuring": "trying out the first step"}
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
        self._events: list[Event] = []
        self._lines: list[LogLine] = []
        self._together: list[Event] = []  # of one evaluation, member by member: one line
        self._shown: tuple[LogLine, ...] = ()
        self._per_epoch = 0
        self._row = 0  # routine lines in a row, at the end
        self._folded = 0  # of these, how many one line stands for
        self._has_begun = False
        self._shown_at = -CALM
        self._news = self._is_urgent = False  # lines that are not shown yet; one of them can't wait

    def of(self, events: Sequence[Event], facts: dict[str, Any]) -> tuple[LogLine, ...]:
        """All lines, the oldest first; the same object as before where nothing happened."""
        per_epoch = int(facts.get("steps_per_epoch", 0))
        known = len(self._events)
        goes_on = len(events) >= known and (not known or events[known - 1] is self._events[-1])
        if not goes_on or per_epoch != self._per_epoch:
            self._events, self._lines, self._per_epoch, known = [], [], per_epoch, 0
            self._row, self._folded, self._has_begun = 0, 0, False
            self._together = []
            self._news = self._is_urgent = True
        for event in events[known:]:
            self._add(event, facts)
            self._events.append(event)
        now = time.monotonic()
        if self._news and (self._is_urgent or now - self._shown_at >= CALM):
            self._shown, self._shown_at = tuple(self._lines[-MOST_LINES:]), now
            self._news = self._is_urgent = False
        return self._shown

    def _add(self, event: Event, facts: dict[str, Any]) -> None:
        goes_on = self._gather(event)
        if goes_on:
            self._lines.pop()
            event = _mean(self._together)
        say = _SAY.get(str(event.get("event")))
        said = say(event, facts) if say is not None else None
        if said is None:
            return
        text, style = said
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


Said = tuple[str, str] | None


def _state(event: Event, facts: Event) -> Said:
    reason = f": {event['reason']}" if event.get("reason") else ""
    match event.get("state"):
        case "finished":
            return "finished", "good"
        case "stopped":
            return f"stopped{reason}", "strong"
        case "failed":
            return f"failed{reason}", "trouble"
        case "running" if event.get("step") == 0 and facts:
            return f"started on {device(facts)}", ""
    return None  # a command, or an anomaly, has said why


def device(facts: Event) -> str:
    """What a run trains on: "cpu, 1 thread" or the GPU's name."""
    if facts.get("device") != "cpu":
        return clean(str(facts.get("device_name", facts.get("device", ""))))
    threads = facts.get("threads", 1)
    return f"cpu, {threads} thread{'' if threads == 1 else 's'}"


def stage_words(stage: str) -> str:
    """What a worker that has not begun yet is doing."""
    return _STAGES.get(stage, clean(stage)) or "starting the worker"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _evaluation(event: Event, facts: Event) -> Said:
    split = {"validation": "val"}.get(event["split"], str(event["split"]))
    accuracy = f"  {percent(event['accuracy'])}" if event.get("accuracy") is not None else ""
    epoch = _epoch(event.get("step"), facts) if split == "val" else ""
    spread = _spread(event["loss"], event["spread"]) if event.get("spread") is not None else ""
    return f"{epoch}{split} {number(event.get('loss'))}{spread}{accuracy}", "validation"


def _spread(mean: float, spread: float) -> str:
    """With as many decimals as the mean: 0.151 ± 0.012."""
    said = number(mean)
    plain = "e" not in said and mean < 1000
    return f" ± {spread:.{len(said.partition('.')[2])}f}" if plain else f" ± {number(spread)}"


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


def _member(event: Event, facts: Event) -> Said:
    how = str(event.get("state"))
    return f"member {event.get('member')} {how}", "trouble" if how == "diverged" else ""


def winner_words(event: Event) -> str:
    values = ", ".join(f"{key.rpartition('.')[2]} = {value}" for key, value in (event.get("values") or {}).items())
    who = ", ".join(f"#{member}" for member in event.get("members", ()))
    return f"winner {who}: {values}  val {number(event.get('score'))}"


def _winner(event: Event, facts: Event) -> Said:
    return winner_words(event), "good"


def _ensemble(event: Event, facts: Event) -> Said:
    accuracy = f"  {percent(event['accuracy'])}" if event.get("accuracy") is not None else ""
    return f"{event.get('split', 'test')} of all together {number(event.get('loss'))}{accuracy}", "good"


def _epoch(step: Any, facts: Event) -> str:
    per_epoch = facts.get("steps_per_epoch")
    whole = isinstance(step, int) and per_epoch and step % per_epoch == 0 and step
    return f"epoch {step // per_epoch:,}  " if whole else ""


def _end_of_epoch(event: Event, facts: Event) -> Said:
    return f"epoch {event.get('epoch', 0):,}  train {number(event.get('train_loss'))}", ""


def _checkpoint(event: Event, facts: Event) -> Said:
    return ("saved, the best so far" if event.get("best") == event.get("step") != 0 else "saved"), "quiet"


def _command(event: Event, facts: Event) -> Said:
    arguments = event.get("arguments") or {}
    match event.get("command"):
        case "pause":
            text = "pause"
        case "resume":
            text = "go on"
        case "step":
            count = arguments.get("steps", 1)
            text = "one step" if count == 1 else f"{count} steps"
        case "set":
            text = ", ".join(_edit(str(edit)) for edit in arguments.get("edits", ()))
        case "extend":
            text = " and ".join(f"{value} more {key}" for key, value in arguments.items() if value)
        case "stop":
            how = {"epoch": "stop after this epoch", "discard": "stop, unsaved"}
            text = how.get(str(arguments.get("how")), "stop")
        case _:
            return None  # its effect has a line of its own
    return f"you: {text}", "you"


def _edit(text: str) -> str:
    key, _, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if key == "lr_scale":
        return f"rate × {typed(value)}"
    names = {"optimizer.lr": "lr", "train.batch_size": "batch size", "train.clip_norm": "clip norm"}
    return f"{names.get(key, key.rpartition('.')[2])} = {value}"


def typed(value: str) -> str:
    """A number as a person would type it: 2, not 2.0."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _anomaly(event: Event, facts: Event) -> Said:
    layer = f" in {event['layer']}" if event.get("layer") else ""
    return f"the {event.get('what', 'loss')} is not finite{layer}", "trouble"


def _spike(event: Event, facts: Event) -> Said:
    return f"spike: loss {number(event.get('loss'))}, {number(event.get('usual'))} is usual", "trouble"


def collapse_words(event: Event) -> str:
    """What has broken, in half a sentence."""
    if event.get("why") == "dead":
        return f"all units of {clean(str(event.get('layer')))} are dead: it passes nothing on and learns nothing"
    lowest = "" if event.get("lowest") is None else f"; it was down to {number(event['lowest'])}"
    if not lowest:
        return f"the loss is {number(event.get('loss'))}, far above the {number(event.get('start'))} it began at"
    return f"the loss is back where it began, at {number(event.get('loss'))}{lowest}"


def _collapse(event: Event, facts: Event) -> Said:
    return f"collapsed since step {event.get('since', 0):,}: {collapse_words(event)}", "trouble"


def _stall(event: Event, facts: Event) -> Said:
    return "the loss has stopped falling", "warn"


def _slow(event: Event, facts: Event) -> Said:
    advice = f"; e, {event['try'].replace('=', ' = ')} may help" if event.get("try") else ""
    rate, usual = number(event.get("steps_per_second")), number(event.get("usual"))
    return f"slow: {rate} step/s, {usual} is usual{advice}", "warn"


_SAY: dict[str, Callable[[Event, Event], Said]] = {
    "state": _state,
    "evaluation": _evaluation,
    "epoch": _end_of_epoch,
    "checkpoint": _checkpoint,
    "command": _command,
    "anomaly": _anomaly,
    "spike": _spike,
    "collapse": _collapse,
    "recovered": lambda event, _: ("recovered: the loss is down again", "good"),
    "member": _member,
    "winner": _winner,
    "ensemble": _ensemble,
    "slow": _slow,
    "stall": _stall,
    "warning": lambda event, _: (str(event.get("message", "")), "warn"),
    "batch_size": lambda event, _: (f"batches of {event.get('size')} samples from here on", ""),
    "rewound": lambda event, _: (f"back to step {event.get('to', 0):,}", "you"),
    "resumed": lambda event, _: (f"resumed at step {event.get('to', 0):,}", "you"),
}
