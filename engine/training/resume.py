"""Opening a run: from its folder to a run in memory, at its start or at a checkpoint."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from descent.common.errors import CannotGoOnError, PresetError
from descent.common.files import write_json
from descent.common.i18n import _, ngettext
from descent.common.text import clean, shorten
from descent.loop import checkpoint
from descent.loop import device as devices
from descent.loop.checkpoint import State
from descent.loop.commands import promise_again
from descent.run.events import Events, to_give_again
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.metrics import Metrics
from descent.run.progress import Display
from descent.run.schema import EVENTS, damaged_file
from engine.preset import code_copy
from engine.preset.loading import Preset, load_preset
from engine.training import arithmetic, divided, live_edits, measure, models, optimizers, parameters
from engine.training.build import build
from engine.training.data import fingerprint, preparation
from engine.training.fork_state import adopt, check_parent_weights
from engine.training.measure import measured_before
from engine.training.members.extract import of_member
from engine.training.members.stacked import Way
from engine.training.members.train_state import MemberTrainState
from engine.training.train_state import TrainState


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


def open_run(
    folder: RunFolder, name: str, data_root: Path, display: Display, events: Events, processes: int = 1
) -> Opened:
    """Load preset, data, model and the last checkpoint. name: of the preset. processes: that train the run together.

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
    _refuse_lost_files(folder, facts, origin)
    for loss in _losses(folder, None if state is None else state["step"], complaints):
        _warn(events, display, loss)
    if changed := code_copy.changed_since(folder.path) if facts or origin is not None else []:
        _warn(events, display, _changed_code(changed))
    if facts:
        torch.set_num_threads(facts["threads"])
    device, notes = device_of(preset, facts)
    for note in notes:
        _warn(events, display, note)
    events.write("stage", stage="data")
    way = facts.get("way", _way_before(origin, preset, device))
    run = build(preset, folder, data_root, device, fresh=state is None, way=way, processes=processes)
    divided.refuse(run)
    _tell_data(run, events, display)
    fingerprint.check_same(run.dataset, preset.data, facts, folder.id)
    preparation.keep(folder.path, run.preparations())
    if not facts:
        events.write("stage", stage="measuring")
        display.doing(_("measuring how this machine trains fastest"))
    same = not _on_another_device(facts, device) and _divided_as_before(facts, run, events, display)
    facts = _facts(run, folder, data_root, origin)
    run.measured = {key: facts[key] for key in ("threads", "statistics_every")}
    torch.set_num_threads(facts["threads"])
    run.statistics_every = facts["statistics_every"]
    display.say(measure.headline(run, facts))
    adopted = origin is not None and state is not None and state["run"] != folder.id
    if origin is not None and state is not None and adopted:
        state = of_member(state, origin["member"], run) if "member" in origin else state
        check_parent_weights(run, state, origin)
    layout = _layout(run, folder)
    if state is None:
        # With rows, a worker died before its first checkpoint, or all checkpoints are lost.
        again = _resume(run, folder, 0, events, display, same=same) if len(Metrics(folder.path)) else []
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
    again = _resume(run, folder, state["log"], events, display, same=same)
    return Opened(run, layout, seconds, begins=False, watched=state.get("watched"), again=again)


def _changed_code(files: Sequence[str]) -> str:
    return _(
        "the run keeps the code that it began with; these files have changed since then, or are gone: {files}",
        files=shorten(clean(", ".join(files)), 400),
    )


def _facts(run: TrainState, folder: RunFolder, data_root: Path, origin: dict[str, Any] | None) -> dict[str, Any]:
    """Return the facts of run.json, measured and written if the run begins, and how many processes train it now."""
    before = folder.facts()
    facts = before or divided.with_threads(run, measure.choose(run, run.preset, data_root, origin))
    if facts.get("processes", 1) != run.processes:
        facts = facts | {"processes": run.processes}
    if facts != before:
        write_json(folder.path / "run.json", facts)
    return facts


def _refuse_other_weights(run: TrainState, state: State) -> None:
    """Raise PresetError, naming the first one, if the run's own checkpoint holds other weights than its model."""
    mine = run.shapes()
    theirs = checkpoint.shapes(state["model"])
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


def _resume(
    run: TrainState, folder: RunFolder, log: int, events: Events, display: Display, *, same: bool
) -> list[dict[str, Any]]:
    """Write and tell that the run goes on from its step, at which its log ended at byte `log`.

    same: whether it is trained as until now, so that steps that are trained again come to the same bits. Returns the
    commands to follow again, which are kept in the log for the case that this worker is killed too.
    """
    reached, again = len(Metrics(folder.path)), to_give_again(folder.path, log)
    events.write("resumed", to=run.step, log=log)
    if run.step:
        display.say(_resumed(run, reached, same=same))
    promise_again(again, run.step, events, partial(_warn, events, display))
    return again


def device_of(preset: Preset, facts: dict[str, Any]) -> tuple[torch.device, list[str]]:
    """Return the device, ready to compute as the settings say, and notes on it. Raises the errors of `choose`."""
    arithmetic.prepare(preset.train)
    device, unusable = devices.choose(preset.train.device)
    notes = [unusable, _on_another_device(facts, device), *arithmetic.use(preset.train, device)]
    return device, [note for note in notes if note]


def _on_another_device(facts: dict[str, Any], device: torch.device) -> str:
    """Return a note if the run was trained on another kind of device until now, else ""."""
    if not facts or facts["device"].partition(":")[0] == device.type == "cpu":
        return ""
    here, before = devices.name(device), facts.get("device_name", facts["device"])
    if facts["device"].partition(":")[0] == device.type and before == here:
        return ""  # two cards of one kind compute alike
    return _("trained on {before} until now, from here on {device}: not bit-equal", before=before, device=here)


def _divided_as_before(facts: dict[str, Any], run: TrainState, events: Events, display: Display) -> bool:
    """Return whether as many processes as until now share the batches of one model. Says it if not."""
    before = facts.get("processes", 1) if facts else run.processes
    if before == run.processes or isinstance(run, MemberTrainState):
        return True
    note = _(
        "trained by {before} until now, from here on by {now}: not bit-equal",
        before=ngettext("{count:,} process", "{count:,} processes", before),
        now=ngettext("{count:,} process", "{count:,} processes", run.processes),
    )
    _warn(events, display, note)
    return False


def _tell_data(run: TrainState, events: Events, display: Display) -> None:
    """Say what the user's own data are, and what is noteworthy about them and the model."""
    if isinstance(run.preset.data, fingerprint.OWN):
        display.say(run.dataset.summary)
    for note in run.notes:
        _warn(events, display, note)


def _resumed(run: TrainState, reached: int, *, same: bool) -> str:
    """reached: the steps in the run's file of rows."""
    text = _("resumed at step {step:,} of {total:,}", step=run.step, total=run.total_steps)
    if reached <= run.step:
        return text
    if same:
        again = _("the steps up to {reached:,} are trained again, with the same result", reached=reached)
    else:
        again = _("the steps up to {reached:,} are trained again", reached=reached)
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


def _refuse_lost_files(folder: RunFolder, facts: Mapping[str, Any], origin: Mapping[str, Any] | None) -> None:
    """Raise DamagedError if the run has trained, but no longer says how: it would begin again as another run.

    origin: of a fork, which has rows before it trains.
    """
    trained = len(Metrics(folder.path)) if origin is None else 0
    if trained and not facts:
        what = _("it is missing, though {count:,} steps were trained", count=trained)
        raise damaged_file(folder.path, "run.json", what)
    if trained and folder.last("state", state="running") is None:
        what = _("it does not say that the run has trained, though {count:,} steps were", count=trained)
        raise damaged_file(folder.path, EVENTS, what)


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
