"""Samples as they come from a source, on the host, before they are split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rows = NDArray[np.int64]


class Inputs(Protocol):
    """(N, *features): an array, or images that are decoded when they are picked."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: Rows) -> Array: ...


class HeldOut(NamedTuple):
    """The test split of a set that has its own."""

    inputs: Inputs
    targets: Array


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of equal length.

    inputs: (N, *features), any real type; (N, C, H, W) uint8 are images, whose pixels become [0, 1].
    targets: (N,) int64 class labels, or (N, T) float64 for regression.
    where: what an error calls them. row: what an error calls row i.
    """

    where: str
    inputs: Inputs
    targets: Array
    classes: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    test: HeldOut | None = None
    notes: tuple[str, ...] = ()
    row: Callable[[int], str] = "row {} (counted from 0)".format

    @property
    def is_classification(self) -> bool:
        return bool(self.classes)
