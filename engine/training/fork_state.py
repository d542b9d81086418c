"""What a fork takes over from its parent's checkpoint, before it trains under its own settings."""

import math
from typing import Any

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.loop import checkpoint
from descent.loop.checkpoint import State
from descent.run.live_settings import is_of_presets, latest
from engine.preset.schedule import SchedulePosition
from engine.training import live_edits
from engine.training.data import fingerprint
from engine.training.evaluation import Best
from engine.training.train_state import TrainState

_LENGTH = ("train.epochs", "train.steps")


def check_parent_weights(run: TrainState, state: State, origin: dict[str, Any]) -> None:
    """Raise PresetError, naming the first weight of the parent that does not fit, if any does not.

    Raises DataError for a replay whose parent was trained on other data.
    """
    if origin.get("replay"):
        fingerprint.check_same(run.dataset, run.preset.data, origin, origin["run"])
    mine, theirs = run.shapes(), checkpoint.shapes(state["model"])
    for name in [*mine, *theirs]:
        wanted, given = mine.get(name), theirs.get(name)
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
        # Another batch size takes effect now. In the middle of an epoch it waits for the end.
        live_edits.begin_epoch(run)
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


def _plan_anew(run: TrainState, *, length: bool) -> None:
    """Plan the schedule, and with `length` the last step, as if the settings had held since the run's first step."""
    train, per_epoch = run.preset.train, run.batches.per_epoch
    # The position is not run.step, because batches may have had another size before.
    position = run.batches.epoch * per_epoch + run.batches.index
    if length and train.steps is not None:
        run.total_steps = train.steps
    elif length:
        run.total_steps = run.step + (train.epochs or 0) * per_epoch - position
    if run.total_steps <= run.step:
        raise run.preset.already_at(run.step)
    run.pace = SchedulePosition(position + run.total_steps - run.step, per_epoch, run.step, float(position))


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
