"""Arrays of rows, and the mean over members."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.float32]
Seconds = NDArray[np.float64]  # of training, at each of some steps
Float = TypeVar("Float", bound="np.floating[Any]")


def mean_over_members(values: "NDArray[Float]") -> "NDArray[Float]":
    """Return the mean over the members with a finite number: (n, M) -> (n,). NaN where no member has one.

    A member that has diverged or has stopped early is left out so. The number of a run's only model stays as it is,
    finite or not.
    """
    if values.shape[1] == 1:
        return values[:, 0].copy()  # a view would keep the whole rows in memory
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means = np.where(finite, values, 0).sum(axis=1, dtype=np.float64) / finite.sum(axis=1)
    mean: NDArray[Float] = means.astype(values.dtype)
    return mean
