"""Arrays of rows, and the mean over members that still have numbers."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def mean_of_known(values: Rows) -> Rows:
    """Return the mean over the members whose number is finite: (n, M) -> (n,). NaN where no member has one."""
    if values.shape[1] == 1:
        return values[:, 0]
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
