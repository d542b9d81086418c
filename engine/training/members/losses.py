"""Losses and accuracies of all members at once.

outputs: (M, B, K). targets: (M, B) int64 or (M, B, T) float32; without the member axis if all share them.
weights: of the samples, (M, B) with a mean of 1 for each member, or None (see batches.py).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.preset import schema
from engine.training import losses, surfaces

MemberCriterion = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # -> (M,), each the mean over its batch
PerSample = Callable[[Tensor, Tensor], Tensor]  # outputs (M, B, K), targets (M, B[, T]) -> (M, B) or (M, B, T)


def build(section: schema.AnyLoss, criterion: losses.Criterion) -> MemberCriterion:
    """Return the loss of each member. criterion: the same loss for one model, from losses.build."""
    if isinstance(section, schema.CodeLoss):
        return lambda outputs, targets, weights: _one_by_one(criterion, outputs, targets)
    per_sample = _per_sample(section)

    def of_members(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        values = per_sample(outputs, for_members(targets, outputs))
        if weights is not None:
            values = values * (weights if values.ndim == 2 else weights.unsqueeze(-1))
        return values.flatten(1).mean(dim=1)

    return of_members


def takes_weights(section: schema.AnyLoss) -> bool:
    """Return whether samples can be weighted. The user's own loss gives only a mean."""
    return not isinstance(section, schema.CodeLoss)


def correct(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the share of right predictions of each member, (M,) on the device."""
    right = (losses.predictions(outputs) == targets).float()
    return (right if weights is None else right * weights).mean(dim=1)


def penalty(weights: Sequence[Tensor], l1: float | Tensor, l2: float | Tensor) -> Tensor | None:
    """Return l1·Σ|w| + l2·Σw² of each member, (M,), or None if both factors are 0 for all.

    weights: (M, *shape) each. l1, l2: for all members, or (M,).
    """
    terms = []
    if isinstance(l1, Tensor) or l1:
        terms += [l1 * w.abs().flatten(1).sum(1) for w in weights]
    if isinstance(l2, Tensor) or l2:
        terms += [l2 * w.square().flatten(1).sum(1) for w in weights]
    return torch.stack(terms).sum(dim=0) if terms else None


def for_members(targets: Tensor, outputs: Tensor) -> Tensor:
    """Give targets that all members share a member axis, without a copy: (B[, T]) -> (M, B[, T])."""
    # Labels have one axis less than outputs, quantities as many.
    shared = targets.ndim == outputs.ndim - (1 if targets.is_floating_point() else 2)
    return targets.expand(len(outputs), *targets.shape) if shared else targets


def _one_by_one(criterion: losses.Criterion, outputs: Tensor, targets: Tensor) -> Tensor:
    """Call the user's own loss with one member's batch at a time, as it was written for one model."""
    pairs = zip(outputs.unbind(0), for_members(targets, outputs).unbind(0), strict=True)
    return torch.stack([criterion(of_one, wanted) for of_one, wanted in pairs])


def _per_sample(section: schema.AnyLoss) -> PerSample:
    match section:
        case schema.HuberLoss():
            return lambda o, t: F.huber_loss(o, t, reduction="none", delta=section.delta)
        case schema.CrossEntropyLoss():
            return lambda o, t: _cross_entropy(o, t, section.label_smoothing)
        case schema.SurfaceLoss():
            return lambda o, t: surfaces.heights(section.shape, o)
        case _:
            return SIMPLE[section.name]


def _cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    values = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing)
    return values.view(targets.shape)


def _bce(outputs: Tensor, targets: Tensor) -> Tensor:
    logits = outputs.squeeze(-1)
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")


def _perceptron(outputs: Tensor, targets: Tensor) -> Tensor:
    scores = losses._full_precision(outputs.squeeze(-1))
    return F.relu(-(targets.to(scores.dtype) * 2 - 1) * scores)


def _mse_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
    given, wanted = losses.answers(outputs, targets)
    return (given - wanted).square()


def _mae_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
    given, wanted = losses.answers(outputs, targets)
    return (given - wanted).abs()


SIMPLE: dict[str, PerSample] = {
    "mse": lambda outputs, targets: F.mse_loss(outputs, targets, reduction="none"),
    "mae": lambda outputs, targets: F.l1_loss(outputs, targets, reduction="none"),
    "bce": _bce,
    "perceptron": _perceptron,
    "mse-probabilities": _mse_probabilities,
    "mae-probabilities": _mae_probabilities,
}
