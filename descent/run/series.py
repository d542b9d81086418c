"""A growing series of numbers that is drawn in the same time, and takes much the same memory, whether it is a
thousand long or a hundred million.

The values themselves, and the blocks of the first level, are kept of the last steps alone: a close look at the steps
before them reads them again. Higher levels are kept whole: they take a twentieth of a byte a step.

Looking up steps and values in a series that never falls, such as the time.

Where the steps lie so far apart that much of a file would have to be read again for them, the answer is taken from a
line from each block of 256 steps to the next.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Singles
from descent.run.growing_array import GrowingArray
from descent.run.not_given import is_given

BLOCK = 16  # values of one level that become one of the next
PIECE = 2048  # blocks worked on at once: they stay in the cache
KEPT = 1 << 14  # values, and blocks of the first level, that are kept at least
CLOSE = 2 * KEPT  # steps that are read again at most for one look
PAGE = 1 << 12  # what is read again begins and ends at multiples of this, so that the next look finds it
MOST_BREAKS = 1000  # that are remembered: nobody can tell more of them apart
LOW, HIGH, MEAN = range(3)  # rows of a level

Steps = NDArray[np.int64]
Past = Callable[[int, int], Singles]
UNIT = BLOCK**2


class MinMaxPyramid:
    """A float32 series, one number a step, with the extremes and the mean of ever larger blocks.

    NaN means 'not measured'. NaN and infinities are kept as values and left out of extremes and means.

    past: reads values again, from a step to before another. Without it nothing is forgotten.
    breaks: the first steps at which the series ceases to be finite, ascending, MOST_BREAKS of them at most.
    """

    def __init__(self, past: Past | None = None) -> None:
        self._past = past
        self._values = GrowingArray(KEPT if past is not None else None)
        self._levels = [self._values]  # those above have LOW, HIGH and MEAN of each whole block of the one below
        self._read: tuple[int, Singles] = 0, np.empty(0, np.float32)  # what was read again last, and its first step
        self._latest: tuple[int, float] | None = None  # the last step that was measured, and what it was
        self.breaks: list[int] = []
        self.voided = 0  # how often `truncate` took something away: what was derived from the series is void then

    def __len__(self) -> int:
        return self._values.length

    # --- growing ---

    def append(self, values: Singles) -> None:
        """Take up the values of the next n steps, (n,)."""
        self.room(len(values))[:] = values
        self.filled(len(values))

    def room(self, count: int) -> Singles:
        """Return room for the next steps, (count,): write values there, then say how many by `filled`."""
        return self._values.room(count)

    def filled(self, count: int) -> None:
        """Count the first `count` places of the room given last as values."""
        begin = len(self)
        self._values.length += count
        new = self._values.since(begin)
        self._note_breaks(begin, new)
        place = _last_measured(new)
        if place is not None:
            self._latest = begin + place, float(new[place])
        for number in range(64):
            below = self._levels[number]
            if below.length < BLOCK:
                break
            if number + 1 == len(self._levels):
                self._levels.append(GrowingArray(KEPT if number == 0 and self._past is not None else None, rows=3))
            _take_up(below, self._levels[number + 1])

    def _note_breaks(self, begin: int, new: Singles) -> None:
        if len(self.breaks) >= MOST_BREAKS:
            return
        broken = _broken(new)
        if broken.any():
            before = np.concatenate([_broken(self.values(begin - 1, begin)) if begin else [False], broken[:-1]])
            starts = np.flatnonzero(broken & ~before)[: MOST_BREAKS - len(self.breaks)]
            self.breaks += (starts + begin).tolist()

    def truncate(self, length: int) -> None:
        """Forget all from step `length` on: a rewind has voided it."""
        if length >= len(self):
            return
        self.voided += 1
        whole = length // BLOCK**2 * BLOCK**2  # from there on values and blocks of the first level are made anew
        again = self.values(whole, length)
        self._read = 0, np.empty(0, np.float32)
        self.breaks = [step for step in self.breaks if step < whole]
        for number, level in enumerate(self._levels):
            level.truncate(whole // BLOCK**number)
        if self._latest is not None and self._latest[0] >= whole:
            self._latest = self._find_latest()
        self.append(again)

    # --- looking ---

    def values(self, first: int = 0, last: int | None = None) -> Singles:
        """Return a copy of the values from `first` to before `last`, or of those at the ends of the series, as given.

        Any thread may ask, even while a rewind shortens the series.
        """
        first, last = max(0, first), len(self) if last is None else min(last, len(self))
        kept, values = self._values.held()
        if first >= kept:
            return values[first - kept : max(0, last - kept)].copy()
        again = self._values_again(first, min(last, kept))
        return np.concatenate([again, values[: last - kept]]) if last > kept else again.copy()

    def _values_again(self, first: int, last: int) -> Singles:
        """Those that are kept no more; what is read is kept for the next look."""
        start, values = self._read
        if first < start or last > start + len(values):
            assert self._past is not None
            start = first // PAGE * PAGE
            values = self._past(start, min(-(-last // PAGE) * PAGE, len(self)))
            if len(values) <= CLOSE + 2 * PAGE:
                self._read = start, values
        return values[first - start : max(0, last - start)]

    def is_near(self, first: int, last: int) -> bool:
        """Return whether all values from step `first` to before `last` are near enough to be read again quickly."""
        return first >= self._values.first or last - first <= CLOSE

    def lows(self, unit: int) -> Singles:
        """The least of each whole block of `unit` steps, BLOCK² or a higher power. NaN where it has no number."""
        level = self._level(unit)
        return _row(level.held()[1], LOW) if level is not None else np.empty(0, np.float32)

    def means(self, unit: int, first: int) -> Singles:
        """The mean of each whole point of `unit` steps, from point `first` on; `unit` as the method has said."""
        if unit == 1:
            return self.values(first)
        level = self._level(unit)
        return _row(level.since(first), MEAN).copy() if level is not None else np.empty(0, np.float32)

    def unit(self, total: int) -> int:
        """Steps of a point, of which a series of `total` steps has KEPT at most: 1, or those of a level's block."""
        number = 0
        while total > KEPT * BLOCK**number or (number == 1 and not self._has_all_blocks):
            number += 1
        return int(BLOCK**number)

    @property
    def _has_all_blocks(self) -> bool:
        """Return whether none of the first level was let go."""
        return len(self._levels) == 1 or self._levels[1].first == 0

    def _level(self, unit: int) -> GrowingArray | None:
        number = round(math.log(unit, BLOCK))
        return self._levels[number] if number < len(self._levels) else None

    def envelope(self, edges: Steps) -> tuple[Singles, Singles]:
        """The least and the greatest value over each [edges[i], edges[i+1]); NaN where none was measured.

        Exactly, where all of it is near. Else the edges are taken down to those of blocks, so that a value close to
        an edge may count for the neighbour; none is left out, and none counts twice.
        edges: (n + 1,), ascending; may reach beyond the series. Two arrays of shape (n,).
        """
        bounds = np.clip(np.asarray(edges, np.int64), 0, len(self))
        begin, end = int(bounds[0]), int(bounds[-1])
        if begin >= self._values.first:
            return self._extremes(bounds, 0)
        if end - begin <= CLOSE:
            return _bins(self.values(begin, end), bounds - begin)
        return self._extremes(bounds, 1 if begin // BLOCK >= self._levels[1].first else 2)  # so long, it has both

    def _extremes(self, bounds: Steps, number: int) -> tuple[Singles, Singles]:
        """From level `number` up; level 0 is the values."""
        levels, unit = self._levels[number:], BLOCK**number
        whole = levels[0].length * unit
        behind = self.values(whole, int(bounds[-1]))
        rest = np.maximum(bounds, whole) - whole
        low, high = _both(behind, behind, rest[:-1], rest[1:])
        blocks = np.minimum(bounds, whole) // unit
        blocks[-1] = -(-min(int(bounds[-1]), whole) // unit)
        first, last = blocks[:-1], blocks[1:]
        for above, level in enumerate(levels, 1):
            # Whole blocks are left to the next level; what lies before and behind them is looked up here.
            inner = -(-first // BLOCK), last // BLOCK
            head = last if above == len(levels) else np.minimum(last, inner[0] * BLOCK)
            tail = np.maximum(head, inner[1] * BLOCK)
            at, held = level.held()
            for begin, end in ((first, head), (tail, last)):
                least, most = _both(_row(held, LOW), _row(held, HIGH), begin - at, end - at)
                low, high = np.fmin(low, least), np.fmax(high, most)
            first, last = inner
        return low, high

    def usual(self, first: int, last: int, most: int) -> tuple[Steps, Singles, Singles]:
        """Return steps, and between what most values near each of them lie, from `first` to before `last`.

        It is the mean of the least and of the greatest values of blocks of BLOCK steps each: about the 6th and the
        94th percentile. Of a very long series the blocks are those of the next level, and the range is wider.
        Returns `most` steps at most, (n,) each.
        """
        number = 1 if self._has_all_blocks else 2
        if number >= len(self._levels):
            return np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
        unit, (at, held) = BLOCK**number, self._levels[number].held()
        begin, end = max(at, first // unit), min(at + held.shape[1], -(-last // unit))
        if end <= begin:
            return np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
        each = -(-(end - begin) // most)
        starts = np.arange(begin, end, each)
        counts = np.diff(np.append(starts, end))
        rows = held[LOW : HIGH + 1, begin - at : end - at]
        means = (np.add.reduceat(rows, starts - begin, axis=1) / counts).astype(np.float32)
        return ((starts + counts / 2) * unit).astype(np.int64), means[0], means[1]

    def latest(self) -> float | None:
        """The last value that is not NaN."""
        return None if self._latest is None else self._latest[1]

    def _find_latest(self) -> tuple[int, float] | None:
        end, width = len(self), 64
        while end > 0:
            begin = max(0, end - width)
            values = self.values(begin, end)
            place = _last_measured(values)
            if place is not None:
                return begin + place, float(values[place])
            end, width = begin, min(width * 8, CLOSE)
        return None


def _broken(values: Singles) -> NDArray[np.bool_]:
    broken: NDArray[np.bool_] = ~np.isfinite(values) & is_given(values)
    return broken


def _last_measured(values: Singles) -> int | None:
    """The place of the last one that is not NaN."""
    end, width = len(values), 64
    while end > 0:
        begin = max(0, end - width)
        measured = np.flatnonzero(~np.isnan(values[begin:end]))
        if len(measured):
            return begin + int(measured[-1])
        end, width = begin, width * 8
    return None


def _take_up(below: GrowingArray, above: GrowingArray) -> None:
    """Give a level the blocks that have become whole below it."""
    first, whole = above.length, below.length // BLOCK
    room = above.room(whole - first)
    for begin in range(first, whole, PIECE):
        end = min(begin + PIECE, whole)
        values = below.since(begin * BLOCK)[..., : (end - begin) * BLOCK]
        # (BLOCK, 1 or 3, n): a block lies along the first axis, over which reductions are fast.
        blocks = values.reshape(-1, end - begin, BLOCK).transpose(2, 0, 1).copy()
        if values.ndim == 1:
            blocks[np.isinf(blocks)] = np.nan
        into = room[:, begin - first : end - first]
        np.fmin.reduce(blocks[:, 0], axis=0, out=into[LOW])
        np.fmax.reduce(blocks[:, min(HIGH, blocks.shape[1] - 1)], axis=0, out=into[HIGH])
        _mean(blocks[:, -1], into[MEAN])
    above.length = whole


def _mean(blocks: Singles, into: Singles) -> None:
    """blocks: (BLOCK, n). into: (n,) the mean of the numbers of each; NaN where there is none."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.reduce(blocks, axis=0, out=into)
        measured = ~np.isnan(blocks) if np.isnan(into).any() else None
        if measured is None:
            into /= BLOCK
            return
        np.add.reduce(np.where(measured, blocks, np.float32(0)), axis=0, out=into)
        into /= np.add.reduce(measured.view(np.int8), axis=0, dtype=np.int8)


def _row(held: Singles, which: int) -> Singles:
    """(n,) of values, which have one row, or of blocks."""
    return held if held.ndim == 1 else held[which]


def _bins(values: Singles, bounds: Steps) -> tuple[Singles, Singles]:
    """The extremes of the finite ones of values[bounds[i]:bounds[i + 1]], however wide; NaN where there is none."""
    low, high = np.full((2, len(bounds) - 1), np.nan, np.float32)
    filled = bounds[1:] > bounds[:-1]
    if filled.any():
        finite = np.where(np.isinf(values), np.float32(np.nan), values)
        low[filled] = np.fmin.reduceat(finite, bounds[:-1][filled])
        high[filled] = np.fmax.reduceat(finite, bounds[:-1][filled])
    return low, high


def _both(lows: Singles, highs: Singles, first: Steps, last: Steps) -> tuple[Singles, Singles]:
    """(n,) each: the extremes of the finite ones of lows and highs [first[i]:last[i]]; NaN where there is none."""
    longest = int((last - first).max(initial=0))
    if longest <= 0 or not len(lows):
        return np.full(len(first), np.nan, np.float32), np.full(len(first), np.nan, np.float32)
    places = first + np.arange(longest)[:, None]  # (longest, n)
    outside = places >= last
    least = _held(lows, places, outside)
    most = least if highs is lows else _held(highs, places, outside)
    return np.fmin.reduce(least, axis=0), np.fmax.reduce(most, axis=0)


def _held(values: Singles, places: Steps, outside: NDArray[np.bool_]) -> Singles:
    """(longest, n) values at those places; NaN for those outside and for infinities."""
    found = values.take(places, mode="clip")
    found[outside | np.isinf(found)] = np.nan
    return found


def take(series: MinMaxPyramid, places: Steps) -> Singles:
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


def search(series: MinMaxPyramid, values: NDArray[np.float64]) -> Steps:
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


def _line(series: MinMaxPyramid) -> tuple[Steps, Singles]:
    """Steps and their values, ascending: the first of each block, which is its least, and the last of all."""
    starts, latest = series.lows(UNIT), series.latest()
    steps = np.append(np.arange(len(starts)) * UNIT, len(series) - 1)
    starts = np.append(starts, np.float32(np.nan if latest is None else latest))
    known = ~np.isnan(starts)
    return steps[known], starts[known]
