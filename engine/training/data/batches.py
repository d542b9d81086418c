"""Batches of the training split, in an order that depends only on seed and epoch."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from descent.loop.device import to_device
from engine.training.data.dataset import Split
from engine.training.protocols import AnyBatches


class Batch(NamedTuple):
    inputs: Tensor  # (B, *features) float32
    targets: Tensor  # (B,) int64 or (B, T) float32

    @property
    def samples(self) -> int:
        return self.targets.shape[0]  # `len` of a tensor takes 2 µs more

    def parts(self, count: int, fewest: int = 1) -> "list[Batch]":
        """Return at most `count` parts of nearly equal size, with `fewest` samples at least."""
        sizes = part_sizes(self.samples, count, fewest)
        return [
            Batch(*pair)
            for pair in zip(torch.split(self.inputs, sizes), torch.split(self.targets, sizes), strict=True)
        ]


def part_sizes(samples: int, count: int, fewest: int) -> list[int]:
    """Return the sizes of at most `count` nearly equal parts of a batch.

    fewest: samples in each part, if the batch has as many.
    """
    size = -(-samples // count)
    sizes = [size] * (samples // size) + [samples % size] * (samples % size > 0)
    if sizes[-1] >= fewest:
        return sizes
    count = max(1, min(count, samples // fewest))
    return [samples // count + (part < samples % count) for part in range(count)]


def steps_an_epoch(samples: int, size: int | None, leave_out_single: bool) -> int:
    """Return the batches of `size` in an epoch. size: None for one batch of all samples.

    leave_out_single: do not count a last batch of one sample.
    """
    if size is None:
        return 1
    return -(-samples // size) - (leave_out_single and size > 1 and samples % size == 1)


def last_batch(batches: AnyBatches) -> int:
    """Return the samples in the last batch of an epoch. The others have `size`."""
    size = batches.size or batches.samples
    return min(size, batches.samples - size * (batches.per_epoch - 1))


class Batches:
    """Batches of a split, epoch after epoch without end. `epoch` and `index` are the current position.

    The data are already on the device, so a batch is one gather. `augment` is applied to the inputs of each batch.
    """

    fixed = False

    def __init__(
        self,
        split: Split,
        size: int | None,
        seed: int,
        *,
        augment: Callable[[Tensor], Tensor] | None = None,
        leave_out_single: bool = False,
    ) -> None:
        """size: samples in a batch; None for all of them, not shuffled. leave_out_single: leave out a last batch of
        one sample, after a change of the size too."""
        self._split, self._seed = split, seed
        self._leave_out_single = leave_out_single
        self.augment = augment
        self.epoch = 0  # epochs completed
        self.index = 0  # batches taken in the current epoch
        self._order: tuple[Tensor, ...] | None = None
        self._full: Tensor | None = None
        self.resize(size)

    @property
    def samples(self) -> int:
        """The number of samples to train on."""
        return len(self._split.inputs)

    def resize(self, size: int | None) -> None:
        """Use batches of `size` samples from now on. Call it only at the beginning of an epoch."""
        self.size, self._order, self._full = size, None, None
        self.per_epoch = steps_an_epoch(self.samples, size, self._leave_out_single)

    def next(self) -> Batch:
        if self.size is None:
            if self._full is None:  # of bytes: a full batch always has the same numbers
                self._full = self._split.inputs[:]
            inputs, targets = self._full, self._split.targets
        else:
            if self._order is None:
                order = epoch_order(len(self._split.inputs), self._seed, self.epoch, self._split.inputs.device)
                self._order = torch.split(order, self.size)
            chosen = self._order[self.index]
            # Indexing with a tensor does the same, but takes more than twice the time.
            inputs, targets = self._split.inputs.index_select(0, chosen), self._split.targets.index_select(0, chosen)
        self.index += 1
        if self.augment is not None:
            inputs = self.augment(inputs)
        return Batch(inputs, targets)

    def epoch_is_over(self) -> bool:
        """Return True once after the last batch of an epoch, and begin the next epoch."""
        if self.index < self.per_epoch:
            return False
        self.epoch += 1
        self.index = 0
        self._order = None
        return True

    def seek(self, epoch: int, index: int) -> None:
        self.epoch, self.index, self._order = epoch, index, None


def throw_away(split: Split, size: int | None) -> Batch:
    """Return a batch to measure on. The order of the real batches does not change."""
    count = len(split.inputs) if size is None else size
    with torch.no_grad():
        return Batch(split.inputs[:count].clone(), split.targets[:count].clone())


def epoch_order(n: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return a permutation of 0 … n − 1, (n,) int64 on `device`, which depends only on the arguments.

    It is drawn on the CPU, so that every device has the same order. It comes from a generator of its own, so that a
    resumed run can begin an epoch without the epochs before it.
    """
    digest = hashlib.sha256(f"epoch order {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return to_device(torch.randperm(n, generator=generator), device)
