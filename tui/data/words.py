"""A run's events in words that a student can read, and which of them are marked in its curves."""

from collections.abc import Callable
from typing import Any

from descent.common.numbers import number, percent, rate, spread, trimmed
from descent.common.text import clean


def mark_of(event: dict[str, Any]) -> tuple[int, str, str] | None:
    """(step, a few words, style) of what a person or the run itself has changed; None for any other event."""
    step = int(event.get("step", event.get("to", 0)) or 0)
    match event.get("event"):
        case "command":
            text = _command_words(str(event.get("command")), event.get("arguments") or {})
            return (step, text, "quiet") if text else None
        case "anomaly":
            return step, f"✗ {event.get('what', '')}".strip(), "trouble"
        case "collapse":
            return int(event.get("since", step)), "✗ collapse", "trouble"
    return None


def _command_words(command: str, arguments: dict[str, Any]) -> str:
    if command == "set":
        return " ".join(_edit_words(str(edit)) for edit in arguments.get("edits", ()))
    return {"rewind": "rewind", "extend": "extend"}.get(command, "")


_SHORT = {"optimizer.lr": "lr ", "lr_scale": "lr ×", "train.batch_size": "batch "}


def _edit_words(edit: str) -> str:
    """ "optimizer.lr=0.01" as "lr 0.01"."""
    key, _, value = (part.strip() for part in edit.partition("="))
    return _SHORT.get(key, f"{key.rpartition('.')[2]} ") + typed(value)


Event = dict[str, Any]
# What a worker does before its first step; it writes the names.
_STAGES = {"torch": "loading torch", "data": "reading data", "measuring": "trying out the first step"}
Said = tuple[str, str] | None  # the words, and one of widgets.lines.STYLES or ""


def said(event: Event, facts: Event) -> Said:
    """What the log says of an event; None for those of which it says nothing. facts: run.json.

    Of an evaluation, `epoch` is where it was made, as far as that is known.
    """
    say = _SAY.get(str(event.get("event")))
    return say(event, facts) if say is not None else None


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


def _evaluation(event: Event, facts: Event) -> Said:
    split = {"validation": "val"}.get(event["split"], str(event["split"]))
    accuracy = f"  {percent(event['accuracy'])}" if event.get("accuracy") is not None else ""
    epoch = _epoch(event.get("epoch")) if split == "val" else ""
    around = f" ± {spread('loss', event['spread'])}" if event.get("spread") is not None else ""
    return f"{epoch}{split} {number(event.get('loss'))}{around}{accuracy}", "validation"


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


def _epoch(epoch: float | None) -> str:
    return f"epoch {epoch:,.0f}  " if epoch and epoch == int(epoch) else ""


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
        return trimmed(float(value))
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
    now, usual = rate(event.get("steps_per_second")), rate(event.get("usual"))
    return f"slow: {now} step/s, {usual} is usual{advice}", "warn"


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
