"""Batches for all members at once.

Repeats have the same samples in different orders. Members of a sweep share their batches, so that only their settings
differ. Each fold has its own samples.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from descent.loop.device import to_device
from engine.training.data import Split
from engine.training.data.batches import epoch_order, part_sizes, steps_an_epoch
from engine.training.members.folds import Scaling


class MemberBatch(NamedTuple):
    """A batch of each member. The arrays have no member axis if all members share them.

    inputs: (M, B, *features) or (B, *features). targets: (M, B[, T]) or (B[, T]). weights: (M, B) with a mean of 1
    for each member, or None if all samples count alike.
    """

    inputs: Tensor
    targets: Tensor
    shared: bool
    weights: Tensor | None = None

    @property
    def samples(self) -> int:
        """The number of samples of each member."""
        return self.targets.shape[0 if self.shared else 1]

    def parts(self, count: int, fewest: int = 1) -> "list[MemberBatch]":
        """Return at most `count` parts of nearly equal size, with `fewest` samples at least."""
        axis = 0 if self.shared else 1
        sizes = part_sizes(self.samples, count, fewest)
        inputs, targets = torch.split(self.inputs, sizes, axis), torch.split(self.targets, sizes, axis)
        weights = [None] * len(inputs) if self.weights is None else torch.split(self.weights, sizes, 1)
        return [MemberBatch(x, y, self.shared, w) for x, y, w in zip(inputs, targets, weights, strict=True)]


class MemberBatches:
    """Batches for M members.

    Member m takes its samples in the order of a run alone with train.seed = seeds[m]. Folds may differ by one sample.
    Then each epoch leaves out one sample of a larger fold, a different one each time, so that all folds have as many
    batches of the same sizes. No sample is added to a batch, because batch norm would see it. A full batch has the
    same samples each time. There the smaller folds get one sample twice, the second time with weight 0. With
    `exact = False` the last sample of the larger folds is left out instead.
    """

    fixed = False

    def __init__(
        self,
        split: Split,
        size: int | None,
        seeds: Sequence[int],
        *,
        rows: Sequence[Tensor] | None = None,
        scaling: Scaling | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        leave_out_single: bool = False,
        exact: bool = True,
    ) -> None:
        """split: all samples, on the device. size: as in Batches. rows: for folds, (n,) int64 for each member.
        scaling: of each fold.
        """
        self._split, self._seeds = split, list(seeds)
        self._device = split.inputs.device
        self._rows, self._scaling = rows, scaling
        self._counts = [len(split.inputs)] * len(self._seeds) if rows is None else [len(of_one) for of_one in rows]
        self.samples = min(self._counts)
        self._leave_out_single, self._exact = leave_out_single, exact
        self._mine = slice(None)
        self.augment = augment
        self.epoch = 0  # epochs completed
        self.index = 0  # batches taken in the current epoch
        self.resize(size)

    def resize(self, size: int | None) -> None:
        """Use batches of `size` samples from now on, None for all. Call it only at the beginning of an epoch."""
        self.size = size
        self.shared = self._rows is None and (size is None or len(set(self._seeds)) == 1)
        self._chosen: tuple[Tensor, ...] | None = None
        self._weights: Tensor | None = None
        self._full: MemberBatch | None = None
        self.per_epoch = steps_an_epoch(self.samples, size, self._leave_out_single)

    def of(self, members: slice) -> Self:
        """Return the batches of some members alone, from the current position on.

        A batch that all members share stays one. Otherwise a batch of no member counts the steps only.
        """
        own = copy.copy(self)
        own._mine = members
        own.resize(self.size)
        return own

    def next(self) -> MemberBatch:
        if self._full is None and (self.size is not None or self._rows is not None):
            batch = self._gather()
        else:
            batch = self._full or MemberBatch(self._split.inputs[:], self._split.targets, shared=True)
        if self.size is None:
            self._full = batch  # a full batch is always the same
        self.index += 1
        return batch if self.augment is None else batch._replace(inputs=self._augmented(batch.inputs))

    def _gather(self) -> MemberBatch:
        if self._chosen is None:
            orders = self._full_orders() if self.size is None else self._orders(self.size)
            self._chosen = orders
        chosen = self._chosen[self.index]  # (M, B), or (B,) if they are shared
        scaling, weights = self._scaling, self._weights
        if not self.shared:
            chosen = chosen[self._mine]
            scaling = None if scaling is None else Scaling(scaling.mean[self._mine], scaling.std[self._mine])
            weights = None if weights is None else weights[self._mine]
        inputs = self._split.inputs.index_select(0, chosen.flatten())
        targets = self._split.targets.index_select(0, chosen.flatten())
        inputs = inputs.view(*chosen.shape, *inputs.shape[1:])
        targets = targets.view(*chosen.shape, *targets.shape[1:])
        if scaling is not None:
            inputs = scaling(inputs)
        return MemberBatch(inputs, targets, self.shared, weights)

    def _orders(self, size: int) -> tuple[Tensor, ...]:
        """Return the rows of each batch of this epoch."""
        if self.shared:
            return torch.split(self._order(0), size)
        if self._rows is None:
            of_seed = {s: epoch_order(self.samples, s, self.epoch, self._device) for s in set(self._seeds)}
            together = torch.stack([of_seed[seed] for seed in self._seeds])
        else:
            together = torch.stack([self._order(m)[: self.samples] for m in range(len(self._seeds))])
        return tuple(part.contiguous() for part in torch.split(together, size, dim=1))

    def _order(self, member: int) -> Tensor:
        order = epoch_order(self._counts[member], self._seeds[member], self.epoch, self._device)
        return order if self._rows is None else self._rows[member][order]

    def _full_orders(self) -> tuple[Tensor, ...]:
        assert self._rows is not None
        if min(self._counts) == max(self._counts) or not self._exact:
            return (torch.stack([of_one[: self.samples] for of_one in self._rows]),)
        most = max(self._counts)
        padded = [torch.cat([of_one, of_one[: most - len(of_one)]]) for of_one in self._rows]
        counts = to_device(torch.tensor(self._counts), self._device).unsqueeze(1)
        self._weights = (torch.arange(most, device=self._device) < counts).float() * most / counts
        return (torch.stack(padded),)

    def _augmented(self, inputs: Tensor) -> Tensor:
        assert self.augment is not None
        if self.shared:
            return self.augment(inputs)
        return self.augment(inputs.flatten(0, 1)).view_as(inputs)

    def epoch_is_over(self) -> bool:
        """Return True once after the last batch of an epoch, and begin the next epoch."""
        if self.index < self.per_epoch:
            return False
        self.epoch += 1
        self.index = 0
        self._chosen = None
        return True

    def seek(self, epoch: int, index: int) -> None:
        self.epoch, self.index, self._chosen = epoch, index, None
