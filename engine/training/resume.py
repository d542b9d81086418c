"""Opening a run: from its folder to a run in memory, at its start or at a checkpoint.

A fork takes over its parent's checkpoint and then trains under its own settings.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from descent.common.errors import CannotGoOnError, DataError, PresetError
from descent.common.files import write_json
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.run.events import Events, to_give_again
from descent.run.folder import RunFolder
from descent.run.live_settings import is_of_presets, latest
from descent.run.metrics import Layout, Metrics
from descent.run.progress import Display
from engine.preset import schema
from engine.preset.loading import Preset, load_preset
from engine.preset.schedule import SchedulePosition
from engine.training import checkpoint, live_edits, measure, models, optimizers, parameters
from engine.training.build import build, choose_device
from engine.training.checkpoint import State
from engine.training.data import fingerprint, preparation
from engine.training.evaluation import Best
from engine.training.measure import measured_before
from engine.training.members.extract import of_member
from engine.training.members.stacked import Way
from engine.training.train_state import TrainState

_LENGTH = ("train.epochs", "train.steps")


def adopt(run: TrainState, state: State, origin: dict[str, Any]) -> tuple[float, list[str]]:
    """Restore the parent's state, and train under the fork's own settings from there.

    state: the parent's checkpoint. origin: parent.json. Returns the seconds trained until then, and notes for the
    user. Raises PresetError if the checkpoint and the settings don't fit.
    """
    changed = set(origin["changed"])
    notes = list(origin.get("notes", ()))
    state = dict(state)
    live_edits.restore(run, [text for text in latest(state["edits"]) if not is_of_presets(text)])

    if "optimizer.name" in changed or not run.update.fits(state["update"]):
        state["update"] = run.update.state()
        notes.append(_("the optimizer begins again: the parent's momentum does not fit it"))
    if "schedule.name" in changed:
        state |= run.fresh_plateaus()
    other_data = _other_data(run, origin)
    if other_data:
        state |= _without_evaluations(state)
        if state["step"]:
            notes.append(
                _(
                    "these are other data, or other splits, than those of {parent} ({what}): its evaluations are "
                    "forgotten, and the model may have been trained on samples that validate and test it now",
                    parent=clean(origin["run"]),
                    what=shorten(other_data, 120),
                )
            )
    if "train.seed" in changed:
        state["random"] = checkpoint.random_state(run.device)  # `build` has just seeded it

    seconds = run.restore(state)
    for member in run.ended():
        run.end(member, run.ended()[member])  # again, because the optimizer may have begun again
    if not origin.get("replay") and (changed or run.is_over()):
        run.begin_patience()
    live_edits.restore(run, run.edits)  # again, because the checkpoint has restored the parent's scalars
    if run.batches.index == 0:
        live_edits.begin_epoch(
            run
        )  # another batch size takes effect now; in the middle of an epoch it waits for the end
    length = not changed.isdisjoint(_LENGTH)
    if length or any(key.startswith("schedule.") for key in changed):
        _plan_anew(run, length=length)
    if run.total_steps <= run.step and "member" not in origin:  # one member alone is useful even without more steps
        raise PresetError(
            _(
                "the fork begins at step {step:,}, the last one: nothing is left to train; give more with "
                "train.epochs or train.steps, or fork at an earlier checkpoint",
                step=run.step,
            )
        )
    return seconds, notes


def _other_data(run: TrainState, origin: dict[str, Any]) -> str:
    """Return what differs between the fork's data and its parent's, or "" if they are the same."""
    if origin.get("other_data"):
        return ", ".join(key for key in origin["changed"] if key.startswith(("data.", "members.")))
    return "; ".join(fingerprint.differences(origin.get("fingerprint"), run.dataset.fingerprint))


def _without_evaluations(state: State) -> State:
    """Return the parts of a checkpoint that came of evaluations, as if there had been none. The rate stays."""

    def forgotten(part: State) -> State:
        plateau = part["plateau"]
        waiting = None if plateau is None else plateau | {"best": math.inf, "waited": 0}
        return {"best": Best(None).state(), "plateau": waiting}

    found: State = {"metrics": {}, "evaluated": {}, **forgotten(state)}
    if "standings" in state:
        found["standings"] = [standing | forgotten(standing) for standing in state["standings"]]
        found["best_weights"] = None if state["best_weights"] is None else state["model"]
    return found


def refuse_other_data(run: TrainState, facts: dict[str, Any], run_id: str) -> None:
    """Raise DataError, naming what differs, if the data are not those that a run began with.

    facts: its run.json; of an older Descent it doesn't say what the data were.
    """
    found = fingerprint.differences(facts.get("fingerprint"), run.dataset.fingerprint)
    if not found:
        return
    differs = "; ".join(found)
    if isinstance(run.preset.data, schema.CodeData):
        raise DataError(
            _(
                "data.code gives {run} other data than when it began: {differs}. It must return the same samples "
                "each time. Its draws from the global generators of random, NumPy and torch are seeded by data.seed. "
                "A generator of its own needs a seed too. To go on with these data, fork the run: descent fork {run}",
                run=run_id,
                differs=differs,
            )
        )
    raise DataError(
        _(
            "the data are not those that {run} began with: {differs}. With these its splits would be others, and "
            "samples that it has trained on would validate and test it. Put the former data back, or go on with "
            "these in a fork: descent fork {run}",
            run=run_id,
            differs=differs,
        )
    )


def check_weights(run: TrainState, state: State, origin: dict[str, Any]) -> None:
    """Raise PresetError, naming the first weight of the parent that does not fit, if any does not.

    Raises DataError for a replay whose parent was trained on other data.
    """
    if origin.get("replay"):
        refuse_other_data(run, origin, origin["run"])
    mine, theirs = run.weights(), state["model"]
    for name in [*mine, *theirs]:
        wanted = tuple(mine[name].shape) if name in mine else None
        given = tuple(theirs[name].shape) if name in theirs else None
        if wanted != given:
            keys = [key for key in origin["changed"] if key.startswith(("model.", "data.", "members."))]
            changed = shorten(", ".join(keys), 80) or _other_data(run, origin)
            raise PresetError(
                _(
                    "the checkpoint of {run} does not fit this model: {weight} has the shape {given}, and the model "
                    "needs {wanted} (changed: {changed}). A fork keeps the shape of the model. A new run can start "
                    "from these weights by model.from",
                    run=origin["run"],
                    weight=name,
                    given=given or _("none"),
                    wanted=wanted or _("none"),
                    changed=changed or _("none"),
                )
            )


def _refuse_other_weights(run: TrainState, state: State) -> None:
    """Raise PresetError, naming the first one, if the run's own checkpoint holds other weights than its model."""
    mine = {name: tuple(tensor.shape) for name, tensor in run.weights().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state["model"].items()}
    for name in [*mine, *theirs]:
        if mine.get(name) != theirs.get(name):
            raise PresetError(
                _(
                    "the checkpoint of step {step:,} does not fit the model: {weight} has the shape {given}, and the "
                    "model has {wanted}. A model of your own must have all its parameters and buffers from the "
                    "beginning: make them in __init__, not while it trains",
                    step=state["step"],
                    weight=name,
                    given=theirs.get(name) or (_("none") if name not in theirs else "()"),
                    wanted=mine.get(name) or (_("none") if name not in mine else "()"),
                )
            )


def _plan_anew(run: TrainState, *, length: bool) -> None:
    """Plan the schedule, and with `length` the last step, as if the settings had held since the run's first step."""
    train, per_epoch = run.preset.train, run.batches.per_epoch
    position = (
        run.batches.epoch * per_epoch + run.batches.index
    )  # not run.step, because batches may have had another size before
    if length and train.steps is not None:
        run.total_steps = train.steps
    elif length:
        run.total_steps = run.step + (train.epochs or 0) * per_epoch - position
    if run.total_steps <= run.step:
        key = "train.steps" if train.steps is not None else "train.epochs"
        raise PresetError(
            _(
                "{key} = {given} is already reached at step {step:,}, where this fork begins; give more, or fork at "
                "an "
                "earlier checkpoint",
                key=key,
                given=train.steps or train.epochs,
                step=run.step,
            )
        )
    run.pace = SchedulePosition(position + run.total_steps - run.step, per_epoch, run.step, float(position))


@dataclass(frozen=True)
class Opened:
    """A run, ready to train. seconds: of training so far. begins: whether it has no checkpoint of its own yet.

    watched: what the watch of the loss knew; see RowWriter.
    again: commands that a killed worker had followed after the last checkpoint, to be followed at their steps again.
    """

    run: TrainState
    layout: Layout
    seconds: float
    begins: bool
    watched: Mapping[str, Any] | None = None
    again: Sequence[dict[str, Any]] = ()


def open_run(folder: RunFolder, name: str, data_root: Path, display: Display, events: Events) -> Opened:
    """Load preset, data, model and the last checkpoint. name: of the preset.

    Raises DescentError for errors of the preset, the data or the device.
    """
    preset = dataclasses.replace(load_preset(folder.preset), name=name)
    if not preset.train.compile:
        optimizers.leave_compiler_out()
    facts, origin = folder.facts(), folder.origin()
    state, complaints = checkpoint.latest(folder)
    if origin is not None and state is None:
        lost = _(
            "the fork {run} has lost the checkpoint that it began with; fork {parent} again",
            run=folder.id,
            parent=origin["run"],
        )
        raise CannotGoOnError("; ".join([lost, *complaints]))
    for loss in _losses(folder, None if state is None else state["step"], complaints):
        _warn(events, display, loss)
    if facts:
        torch.set_num_threads(facts["threads"])
    device = choose_device(preset.train.device)
    if note := _on_another_device(preset, facts, device):
        _warn(events, display, note)
    events.write("stage", stage="data")
    way = facts.get("way", _way_before(origin, preset, device))
    run = build(preset, folder, data_root, device, fresh=state is None, way=way)
    _tell_data(run, events, display)
    refuse_other_data(run, facts, folder.id)
    preparation.keep(folder.path, run.preparations())
    if not facts:
        events.write("stage", stage="measuring")
        display.doing(_("measuring how this machine trains fastest"))
        facts = measure.choose(run, preset, data_root, origin)
        write_json(folder.path / "run.json", facts)
    run.measured = {key: facts[key] for key in ("threads", "statistics_every")}
    torch.set_num_threads(facts["threads"])
    run.statistics_every = facts["statistics_every"]
    display.say(measure.headline(run, facts))
    adopted = origin is not None and state is not None and state["run"] != folder.id
    if origin is not None and state is not None and adopted:
        state = of_member(state, origin["member"], run) if "member" in origin else state
        check_weights(run, state, origin)
    layout = _layout(run, folder)
    if state is None:
        # With rows, a worker died before its first checkpoint, or all checkpoints are lost.
        again = _resume(run, folder, 0, events, display) if len(Metrics(folder.path)) else []
        return Opened(run, layout, 0.0, begins=True, again=again)
    if origin is not None and adopted:
        seconds, notes = adopt(run, state, origin)
        write_json(folder.path / "run.json", facts | {"total_steps": run.total_steps})  # with the parent's steps
        for note in notes:
            _warn(events, display, note)
        events.write("resumed", to=run.step, log=events.size())
        display.say(_forked(run, origin))
        return Opened(run, layout, seconds, begins=True, watched=state.get("watched"))
    _refuse_other_weights(run, state)
    live_edits.restore(run, state["edits"])
    seconds = run.restore(state)
    again = _resume(run, folder, state["log"], events, display)
    return Opened(run, layout, seconds, begins=False, watched=state.get("watched"), again=again)


def _resume(run: TrainState, folder: RunFolder, log: int, events: Events, display: Display) -> list[dict[str, Any]]:
    """Write and tell that the run goes on from its step, at which its log ended at byte `log`.

    Returns the commands to follow again, which are kept in the log for the case that this worker is killed too.
    """
    reached, again = len(Metrics(folder.path)), to_give_again(folder.path, log)
    events.write("resumed", to=run.step, log=log)
    if run.step:
        display.say(_resumed(run, reached))
    if again:
        events.write("again", step=run.step, commands=again)
        changes = "; ".join(live_edits.described(entry) for entry in again)
        _warn(
            events,
            display,
            _(
                "these changes came after the last checkpoint; they are made again at their steps: {changes}",
                changes=changes,
            ),
        )
    return again


def _on_another_device(preset: Preset, facts: dict[str, Any], device: torch.device) -> str:
    """Return a note if the run was trained on another device until now, else ""."""
    if not facts or preset.train.device != "auto" or facts["device"] == str(device):
        return ""
    return _(
        "trained on {before} until now, from here on {device}: not bit-equal", before=facts["device"], device=device
    )


def _tell_data(run: TrainState, events: Events, display: Display) -> None:
    """Say what the user's own data are, and what is noteworthy about them and the model."""
    if isinstance(run.preset.data, fingerprint.OWN):
        display.say(run.dataset.summary)
    for note in run.notes:
        _warn(events, display, note)


def _resumed(run: TrainState, reached: int) -> str:
    """reached: the steps in the run's file of rows."""
    text = _("resumed at step {step:,} of {total:,}", step=run.step, total=run.total_steps)
    if reached <= run.step:
        return text
    again = _("the steps up to {reached:,} are trained again, with the same result", reached=reached)
    return f"{text}; {again}"


def _forked(run: TrainState, origin: dict[str, Any]) -> str:
    parent, steps = clean(origin["run"]), {"step": run.step, "total": run.total_steps}
    if "member" not in origin:
        return _("forked from {parent} at step {step:,}; trains to step {total:,}", parent=parent, **steps)
    return _(
        "forked from member {member} of {parent} at step {step:,}; trains to step {total:,}",
        member=origin["member"],
        parent=parent,
        **steps,
    )


def _way_before(origin: dict[str, Any] | None, preset: Preset, device: torch.device) -> Way | None:
    """Return how the parent of a fork computed its members, if that still holds."""
    if origin is None or preset.members.way != "auto":
        return None
    way: Way | None = measured_before(origin, device).get("way")
    return way


def _layout(run: TrainState, folder: RunFolder) -> Layout:
    """Return the run's columns, and write them if it has none yet.

    Raises PresetError if the folder's rows have other columns than the settings ask for.
    """
    layers = tuple({"name": name, "kind": models.describe(module)} for name, module in models.layers(run.model))
    members = tuple(
        {"member": m.member, "seed": m.seed, "values": m.values} | ({} if m.fold is None else {"fold": m.fold})
        for m in run.members
    )
    numbers = parameters.names(run.model) if run.numbers is not None else ()
    layout = Layout.of(accuracy=run.classifies, members=members, layers=layers, parameters=numbers)
    stored = Layout.load(folder.path)
    if stored is None:
        layout.save(folder.path)
        return layout
    before_numbers = Layout.of(accuracy=run.classifies, members=members, layers=layers)  # of an older Descent
    if stored.columns not in (layout.columns, before_numbers.columns):
        raise PresetError(_("{run}: its rows belong to another model or task than its settings", run=folder.id))
    return stored


def _losses(folder: RunFolder, step: int | None, complaints: Sequence[str]) -> Iterator[str]:
    """Yield a message for each checkpoint that can't be read or is gone.

    step: where the run goes on; None: at its start.
    """
    for problem in complaints:
        if step is None:
            yield _("checkpoint {problem}: going on from the beginning", problem=problem)
        else:
            yield _("checkpoint {problem}: going on from step {step:,}", problem=problem, step=step)
    trained = len(Metrics(folder.path))
    if step is None and trained and not complaints:
        yield _("no checkpoint is left of the {count:,} steps so far: going on from the beginning", count=trained)


def _warn(events: Events, display: Display, message: str) -> None:
    events.write("warning", message=message)
    display.say(message)
