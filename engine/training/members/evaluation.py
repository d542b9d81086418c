"""Losses and accuracies of all members, and of their mean prediction, on a split that is not trained on."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor

from engine.training import losses
from engine.training.data import Split
from engine.training.evaluation import BATCH, Evaluation, nothing
from engine.training.members.folds import Scaling
from engine.training.members.losses import MemberCriterion
from engine.training.members.stacked import Members
from engine.training.scores import Sums


class _Piece(NamedTuple):
    """Samples to evaluate together. counts: (M,) float64, how many of them belong to each member."""

    inputs: Tensor
    targets: Tensor
    counts: Tensor


@torch.no_grad()
def evaluate(
    members: Members,
    criterion: MemberCriterion,
    split: Split,
    precision: AbstractContextManager[None],
    between: Callable[[], None] = nothing,
    *,
    sums: Sums | None = None,
    rows: Sequence[Tensor] | None = None,
    scaling: Scaling | None = None,
) -> list[Evaluation]:
    """Return the mean loss, the share of right answers, and the scores of `sums`, of each member over `split`.

    rows: for folds, the rows of each member, (n,) int64. Their lengths differ by one at most. None for all rows.
    between: called after each piece. Draws no random number.
    """
    counts_right = not split.targets.is_floating_point()
    device = split.inputs.device
    total = torch.zeros(3, members.count, dtype=torch.float64, device=device)
    training = members.training
    members.train(False)
    try:
        for piece in _pieces(split, rows, members.count):
            inputs = piece.inputs if scaling is None else scaling(piece.inputs)
            with precision:
                outputs = members(inputs)
                loss = criterion(outputs, piece.targets, None)
            # A member without samples in this piece may have got a sample of another member.
            own = piece.counts > 0
            total[0] += torch.where(own, loss.double() * piece.counts, 0.0)
            if counts_right:
                right = (losses.predictions(outputs) == piece.targets).sum(dim=1)
                total[1] += torch.where(own, right, 0)
            if sums is not None:
                sums.add(outputs, piece.targets, own)
            total[2] += piece.counts
            between()
    finally:
        members.train(training)
    loss_sums, right_sums, samples = total.tolist()
    scores = [{}] * members.count if sums is None else sums.scores()
    return [
        Evaluation(loss / n, right / n if counts_right else None, of_one)
        for loss, right, n, of_one in zip(loss_sums, right_sums, samples, scores, strict=True)
    ]


def _pieces(split: Split, rows: Sequence[Tensor] | None, members: int) -> list[_Piece]:
    device = split.inputs.device
    size = max(32, BATCH // members)
    if rows is None:
        parts = zip(torch.split(split.inputs, size), torch.split(split.targets, size), strict=True)
        ones = torch.ones(members, dtype=torch.float64, device=device)
        return [_Piece(inputs, targets, ones * len(targets)) for inputs, targets in parts]
    fewest = min(len(of_one) for of_one in rows)
    pieces = []
    for part in torch.split(torch.stack([of_one[:fewest] for of_one in rows]), size, dim=1):
        counts = torch.full((members,), float(part.shape[1]), dtype=torch.float64, device=device)
        pieces.append(_Piece(split.inputs[part], split.targets[part], counts))
    counts = torch.tensor([float(len(of_one) - fewest) for of_one in rows], dtype=torch.float64, device=device)
    if max(len(of_one) for of_one in rows) > fewest:
        last = torch.stack([of_one[-1:] for of_one in rows])
        pieces.append(_Piece(split.inputs[last], split.targets[last], counts))
    return pieces


@torch.no_grad()
def evaluate_ensemble(
    members: Members,
    criterion: losses.Criterion,
    split: Split,
    precision: AbstractContextManager[None],
    *,
    sums: Sums | None = None,
    scaling: Scaling | None = None,
    only: Sequence[int] | None = None,
) -> Evaluation:
    """Return loss, accuracy and scores of the members' mean prediction (see `mean_prediction`).

    criterion: of one model. only: the members to use; None for all.
    """
    training = members.training
    counts_right = not split.targets.is_floating_point()
    loss_sum = right = 0.0
    members.train(False)
    try:
        for piece in _pieces(split, None, members.count):
            inputs = piece.inputs if scaling is None else scaling(piece.inputs)
            with precision:
                outputs = members(inputs)
            mean = mean_prediction(outputs if only is None else outputs[list(only)], classes=counts_right)
            loss_sum += float(criterion(mean, piece.targets)) * len(piece.targets)
            right += float((losses.predictions(mean) == piece.targets).sum()) if counts_right else 0.0
            if sums is not None:
                sums.add(mean.unsqueeze(0), piece.targets)
    finally:
        members.train(training)
    n = len(split.targets)
    return Evaluation(loss_sum / n, right / n if counts_right else None, sums.scores()[0] if sums is not None else {})


def mean_prediction(outputs: Tensor, *, classes: bool) -> Tensor:
    """Return the mean output, or for classes the logits of the mean probabilities: (M, B, K) -> (B, K)."""
    outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    if not classes:
        return outputs.mean(dim=0)
    if outputs.shape[-1] == 1:
        return torch.logit(outputs.sigmoid().mean(dim=0), eps=torch.finfo(outputs.dtype).eps)
    return outputs.log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(outputs))
