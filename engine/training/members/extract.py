"""One member out of a checkpoint of several, as the checkpoint of a plain run."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from descent.run.live_settings import edits_of
from engine.training import checkpoint
from engine.training.checkpoint import State
from engine.training.evaluation import Best
from engine.training.members import layout
from engine.training.train_state import TrainState
from engine.training.update import Update


def of_member(state: State, member: int, run: TrainState) -> State:
    """The part of `state` that is of this member. run: the plain one that is to take it over.

    Its batches are those that the member would have had. What is drawn besides, for dropout and augmentation, comes
    from the generators as `run` was seeded: the members draw from one stream, of which none has a part of its own.
    Early stopping begins anew: a best model of before is in no checkpoint of the new run.
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
    return {key: value for key, value in state.items() if key not in ("standings", "best_weights")} | own


def _update(state: Mapping[str, Any], member: int, run: TrainState) -> State:
    """As torch.optim has it: the slots by the number of the parameter."""
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
    """For each parameter what torch.optim remembers of it.

    rows: (P,) by the slot's name; empty before the first step. step: updates completed, for optimizers that count.
    """
    if not rows:
        return []
    return [
        {name: row[place.first : place.last].view(place.shape).clone() for name, row in rows.items()}
        | ({} if step is None else {"step": torch.tensor(float(step))})  # each its own: torch counts in place
        for place in places.values()
    ]
