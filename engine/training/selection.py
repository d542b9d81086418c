"""What the members of a run come to together: which candidate won, and what their mean prediction is worth."""

import math
from typing import Any

from engine.training.evaluation import Evaluation
from engine.training.members.training import MemberTraining
from engine.training.training import Training


def winner(run: Training) -> dict[str, Any] | None:
    """The candidate of a sweep with the lowest validation loss, as a mean over its members; None without a sweep.

    Goes by the validation alone: only the winner is tested, and once.
    """
    if not isinstance(run, MemberTraining) or not is_sweep(run):
        return None
    losses = [result.loss for result in run.evaluate("validation")]
    candidates: dict[str, list[int]] = {}
    for member in run.members:
        candidates.setdefault(repr(member.values), []).append(member.member)
    lost = [m for m, why in run.ended().items() if why == "diverged"]

    def score(members: list[int]) -> float:
        if any(member in lost for member in members):
            return math.inf  # it can't be trusted to train with another seed
        return sum(losses[member] for member in members) / len(members)

    best = min(candidates.values(), key=score)
    if not math.isfinite(score(best)):
        return None
    return {"members": best, "values": run.members[best[0]].values, "by": "val_loss", "score": score(best)}


def is_sweep(run: Training) -> bool:
    """Whether the members differ in more than seed and fold."""
    return any(member.values for member in run.members)


def ensemble(run: Training) -> Evaluation | None:
    """The test of the members' mean prediction; None for one model, and for candidates that were to be compared."""
    if not isinstance(run, MemberTraining) or is_sweep(run):
        return None
    return run.evaluate_ensemble("test")
