"""A growing series of numbers that is drawn in the same time whether it is a thousand long or a million."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 16  # values of one level that become one of the next

Floats = NDArray[np.float32]
Steps = NDArray[np.int64]


class _Buffer:
    """A float32 array that grows at its end; the room doubles, so that a value is moved twice at most."""

    def __init__(self) -> None:
        self._room = np.empty(1024, np.float32)
        self.length = 0

    def append(self, values: Floats) -> None:
        needed = self.length + len(values)
        if needed > len(self._room):
            larger = np.empty(max(needed, 2 * len(self._room)), np.float32)
            larger[: self.length] = self._room[: self.length]
            self._room = larger
        self._room[self.length : needed] = values
        self.length = needed

    @property
    def values(self) -> Floats:
        return self._room[: self.length]


class _Level:
    """The least and the greatest of each whole block of the level below. NaN where a block has no number."""

    def __init__(self) -> None:
        self.low = _Buffer()
        self.high = _Buffer()

    def follow(self, low: Floats, high: Floats) -> None:
        """Take up the blocks that have become whole in the level below."""
        first, whole = self.low.length, len(low) // BLOCK
        if first < whole:
            blocks = slice(first * BLOCK, whole * BLOCK)
            self.low.append(np.fmin.reduce(_across(low[blocks]), axis=0))
            self.high.append(np.fmax.reduce(_across(high[blocks]), axis=0))

    def truncate(self, length: int) -> None:
        self.low.length = min(self.low.length, length)
        self.high.length = min(self.high.length, length)


class Pyramid:
    """A float32 series, one number a step, with the extremes of ever larger blocks.

    NaN means 'not measured'. NaN and infinities are kept as values and left out of extremes.
    """

    def __init__(self) -> None:
        self._values = _Buffer()
        self._levels: list[_Level] = [_Level()]  # the first one: of single values, without infinities
        self.voided = 0  # how often `truncate` took something away: what was derived from the series is void then

    def __len__(self) -> int:
        return self._values.length

    def append(self, values: Floats) -> None:
        """values: (n,), the next n steps."""
        values = np.ascontiguousarray(values, np.float32)
        self._values.append(values)
        finite = values
        if not np.isfinite(values).all():
            finite = np.where(np.isfinite(values), values, np.float32(np.nan))
        bottom = self._levels[0].low
        bottom.append(finite)
        low = high = bottom.values
        for number in range(1, 64):
            if len(low) < BLOCK:
                break
            if number == len(self._levels):
                self._levels.append(_Level())
            level = self._levels[number]
            level.follow(low, high)
            low, high = level.low.values, level.high.values

    def truncate(self, length: int) -> None:
        """Forget all from step `length` on: a rewind has voided it."""
        if length >= len(self):
            return
        self.voided += 1
        self._values.length = length
        for level in self._levels:
            level.truncate(length)
            length //= BLOCK

    def values(self, first: int = 0, last: int | None = None) -> Floats:
        """(last - first,) the values as they were given, those at the ends of the series at most. A copy."""
        return self._values.values[slice(max(0, first), last)].copy()

    def take(self, places: Steps) -> Floats:
        """The values at these steps; behind the end the last one, of an empty series NaN.

        Any thread may ask, even while a rewind shortens the series.
        """
        values = self._values.values
        if not len(values):
            return np.full(len(places), np.nan, np.float32)
        return values[np.clip(places, 0, len(values) - 1)]

    def search(self, values: NDArray[np.float64]) -> Steps:
        """The first step whose value is at least that, of a series that never falls, such as the time."""
        return np.searchsorted(self._values.values, values.astype(np.float32)).astype(np.int64)

    def envelope(self, edges: Steps) -> tuple[Floats, Floats]:
        """The least and the greatest value over each [edges[i], edges[i+1]), exactly; NaN where none was measured.

        edges: (n + 1,), ascending; may reach beyond the series. Two arrays of shape (n,).
        """
        bounds = np.clip(np.asarray(edges, np.int64), 0, len(self))
        first, last = bounds[:-1], bounds[1:]
        low = np.full(len(first), np.nan, np.float32)
        high = low.copy()
        for number, level in enumerate(self._levels):
            lows = level.low.values
            highs = lows if number == 0 else level.high.values
            # Whole blocks are left to the next level; what lies before and behind them is looked up here.
            inner = -(-first // BLOCK), last // BLOCK
            top = number + 1 == len(self._levels)
            head = last if top else np.minimum(last, inner[0] * BLOCK)
            tail = np.maximum(head, inner[1] * BLOCK)
            for begin, end in ((first, head), (tail, last)):
                low = np.fmin(low, _reduce(np.fmin, lows, begin, end))
                high = np.fmax(high, _reduce(np.fmax, highs, begin, end))
            first, last = inner
        return low, high

    def latest(self) -> float | None:
        """The last value that is not NaN."""
        values, width = self._values.values, 64
        end = len(values)
        while end > 0:
            begin = max(0, end - width)
            measured = np.flatnonzero(~np.isnan(values[begin:end]))
            if len(measured):
                return float(values[begin + measured[-1]])
            end, width = begin, width * 8
        return None


def _across(values: Floats) -> Floats:
    """(BLOCK, n / BLOCK): laid out so that a block lies along the first axis, over which reductions are fast."""
    return np.ascontiguousarray(values.reshape(-1, BLOCK).T)


def _reduce(extreme: np.ufunc, values: Floats, first: Steps, last: Steps) -> Floats:
    """(n,) the extreme of values[first[i]:last[i]]; NaN where that is empty."""
    longest = int(np.max(last - first, initial=0))
    if longest <= 0:
        return np.full(len(first), np.nan, np.float32)
    places = first + np.arange(longest)[:, None]  # (longest, n)
    found = np.where(places < last, values.take(places, mode="clip"), np.float32(np.nan))
    reduced: Floats = extreme.reduce(found, axis=0)
    return reduced
