"""What is derived from a growing series, and grows with it: its debiased moving average, and its gaps."""

import weakref
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.pyramid import Floats, Pyramid

BLOCK = 64  # values that one row of a matrix product smooths
PIECE = 64 * BLOCK  # values of one product: it is too small to be divided among threads, and stays in the cache
WHOLE = 1 - 1e-9  # a weight that is 1 to all digits of a float32
FINE = 1000  # points of a whole run between which the smoothing is counted: a longer run is smoothed over more steps


MOST = 4  # averages and gaps kept of one series: a person tries several smoothings


class Derived(Protocol):
    """Follows a series. `take` gets its new values; it is made anew once something of the series was voided."""

    def take(self, values: Floats) -> None: ...


class Average:
    """An exponential moving average, divided by the weight that it has so far, so that it does not begin at 0.

    y_t = Σ a^(t−i) x_i / Σ a^(t−i) over the values that were measured; NaN where none was. With `sparse` the
    series is NaN where nothing was measured, and its measurements count, not its steps.
    """

    def __init__(self, factor: float, *, sparse: bool) -> None:
        self.series = Pyramid()
        self._sparse = sparse
        self._factor = factor
        powers = factor ** np.arange(BLOCK + 1)
        distance = np.arange(BLOCK)[None, :] - np.arange(BLOCK)[:, None]
        kernel = np.where(distance >= 0, powers[np.maximum(distance, 0)], 0.0) * (1 - factor)
        self._kernel, self._carry = kernel.astype(np.float32), powers[1:].astype(np.float32)
        self._sum = self._weight = 0.0

    def take(self, values: Floats) -> None:
        room = self.series.room(len(values))
        for first in range(0, len(values), PIECE):
            piece = slice(first, first + PIECE)
            room[piece] = self._take_piece(values[piece])
        self.series.filled(len(values))

    def _take_piece(self, values: Floats) -> Floats:
        measured = np.isfinite(values)
        if measured.all():
            return self._smooth(values, None)
        smooth = np.full(len(values), np.nan, np.float32)
        if self._sparse:
            smooth[measured] = self._smooth(values[measured], None)
        else:
            smooth[measured] = self._smooth(np.where(measured, values, np.float32(0)), measured)[measured]
        return smooth

    def _smooth(self, values: Floats, measured: NDArray[np.bool_] | None) -> Floats:
        """measured: which of the values are some; None for all."""
        sums, self._sum = self._filter(values, self._sum)
        if measured is None:
            if self._weight > WHOLE:  # and stays so: nothing is left to be divided by
                return sums
            measured = np.ones(len(values), np.bool_)
        weights, self._weight = self._filter(measured.astype(np.float32), self._weight)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return sums / weights

    def _filter(self, values: Floats, state: float) -> tuple[Floats, float]:
        """y_t = a · y_(t−1) + (1 − a) · x_t, a block at a time; y, and its last value."""
        if not len(values):
            return values, state
        smooth = np.empty(len(values), np.float32)
        whole = len(values) // BLOCK * BLOCK
        blocks = smooth[:whole].reshape(-1, BLOCK)
        np.matmul(values[:whole].reshape(-1, BLOCK), self._kernel, out=blocks)
        states, decay = [], self._factor**BLOCK
        for last in blocks[:, -1].tolist():
            states.append(state)
            state = decay * state + last
        blocks += np.multiply.outer(np.array(states, np.float32), self._carry)
        rest = len(values) - whole
        if rest:
            own = values[whole:] @ self._kernel[:rest, :rest]
            smooth[whole:] = own + np.float32(state) * self._carry[:rest]
            # Not in float32: what one step adds to a long run's average would be lost.
            state = self._factor**rest * state + float(own[-1])
        return smooth, state


class Gaps:
    """The steps at which the series ceases to be finite."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._length = 0
        self._open = False

    def take(self, values: Floats) -> None:
        broken = ~np.isfinite(values)
        if broken.any():
            before = np.concatenate([[self._open], broken[:-1]])
            self.starts += (np.flatnonzero(broken & ~before) + self._length).tolist()
        self._open = bool(broken[-1])
        self._length += len(values)


class _Kept:
    def __init__(self, derived: Derived, voided: int) -> None:
        self.derived, self.voided, self.length = derived, voided, 0


_kept: weakref.WeakKeyDictionary[Pyramid, dict[object, _Kept]] = weakref.WeakKeyDictionary()


def average(series: Pyramid, smoothing: float, total: int, *, sparse: bool = False) -> Pyramid:
    """The series smoothed, as long as it is; itself for a smoothing of 0.

    smoothing: 0 to below 1, the share that is kept from a point to the next, where `total` steps are at most a
    thousand points: a run of a million steps looks as smooth as one of a thousand.
    """
    if smoothing <= 0:
        return series
    factor = smoothing ** (1.0 if sparse else 1 / max(1.0, total / FINE))
    key = ("average", round(factor, 12), sparse)
    found = _follow(series, key, lambda: Average(factor, sparse=sparse))
    assert isinstance(found, Average)
    return found.series


def gaps(series: Pyramid) -> list[int]:
    """The steps at which the series ceases to be finite, ascending."""
    found = _follow(series, "gaps", Gaps)
    assert isinstance(found, Gaps)
    return found.starts


def _follow(series: Pyramid, key: object, make: Callable[[], Derived]) -> Derived:
    """What is kept for the series under `key`, brought up to date."""
    of_series = _kept.setdefault(series, {})
    kept = of_series.get(key)
    if kept is None or kept.voided != series.voided:
        if kept is None and len(of_series) >= MOST:
            of_series.pop(next(iter(of_series)))
        kept = of_series[key] = _Kept(make(), series.voided)
    if kept.length < len(series):
        kept.derived.take(series.values(kept.length))
        kept.length = len(series)
    return kept.derived
