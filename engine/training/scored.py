"""The checkpoint that a run's scores are of."""

from descent.loop.checkpoint import State, latest, read
from descent.run.folder import RunFolder
from engine.preset.loading import load_preset


def scored(run: RunFolder) -> tuple[State | None, list[str]]:
    """Return the checkpoint whose `model` was scored, and messages on damaged ones. None if there is no checkpoint.

    With early stopping or `train.best` that is the best model so far, which was tested, else the last one. Of several
    members `model` holds each one's own.
    """
    state, complaints = latest(run)
    if state is None:
        return None, complaints
    if state.get("best_weights") is not None:
        return state | {"model": state["best_weights"]}, complaints
    best = state["best"]["step"]
    train = load_preset(run.preset).train
    if (train.early_stopping is None and train.best is None) or best in (None, state["step"]):
        return state, complaints
    try:
        return read(run.checkpoint(best)), complaints
    except ValueError as error:
        return state, [*complaints, str(error)]
