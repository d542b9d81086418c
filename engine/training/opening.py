"""From a run's folder to a run in memory that stands where it is to go on: at the beginning, at a checkpoint, or at
that of its parent."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.errors import CannotGoOnError, PresetError
from engine.files import write_json
from engine.metrics import Layout, Metrics
from engine.preset import Preset, load_preset
from engine.progress import Display
from engine.run import Events, RunFolder
from engine.texts import clean
from engine.training import checkpoint, choices, models, optimizers, parameters, steering
from engine.training.adoption import adopt, check_weights, measured_before
from engine.training.members.alone import of_member
from engine.training.members.stacked import Way
from engine.training.setup import build, choose_device
from engine.training.training import Training


@dataclass(frozen=True)
class Opened:
    """A run, ready to train. seconds: of training so far. begins: nothing of it was saved yet under its own name."""

    run: Training
    layout: Layout
    seconds: float
    begins: bool


def open_run(folder: RunFolder, name: str, data_root: Path, display: Display, events: Events) -> Opened:
    """Load preset, data, model and the last checkpoint. name: what the preset is called.

    Errors are those of the preset, the data and the device, as DescentError.
    """
    preset = dataclasses.replace(load_preset(folder.preset), name=name)
    if not preset.train.compile:
        optimizers.leave_compiler_out()
    facts, origin = folder.facts(), folder.origin()
    state, complaints = checkpoint.latest(folder)
    for loss in _losses(folder, None if state is None else state["step"], complaints):
        _warn(events, display, loss)
    if origin is not None and state is None:
        raise CannotGoOnError(
            f"the fork {folder.id} has lost the checkpoint it began with; fork {origin['run']} again"
        )
    if facts:
        torch.set_num_threads(facts["threads"])
    device = choose_device(preset.train.device)
    if facts and preset.train.device == "auto" and facts["device"] != str(device):
        _warn(events, display, f"trained on {facts['device']} until now, from here on {device}: not bit-equal")
    events.write("stage", stage="data")
    way = facts.get("way", _way_before(origin, preset, device))
    run = build(preset, folder, data_root, device, fresh=state is None, way=way)
    for note in run.notes:
        _warn(events, display, note)
    if not facts:
        events.write("stage", stage="measuring")
        facts = choices.choose(run, preset, data_root, origin)
        write_json(folder.path / "run.json", facts)
    run.measured = {key: facts[key] for key in ("threads", "statistics_every")}
    torch.set_num_threads(facts["threads"])
    run.statistics_every = facts["statistics_every"]
    display.say(choices.headline(run, facts))
    adopted = origin is not None and state is not None and state["run"] != folder.id
    if origin is not None and state is not None and adopted:
        state = of_member(state, origin["member"], run) if "member" in origin else state
        check_weights(run, state, origin)
    layout = _layout(run, folder)
    if state is None:
        if len(Metrics(folder.path)):
            events.write("resumed", to=0, log=0)  # a worker that died before its first checkpoint
        return Opened(run, layout, 0.0, begins=True)
    if origin is not None and adopted:
        seconds, notes = adopt(run, state, origin)
        write_json(folder.path / "run.json", facts | {"total_steps": run.total_steps})  # with the parent's steps
        for note in notes:
            _warn(events, display, note)
        events.write("resumed", to=run.step, log=events.size())
        which = f"member {origin['member']} of " if "member" in origin else ""
        display.say(
            f"forked from {which}{clean(origin['run'])} at step {run.step:,}; trains to step {run.total_steps:,}"
        )
        return Opened(run, layout, seconds, begins=True)
    steering.restore(run, state["edits"])
    seconds = run.restore(state)
    reached = len(Metrics(folder.path))
    again = f"; the steps up to {reached:,} are trained again, to the same end" if reached > run.step else ""
    events.write("resumed", to=run.step, log=state["log"])
    display.say(f"resumed at step {run.step:,} of {run.total_steps:,}{again}")
    return Opened(run, layout, seconds, begins=False)


def _way_before(origin: dict[str, Any] | None, preset: Preset, device: torch.device) -> Way | None:
    """How the parent of a fork computed its members, where that still holds."""
    if origin is None or preset.members.way != "auto":
        return None
    way: Way | None = measured_before(origin, device).get("way")
    return way


def _layout(run: Training, folder: RunFolder) -> Layout:
    """The run's columns, written before its first row. PresetError where a fork's are not those of its parent."""
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
        raise PresetError(f"{folder.id}: its rows are of another model or another task than its settings ask for")
    return stored


def _losses(folder: RunFolder, step: int | None, complaints: Sequence[str]) -> Iterator[str]:
    """What of the run is trained again because its checkpoint can't be read, or is gone. step: where it goes on."""
    instead = "the beginning" if step is None else f"step {step:,}"
    yield from (f"checkpoint {complaint}: going on from {instead}" for complaint in complaints)
    trained = len(Metrics(folder.path))
    if step is None and trained and not complaints:
        yield f"no checkpoint is left of the {trained:,} steps so far: going on from {instead}"


def _warn(events: Events, display: Display, message: str) -> None:
    events.write("warning", message=message)
    display.say(message)
