"""How a fork takes over its parent's checkpoint, where its own settings are not those of the parent."""

from typing import Any

import torch

from engine.errors import PresetError
from engine.live import is_of_presets, latest
from engine.plan import Pace
from engine.texts import shorten
from engine.training import checkpoint, steering
from engine.training.checkpoint import State
from engine.training.training import Training

_LENGTH = ("train.epochs", "train.steps")


def adopt(run: Training, state: State, origin: dict[str, Any]) -> tuple[float, list[str]]:
    """Stand where the parent stood, with the fork's own settings from here on.

    state: the parent's checkpoint. origin: parent.json. Returns the seconds trained until then, and what to tell the
    user. PresetError where the checkpoint and the settings don't go together.
    """
    changed = set(origin["changed"])
    notes = []
    state = dict(state)
    steering.restore(run, [text for text in latest(state["edits"]) if not is_of_presets(text)])

    if "optimizer.name" in changed or not run.update.fits(state["update"]):
        state["update"] = run.update.state()
        notes.append("the optimizer begins anew: the parent's momentum does not fit it")
    if "schedule.name" in changed:
        state |= run.fresh_plateaus()
    if "train.seed" in changed:
        state["random"] = checkpoint.random_state(run.device)  # as `build` has just seeded it

    seconds = run.restore(state)
    steering.restore(run, run.edits)  # once more: the checkpoint brought the parent's scalars
    if run.batches.index == 0:
        steering.begin_epoch(run)  # another batch size; in the middle of an epoch it waits for the end
    length = not changed.isdisjoint(_LENGTH)
    if length or any(key.startswith("schedule.") for key in changed):
        _plan_anew(run, length=length)
    if run.total_steps <= run.step and "member" not in origin:  # one of several is worth having as it is
        raise PresetError(
            f"the fork begins at step {run.step:,}, the last one: nothing is left to train; give more with "
            "train.epochs or train.steps, or fork at an earlier checkpoint"
        )
    return seconds, notes


def check_weights(run: Training, state: State, origin: dict[str, Any]) -> None:
    """PresetError with the first weight of the parent that does not fit, in words."""
    mine, theirs = run.weights(), state["model"]
    for name in [*mine, *theirs]:
        wanted = tuple(mine[name].shape) if name in mine else None
        given = tuple(theirs[name].shape) if name in theirs else None
        if wanted != given:
            changed = shorten(
                ", ".join(key for key in origin["changed"] if key.startswith(("model.", "data.", "members."))), 80
            )
            raise PresetError(
                f"the checkpoint of {origin['run']} does not fit this model: {name} is {given or 'not there'}, "
                f"wanted is {wanted or 'none'} (changed: {changed or 'nothing of it'}). A fork keeps the shape: "
                "another can start from these weights by model.from"
            )


def _plan_anew(run: Training, *, length: bool) -> None:
    """The schedule, and the `length`, of the settings, as if they had been so from the run's first step."""
    train, per_epoch = run.preset.train, run.batches.per_epoch
    position = run.batches.epoch * per_epoch + run.batches.index  # no step: batches may have had another size before
    if length and train.steps is not None:
        run.total_steps = train.steps
    elif length:
        run.total_steps = run.step + (train.epochs or 0) * per_epoch - position
    if run.total_steps <= run.step:
        key = "train.steps" if train.steps is not None else "train.epochs"
        raise PresetError(
            f"{key} = {train.steps or train.epochs} is reached already at step {run.step:,}, where this fork begins: "
            "give more, or fork at an earlier checkpoint"
        )
    run.pace = Pace(position + run.total_steps - run.step, per_epoch, run.step, float(position))


def measured_before(origin: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The measured choices of the parent that still hold: on another kind of device they are made again."""
    measured = origin["measured"]
    if measured.get("device") != str(device):
        return {}
    return {key: measured[key] for key in ("threads", "statistics_every", "way") if key in measured}
