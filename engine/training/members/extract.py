"""One member of a checkpoint of several, as the checkpoint of a plain run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from descent.loop import checkpoint
from descent.loop.checkpoint import State
from descent.run.live_settings import edits_of
from engine.training.evaluation import Best
from engine.training.members import layout
from engine.training.train_state import TrainState
from engine.training.update import Update


def of_member(state: State, member: int, run: TrainState) -> State:
    """Return the part of `state` that belongs to this member. run: the plain run that will take it over.

    The new run has the batches that the member would have had. Dropout and augmentation draw from the generators as
    `run` has seeded them, because the members share one stream. Early stopping begins again, because no checkpoint of
    the new run holds an earlier best model.
    """
    standing = state["standings"][member]
    own = {
        "lr_scale": standing["hand"],
        "edits": edits_of(state["edits"], member),
        "model": {name: tensor[member] for name, tensor in state["model"].items()},
        "update": _update(state["update"], member, run),
        "plateau": standing["plateau"],
        "best": Best(None).state(),
        "metrics": {},  # means over the members
        "evaluated": {},
        "random": checkpoint.random_state(run.device),
    }
    return {key: value for key, value in state.items() if key not in ("standings", "best_weights", "watched")} | own


def _update(state: Mapping[str, Any], member: int, run: TrainState) -> State:
    """Return the optimizer's state as torch.optim keeps it: the slots by the number of the parameter."""
    assert isinstance(run.update, Update)
    fresh = run.update.state()
    optimizer = run.update.optimizer
    slots = parts(
        {name: rows[member] for name, rows in state["tensors"].items()},
        layout.places([run.model]),
        None if isinstance(optimizer, torch.optim.SGD) else state["step"],
    )
    return fresh | {"optimizer": fresh["optimizer"] | {"state": dict(enumerate(slots))}}


def parts(
    rows: Mapping[str, Tensor], places: Mapping[str, layout.Place], step: int | None
) -> list[dict[str, Tensor]]:
    """Return what torch.optim keeps for each parameter.

    rows: (P,) by the slot's name; empty before the first step. step: updates completed, or None for optimizers that
    don't count them.
    """
    if not rows:
        return []
    kept = []
    for place in places.values():
        own = {name: row[place.first : place.last].view(place.shape).clone() for name, row in rows.items()}
        if step is not None:
            own["step"] = torch.tensor(float(step))  # one for each parameter, because torch counts in place
        kept.append(own)
    return kept
