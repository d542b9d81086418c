"""A growing series of numbers that is drawn in the same time whether it is a thousand long or a million."""

import numpy as np
from numpy.typing import NDArray

BLOCK = 16  # values of one level that become one of the next
PIECE = 2048  # blocks worked on at once: they stay in the cache

Floats = NDArray[np.float32]
Steps = NDArray[np.int64]


class _Buffer:
    """A float32 array that grows at its end; the room doubles, so that a value is moved twice at most."""

    def __init__(self) -> None:
        self._room = np.empty(1024, np.float32)
        self.length = 0

    def room(self, count: int) -> Floats:
        """(count,) behind the end, to be written to; `length` says how much of it counts."""
        needed = self.length + count
        if needed > len(self._room):
            larger = np.empty(max(needed + needed // 8, 2 * len(self._room)), np.float32)
            larger[: self.length] = self._room[: self.length]
            self._room = larger
        return self._room[self.length : needed]

    def append(self, values: Floats) -> None:
        self.room(len(values))[:] = values
        self.length += len(values)

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
        for begin in range(first, whole, PIECE):
            blocks = slice(begin * BLOCK, min(begin + PIECE, whole) * BLOCK)
            lows = _across(low[blocks])
            highs = lows if high is low else _across(high[blocks])
            self.low.append(np.fmin.reduce(lows, axis=0))
            self.high.append(np.fmax.reduce(highs, axis=0))

    def truncate(self, length: int) -> None:
        self.low.length = min(self.low.length, length)
        self.high.length = min(self.high.length, length)


class Pyramid:
    """A float32 series, one number a step, with the extremes of ever larger blocks.

    NaN means 'not measured'. NaN and infinities are kept as values and left out of extremes.
    """

    def __init__(self) -> None:
        self._values = _Buffer()
        self._levels: list[_Level] = []  # the first one: of the values themselves, without infinities
        self.voided = 0  # how often `truncate` took something away: what was derived from the series is void then

    def __len__(self) -> int:
        return self._values.length

    def append(self, values: Floats) -> None:
        """values: (n,), the next n steps."""
        self.room(len(values))[:] = values
        self.filled(len(values))

    def room(self, count: int) -> Floats:
        """(count,) for the next steps: write there what is read, then say how many were `filled`."""
        return self._values.room(count)

    def filled(self, count: int) -> None:
        """The first `count` of the room last given are values now."""
        self._values.length += count
        low = high = self._values.values
        for number in range(64):
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
            length //= BLOCK
            level.truncate(length)

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
        levels = [(self._values, self._values), *((level.low, level.high) for level in self._levels)]
        for number, (lows, highs) in enumerate(levels):
            # Whole blocks are left to the next level; what lies before and behind them is looked up here.
            inner = -(-first // BLOCK), last // BLOCK
            top = number + 1 == len(levels)
            head = last if top else np.minimum(last, inner[0] * BLOCK)
            tail = np.maximum(head, inner[1] * BLOCK)
            for begin, end in ((first, head), (tail, last)):
                low = np.fmin(low, _reduce(np.fmin, lows.values, begin, end))
                high = np.fmax(high, _reduce(np.fmax, highs.values, begin, end))
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
    """(BLOCK, n / BLOCK), without infinities: a block lies along the first axis, over which reductions are fast."""
    blocks = np.ascontiguousarray(values.reshape(-1, BLOCK).T)
    infinite = np.isinf(blocks)
    return np.where(infinite, np.float32(np.nan), blocks) if infinite.any() else blocks


def _reduce(extreme: np.ufunc, values: Floats, first: Steps, last: Steps) -> Floats:
    """(n,) the extreme of the finite ones of values[first[i]:last[i]]; NaN where there is none."""
    longest = int(np.max(last - first, initial=0))
    if longest <= 0:
        return np.full(len(first), np.nan, np.float32)
    places = first + np.arange(longest)[:, None]  # (longest, n)
    found = values.take(places, mode="clip")
    found[(places >= last) | np.isinf(found)] = np.nan
    reduced: Floats = extreme.reduce(found, axis=0)
    return reduced
