"""Losses and accuracies of all members, and of their mean prediction, on a split that is not trained on."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from descent.loop.device import for_sums, to_device
from engine.training import losses
from engine.training.at_once import AtOnce
from engine.training.data import Split
from engine.training.evaluation import Evaluation, evaluating, nothing
from engine.training.members.folds import Scaling
from engine.training.members.losses import MemberCriterion
from engine.training.members.stacked import Members
from engine.training.scores import Sums


@torch.no_grad()
def evaluate(
    members: Members,
    criterion: MemberCriterion,
    split: Split,
    precision: AbstractContextManager[None],
    at_once: AtOnce,
    between: Callable[[], None] = nothing,
    *,
    sums: Sums | None = None,
    rows: Sequence[Tensor] | None = None,
    fewest: int | None = None,
    scaling: Scaling | None = None,
) -> list[Evaluation]:
    """Return the mean loss, the share of right answers, and the scores of `sums`, of each member over `split`.

    rows: for folds, the rows of each member, (n,) int64. Their lengths differ by one at most. None for all rows.
    fewest: the least number of rows of a fold, of those too that another process evaluates.
    at_once: how many samples of each member to take at once. between: called after each piece.
    The run goes on as if it had not been evaluated.
    """
    counts_right = not split.targets.is_floating_point()
    device = split.inputs.device
    total = torch.zeros(3, members.count, dtype=for_sums(device), device=device)
    with evaluating(members, device):

        def one(inputs: Tensor) -> Tensor:
            return members.module(0)(inputs)  # type: ignore[no-any-return]

        def add(inputs: Tensor, targets: Tensor, counts: Tensor) -> None:
            """counts: (M,), how many of these samples belong to each member."""
            with precision:
                outputs = members(inputs if scaling is None else scaling(inputs))
                loss = criterion(outputs, targets, None)
            # A member without samples in this piece may have got a sample of another member.
            own = counts > 0
            right = (losses.predictions(outputs) == targets).sum(dim=1) if counts_right else torch.zeros_like(loss)
            if sums is not None:
                sums.add(outputs, targets, own)
            total[0] += torch.where(own, loss.to(counts.dtype) * counts, 0.0)
            total[1] += torch.where(own, right, 0)
            total[2] += counts

        with precision:
            at_once.settle(one, split.inputs)
        for _done in _parts(split, rows, fewest, members.count, at_once, add):
            between()
    loss_sums, right_sums, samples = total.tolist()
    scores = [{}] * members.count if sums is None else sums.scores()
    return [
        Evaluation(loss / n, right / n if counts_right else None, of_one)
        for loss, right, n, of_one in zip(loss_sums, right_sums, samples, scores, strict=True)
    ]


def _parts(
    split: Split,
    rows: Sequence[Tensor] | None,
    fewest: int | None,
    members: int,
    at_once: AtOnce,
    add: Callable[[Tensor, Tensor, Tensor], None],
) -> Iterator[None]:
    """Call add(inputs, targets, counts) on all samples, a part at a time, and yield after each part."""
    each = torch.ones(members, dtype=for_sums(split.inputs.device), device=split.inputs.device)
    if rows is None:

        def shared(first: int, last: int) -> None:
            add(split.inputs[first:last], split.targets[first:last], each * (last - first))

        yield from at_once.over(len(split.inputs), shared)
        return
    fewest = min(len(of_one) for of_one in rows) if fewest is None else fewest
    together = torch.stack([of_one[:fewest] for of_one in rows])

    def own(first: int, last: int) -> None:
        part = together[:, first:last]
        add(split.inputs[part], split.targets[part], each * (last - first))

    yield from at_once.over(fewest, own)
    if max(len(of_one) for of_one in rows) > fewest:
        last_rows = torch.stack([of_one[-1:] for of_one in rows])
        more = to_device(
            torch.tensor([float(len(of_one) - fewest) for of_one in rows], dtype=each.dtype), each.device
        )
        yield from at_once.over(1, lambda *_: add(split.inputs[last_rows], split.targets[last_rows], more))


@torch.no_grad()
def evaluate_ensemble(
    members: Members,
    criterion: losses.Criterion,
    split: Split,
    precision: AbstractContextManager[None],
    at_once: AtOnce,
    *,
    sums: Sums | None = None,
    scaling: Scaling | None = None,
    only: Sequence[int] | None = None,
) -> Evaluation:
    """Return loss, accuracy and scores of the members' mean prediction (see `mean_prediction`).

    criterion: of one model. only: the members to use; None for all.
    """
    counts_right = not split.targets.is_floating_point()
    device = split.inputs.device
    total = torch.zeros(2, dtype=for_sums(device), device=device)

    def add(first: int, last: int) -> None:
        inputs, targets = split.inputs[first:last], split.targets[first:last]
        with precision:
            outputs = members(inputs if scaling is None else scaling(inputs))
        mean = mean_prediction(outputs if only is None else outputs[list(only)], classes=counts_right)
        loss = criterion(mean, targets)
        right = (losses.predictions(mean) == targets).sum() if counts_right else 0
        if sums is not None:
            sums.add(mean.unsqueeze(0), targets)
        total[0] += loss.to(total.dtype) * len(targets)
        total[1] += right

    with evaluating(members, device):
        for _done in at_once.over(len(split.inputs), add):
            pass
    n = len(split.targets)
    loss_sum, right = total.tolist()
    return Evaluation(loss_sum / n, right / n if counts_right else None, sums.scores()[0] if sums is not None else {})


def mean_prediction(outputs: Tensor, *, classes: bool) -> Tensor:
    """Return the mean output, or for classes the logits of the mean probabilities: (M, B, K) -> (B, K)."""
    outputs = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    if not classes:
        return outputs.mean(dim=0)
    if outputs.shape[-1] == 1:
        return torch.logit(outputs.sigmoid().mean(dim=0), eps=torch.finfo(outputs.dtype).eps)
    return outputs.log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(outputs))
