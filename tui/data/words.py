"""A run's events in words that a student can read, and which of them are marked in its curves."""

from collections.abc import Callable
from typing import Any

from descent.common.i18n import N_, _, ngettext, pgettext
from descent.common.numbers import count, number, percent, rate, spread, trimmed
from descent.common.text import clean
from descent.run.events import evaluation_of
from descent.run.result_metrics import score_words
from descent.run.sweep import name_of

Event = dict[str, Any]
Words = tuple[str, str] | None  # the words, and one of widgets.lines.STYLES or ""

STATES = {
    "starting": N_("starting"),
    "running": N_("running"),
    "paused": N_("paused"),
    "finished": N_("finished"),
    "stopped": N_("stopped"),
    "failed": N_("failed"),
    "lost": N_("lost"),
    "damaged": N_("damaged"),
}  # of a run
_MEMBER_STATES = {"diverged": N_("diverged"), "stopped early": N_("stopped early")}
# What a worker does before its first step. The worker writes the names.
_STAGES = {
    "torch": N_("loading PyTorch"),
    "data": N_("reading data"),
    "measuring": N_("trying out the first step"),
}
_SPLITS = {"train": N_("train"), "validation": N_("val"), "test": N_("test")}
_BROKEN = {"loss": N_("loss"), "gradient": N_("gradient"), "output": N_("output")}
_SETTINGS = {"optimizer.lr": N_("lr"), "train.batch_size": N_("batch size"), "train.clip_norm": N_("clip norm")}
_SECTIONS = ("data", "loss", "model", "optimizer", "schedule", "train")  # of a preset
_SHORT_EDITS = {
    "optimizer.lr": N_("lr {value}"),
    "lr_scale": N_("lr ×{value}"),
    "train.batch_size": N_("batch {value}"),
}  # in a chart
_OF_LINE = ("epoch", "spread", "candidate")  # what the log has added to an evaluation
_COMMANDS = {"pause": N_("pause"), "resume": N_("resume")}
_GIVERS = {
    "shell": N_("shell: {command}"),
    "program": N_("program: {command}"),
    "assistant": N_("assistant: {command}"),
}
_STOPS = {"epoch": N_("stop after this epoch"), "discard": N_("stop without saving")}


# --- words that screens share ---


def state_words(state: str) -> str:
    """Return a run's state in the current language."""
    return _(STATES.get(state, state))


def stage_words(stage: str) -> str:
    """Say what a worker does that has not begun to train yet."""
    return _(_STAGES[stage]) if stage in _STAGES else clean(stage) or _("starting the worker")


def split_words(split: str) -> str:
    """Return the short name of a split: train, val or test."""
    return _(_SPLITS.get(split, split))


def device(facts: Event) -> str:
    """Name what a run trains on: "cpu, 1 thread", or the GPU's name. facts: run.json."""
    if facts.get("device") != "cpu":
        return clean(str(facts.get("device_name", facts.get("device", ""))))
    return ngettext("cpu, {count} thread", "cpu, {count} threads", int(facts.get("threads", 1)))


def typed(value: str) -> str:
    """Write a number as a person would type it: 2, not 2.0."""
    try:
        return trimmed(float(value))
    except ValueError:
        return value


# --- marks in curves ---


def mark_of(event: Event) -> tuple[int, str, str] | None:
    """Return (step, a few words, style) of a change by a person, or of a break; None for any other event."""
    step = int(event.get("step", event.get("to", 0)) or 0)
    match event.get("event"):
        case "command":
            text = _command_in_chart(str(event.get("command")), event.get("arguments") or {})
            return (step, text, "quiet") if text else None
        case "anomaly":
            return step, f"✗ {_broken(event.get('what', ''))}".strip(), "trouble"
        case "collapse":
            return int(event.get("since", step)), f"✗ {_('collapse')}", "trouble"
    return None


def _command_in_chart(command: str, arguments: dict[str, Any]) -> str:
    match command:
        case "set":
            return " ".join(_edit_in_chart(str(edit)) for edit in arguments.get("edits", ()))
        case "action":
            return clean(str(arguments.get("name", "")))
        case "rewind":
            return pgettext("in a chart", "rewind")
        case "extend":
            return pgettext("in a chart", "extend")
    return ""


def _edit_in_chart(edit: str) -> str:
    """Shorten "optimizer.lr=0.01" to "lr 0.01"."""
    key, value = _parts(edit)
    if key in _SHORT_EDITS:
        return _(_SHORT_EDITS[key], value=typed(value))
    section, _dot, name = key.rpartition(".")
    return f"{name if section in _SECTIONS else key} {typed(value)}"  # not of optimizer2.lr, which is another rate


def _parts(edit: str) -> tuple[str, str]:
    """Split KEY=VALUE."""
    parts = edit.partition("=")
    return parts[0].strip(), parts[2].strip()


def _broken(what: object) -> str:
    """Name what is not finite."""
    return _(_BROKEN[str(what)]) if what in _BROKEN else str(what)


# --- lines of the log ---


def said(event: Event, facts: Event) -> Words:
    """Return what the log says of an event; None for an event that has no line. facts: run.json.

    Of an evaluation, `epoch` is where it was made, if that is known.
    """
    say = _SAY.get(str(event.get("event")))
    return say(event, facts) if say is not None else None


def names_epoch(event: Event) -> bool:
    """Return whether the words of an event begin with its epoch. Then its step need not be said as well."""
    epoch = event.get("epoch")
    if event.get("event") == "evaluation":
        return event["split"] == "validation" and epoch is not None and epoch == int(epoch) > 0
    return event.get("event") == "epoch"


def is_best(event: Event) -> bool:
    """Return whether a checkpoint is that of the lowest validation loss so far."""
    return bool(event.get("best") == event.get("step") != 0)


def _state(event: Event, facts: Event) -> Words:
    reason = event.get("reason")
    match event.get("state"):
        case "finished":
            return _("finished"), "strong"  # how good it is, the results say
        case "stopped":
            return (_("stopped: {reason}", reason=reason) if reason else _("stopped")), "strong"
        case "failed":
            return (_("failed: {reason}", reason=reason) if reason else _("failed")), "trouble"
        case "running" if event.get("step") == 0 and facts:
            return _("started on {device}", device=device(facts)), ""
    return None  # a command, or an anomaly, has said why


def _evaluation(event: Event, facts: Event) -> Words:
    epoch = f"{_('epoch {epoch}', epoch=count(event['epoch']))}  " if names_epoch(event) else ""
    around = f" ± {spread('loss', event['spread'])}" if event.get("spread") is not None else ""
    loss = f" {number(event['loss'])}{around}" if "loss" in event else ""
    candidate = _("best {candidate}: ", candidate=event["candidate"]) if event.get("candidate") else ""
    return f"{epoch}{candidate}{split_words(str(event['split']))}{loss}{_scores(event)}", "validation"


def _scores(event: Event) -> str:
    accuracy = [percent(event["accuracy"])] if event.get("accuracy") is not None else []
    values = {name: value for name, value in evaluation_of(event).values.items() if name not in _OF_LINE}
    return "".join(f"  {text}" for text in [*accuracy, *score_words(values)])


def _member(event: Event, facts: Event) -> Words:
    state = str(event.get("state"))
    words = _(_MEMBER_STATES.get(state, STATES.get(state, state)))
    text = _("member {member} {state}", member=event.get("member"), state=words)
    return text, "trouble" if state == "diverged" else ""


def winner_words(event: Event) -> str:
    """Say which candidate of a sweep is the best, and its validation loss."""
    values = name_of(event.get("values") or {})
    return _("best: {values}  val {score}", values=values, score=number(event.get("score")))


def _winner(event: Event, facts: Event) -> Words:
    return winner_words(event), "good"


def _ensemble(event: Event, facts: Event) -> Words:
    split = split_words(str(event.get("split", "test")))
    loss = _("ensemble {split} loss {loss}", split=split, loss=number(event.get("loss")))
    return f"{loss}{_scores(event)}", "good"


def _end_of_epoch(event: Event, facts: Event) -> Words:
    epoch, loss = count(event.get("epoch", 0)), number(event.get("train_loss"))
    return _("epoch {epoch}  train {loss}", epoch=epoch, loss=loss), ""


def _checkpoint(event: Event, facts: Event) -> Words:
    return (_("saved as the best") if is_best(event) else _("saved")), "quiet"


def _command(event: Event, facts: Event) -> Words:
    arguments = event.get("arguments") or {}
    match event.get("command"):
        case "pause" | "resume" as command:
            text = _(_COMMANDS[command])
        case "step":
            text = ngettext("{count:,} step", "{count:,} steps", int(arguments.get("steps", 1)))
        case "set":
            text = ", ".join(_edit(str(edit)) for edit in arguments.get("edits", ()))
        case "action":
            text = clean(str(arguments.get("name")))
        case "extend":
            text = ", ".join(_more(str(unit), value) for unit, value in arguments.items() if value)
        case "stop":
            text = _(_STOPS.get(str(arguments.get("how")), N_("stop")))
        case "rewind" if event.get("given_by") in _GIVERS:  # who sits here should know who it was
            text = pgettext("in a chart", "rewind")
        case _:
            return None  # its effect has a line of its own
    return _(_GIVERS.get(str(event.get("given_by")), N_("you: {command}")), command=text), "you"


def _more(unit: str, value: int) -> str:
    if unit == "epochs":
        return ngettext("{count} more epoch", "{count} more epochs", value)
    return ngettext("{count} more step", "{count} more steps", value)


def _edit(text: str) -> str:
    key, value = _parts(text)
    if key == "lr_scale":
        return _("rate × {value}", value=typed(value))
    return f"{_(_SETTINGS.get(key, key.rpartition('.')[2]))} = {value}"


def _anomaly(event: Event, facts: Event) -> Words:
    what, layer = _broken(event.get("what", "loss")), event.get("layer")
    if layer:
        return _("the {what} is not finite in {layer}", what=what, layer=layer), "trouble"
    return _("the {what} is not finite", what=what), "trouble"


def _spike(event: Event, facts: Event) -> Words:
    loss, usual = number(event.get("loss")), number(event.get("usual"))
    return _("spike: loss {loss} (usually {usual})", loss=loss, usual=usual), "trouble"


def collapse_words(event: Event) -> str:
    """Say in half a sentence what has broken."""
    if event.get("why") == "dead":
        layer = clean(str(event.get("layer")))
        return _("all units of {layer} are dead: the layer passes nothing on and learns nothing", layer=layer)
    loss = number(event.get("loss"))
    if event.get("lowest") is None:
        return _("the loss is {loss}, far above its start at {start}", loss=loss, start=number(event.get("start")))
    return _("the loss is back at its start, {loss} (lowest {lowest})", loss=loss, lowest=number(event["lowest"]))


def _collapse(event: Event, facts: Event) -> Words:
    return _(
        "collapsed at step {step}: {why}", step=count(event.get("since", 0)), why=collapse_words(event)
    ), "trouble"


def _stall(event: Event, facts: Event) -> Words:
    return _("the loss has stopped falling"), "warn"


def _slow(event: Event, facts: Event) -> Words:
    now, usual = rate(event.get("steps_per_second")), rate(event.get("usual"))
    if not event.get("try"):
        return _("slow: {now} step/s (usually {usual})", now=now, usual=usual), "warn"
    setting = str(event["try"]).replace("=", " = ")
    return _("slow: {now} step/s (usually {usual}); e: try {setting}", now=now, usual=usual, setting=setting), "warn"


def _recovered(event: Event, facts: Event) -> Words:
    return _("recovered: the loss is down again"), "good"


def _warning(event: Event, facts: Event) -> Words:
    return str(event.get("message", "")), "warn"


def _batch_size(event: Event, facts: Event) -> Words:
    return _("batch size {size} from here on", size=event.get("size")), ""


def _rewound(event: Event, facts: Event) -> Words:
    return _("back to step {step}", step=count(event.get("to", 0))), "you"


def _resumed(event: Event, facts: Event) -> Words:
    return _("resumed at step {step}", step=count(event.get("to", 0))), "you"


_SAY: dict[str, Callable[[Event, Event], Words]] = {
    "state": _state,
    "evaluation": _evaluation,
    "epoch": _end_of_epoch,
    "checkpoint": _checkpoint,
    "command": _command,
    "anomaly": _anomaly,
    "spike": _spike,
    "collapse": _collapse,
    "recovered": _recovered,
    "member": _member,
    "winner": _winner,
    "ensemble": _ensemble,
    "slow": _slow,
    "stall": _stall,
    "warning": _warning,
    "batch_size": _batch_size,
    "rewound": _rewound,
    "resumed": _resumed,
}
