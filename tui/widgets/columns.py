"""A line's points as rows of dots in each column: extremes within a column, straight lines between them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def by_column(column: NDArray[np.int64], top: Floats, bottom: Floats, count: int) -> tuple[Floats, Floats]:
    """The first and the last row of dots in each of `count` columns of dots, (count,) each; NaN where there is none.

    column, top, bottom: (n,) of each point, columns ascending. Points of one column become their extremes; between
    columns lie straight lines, but for where a NaN breaks them.
    """
    missing = np.isnan(top) | np.isnan(bottom)
    broken = np.cumsum(missing)[~missing]  # points with a gap between them differ here
    column, top, bottom = column[~missing], top[~missing], bottom[~missing]
    nothing = np.full(count, np.nan)
    if not len(column):
        return nothing, nothing
    first = np.concatenate([[0], np.flatnonzero(np.diff(column)) + 1])
    last = np.concatenate([first[1:], [len(column)]]) - 1
    column, top, bottom = column[first], np.minimum.reduceat(top, first), np.maximum.reduceat(bottom, first)
    joined = np.append(broken[last][:-1] == broken[first][1:], False)

    places = np.arange(count)
    right = np.searchsorted(column, places)
    at_point = (right < len(column)) & (column[np.minimum(right, len(column) - 1)] == places)
    between = ~at_point & (right > 0) & joined[right - 1]
    middle = np.interp(places, column, (top + bottom) / 2)
    chosen = np.minimum(right, len(column) - 1)
    nothing = np.where(between, middle, np.nan)
    return np.where(at_point, top[chosen], nothing), np.where(at_point, bottom[chosen], nothing)
