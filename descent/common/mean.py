"""The mean over members of one number each. It needs no NumPy."""

import math
import statistics
from collections.abc import Iterable


def mean_of_finite(values: Iterable[float | None]) -> float | None:
    """Return the mean of the finite numbers, or None if there is none. None stands for a number that is missing."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(finite) if finite else None
