"""The inputs of a split in memory: float32 numbers, or bytes of images that become numbers a batch at a time."""

from typing import NamedTuple

import torch
from torch import Tensor


class Scale(NamedTuple):
    mean: Tensor
    std: Tensor


class ByteImages:
    """Images of bytes, (N, C, H, W), in a quarter of the memory of their numbers.

    They are read as a tensor is, and whoever reads them gets float32. Each number is computed by itself, by the
    operations that turn all images into numbers at once, so it is the same to the bit.
    """

    def __init__(self, values: Tensor, *scalings: Scale) -> None:
        """values: uint8. scalings: what the pixels, from 0 to 1, go through, one after the other."""
        assert values.dtype == torch.uint8, values.dtype
        self._values, self._scalings = values, scalings
        self.shape, self.ndim, self.device = values.shape, values.ndim, values.device

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self._numbers(self._values[rows])

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        return self._numbers(self._values.index_select(dim, rows))

    def scaled(self, scaling: Scale) -> "ByteImages":
        """Return the same images with one more scaling. Both share the bytes."""
        return ByteImages(self._values, *self._scalings, scaling)

    def subset(self, rows: Tensor) -> "ByteImages":
        return ByteImages(self._values[rows], *self._scalings)

    def _numbers(self, values: Tensor) -> Tensor:
        numbers = pixels(values)
        for scaling in self._scalings:
            numbers.sub_(scaling.mean).div_(scaling.std)
        return numbers


KeptInputs = Tensor | ByteImages


def pixels(values: Tensor) -> Tensor:
    """Return bytes as float32 numbers from 0 to 1."""
    return values.float().div_(255)


def subset(inputs: KeptInputs, rows: Tensor) -> KeptInputs:
    """Return the inputs of some rows, (n,) int64, kept as before."""
    return inputs.subset(rows) if isinstance(inputs, ByteImages) else inputs[rows]


def scaled(inputs: KeptInputs, scaling: Scale | None) -> KeptInputs:
    """Return (inputs − mean) / std, or the inputs themselves for None."""
    if scaling is None:
        return inputs
    if isinstance(inputs, ByteImages):
        return inputs.scaled(scaling)
    return (inputs - scaling.mean) / scaling.std


def settled(inputs: KeptInputs, device: torch.device) -> KeptInputs:
    """Return inputs as a split holds them: bytes, or float32 numbers on the device."""
    return inputs if isinstance(inputs, ByteImages) else inputs.float().to(device)
