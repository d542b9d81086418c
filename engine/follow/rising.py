"""Looking up steps and values in a series that never falls, such as the time.

Where the steps lie so far apart that much of a file would have to be read again for them, the answer is taken from a
line from each block of 256 steps to the next.
"""

import numpy as np
from numpy.typing import NDArray

from engine.follow.growing import Floats
from engine.follow.pyramid import BLOCK, Pyramid, Steps

UNIT = BLOCK**2


def take(series: Pyramid, places: Steps) -> Floats:
    """The values at these steps; behind the end the last one, of an empty series NaN.

    Any thread may ask, even while a rewind shortens the series.
    """
    length = len(series)
    if not length or not len(places):
        return np.full(len(places), np.nan, np.float32)
    places = np.clip(places, 0, length - 1)
    first, last = int(places.min()), int(places.max()) + 1
    if not series.is_near(first, last):
        return np.interp(places, *_line(series)).astype(np.float32)
    values = series.values(first, last)
    if not len(values):
        return np.full(len(places), np.nan, np.float32)
    return values[np.clip(places - first, 0, len(values) - 1)]


def search(series: Pyramid, values: NDArray[np.float64]) -> Steps:
    """The first step whose value is at least that; behind the last one, the series' length."""
    wanted = values.astype(np.float32)
    first, last = 0, len(series)
    if len(wanted) and not series.is_near(first, last):
        steps, starts = _line(series)
        least, most = np.searchsorted(starts, [wanted.min(), wanted.max()])
        first, last = int(steps[max(0, least - 1)]), int(steps[min(most, len(steps) - 1)]) + 1
        if not series.is_near(first, last):
            found = np.ceil(np.interp(wanted, starts, steps)).astype(np.int64)
            return np.where(wanted > starts[-1], len(series), found)
    return (first + np.searchsorted(series.values(first, last), wanted)).astype(np.int64)


def _line(series: Pyramid) -> tuple[Steps, Floats]:
    """Steps and their values, ascending: the first of each block, which is its least, and the last of all."""
    starts, latest = series.lows(UNIT), series.latest()
    steps = np.append(np.arange(len(starts)) * UNIT, len(series) - 1)
    starts = np.append(starts, np.float32(np.nan if latest is None else latest))
    known = ~np.isnan(starts)
    return steps[known], starts[known]
