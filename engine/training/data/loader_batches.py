"""Batches of a loader of the user's own, such as a DataLoader, in an order that depends only on seed and epoch."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.loop.checkpoint import undisturbed
from engine.training.data.randomness import seed_all


class LoaderBatches:
    """Batches of a loader, epoch after epoch without end. `epoch` and `index` are the current position.

    Whatever it draws from the global generators, for the order or for a sample, begins from (seed, epoch, index), and
    the training's own draws go on as if it had drawn nothing. So a position can be found again: the batches of the
    epoch before it are loaded anew. With workers that persist, their own generators go on from epoch to epoch.
    """

    fixed = True
    augment: Callable[[Tensor], Tensor] | None = None

    def __init__(self, loader: Any, seed: int, device: torch.device, load: Callable[..., Any]) -> None:
        """load(function, *arguments): calls it, and explains what it raises by the user's own lines."""
        self._loader, self._seed, self._device, self._load = loader, seed, device, load
        self.per_epoch = len(loader)
        self.size: int | None = getattr(loader, "batch_size", None) or 1
        held: Any = getattr(loader, "dataset", None)
        most = self.size * self.per_epoch
        self.samples = min(len(held), most) if hasattr(held, "__len__") else most
        self.epoch = self.index = 0
        self._iterator: Iterator[Any] | None = None

    def next(self) -> Any:
        """Return the next batch, as the loader gives it. Raises PresetError if the epoch has fewer than it says."""
        if self._iterator is None:
            with self._drawing(-1):
                self._iterator = self._load(iter, self._loader)
        with self._drawing(self.index):
            batch = self._load(next, self._iterator, self)
        if batch is self:
            raise PresetError(
                _(
                    "loaders(): the training loader says that it has {count:,} batches, and epoch {epoch:,} ended "
                    "after {index:,}; its length must be that of every epoch",
                    count=self.per_epoch,
                    epoch=self.epoch + 1,
                    index=self.index,
                )
            )
        self.index += 1
        return batch

    @contextmanager
    def _drawing(self, index: int) -> Iterator[None]:
        digest = hashlib.sha256(f"loader {self._seed} {self.epoch} {index}".encode()).digest()
        seed = int.from_bytes(digest[:8], "little") >> 1
        with undisturbed(self._device):
            seed_all(seed)
            if index < 0:
                for owner in (self._loader, getattr(self._loader, "sampler", None)):
                    generator = getattr(owner, "generator", None)
                    if isinstance(generator, torch.Generator):
                        generator.manual_seed(seed)
            yield

    def epoch_is_over(self) -> bool:
        """Return True once after the last batch of an epoch, and begin the next epoch."""
        if self.index < self.per_epoch:
            return False
        self.seek(self.epoch + 1, 0)
        return True

    def seek(self, epoch: int, index: int) -> None:
        self.epoch, self.index, self._iterator = epoch, 0, None
        while self.index < index:
            self.next()

    def resize(self, size: int | None) -> None:
        """Leave the batches as the loader makes them."""
