"""The debiased moving average of a growing series, which grows with it."""

import math
import weakref
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Singles
from descent.run.series import MinMaxPyramid

BLOCK = 64  # values that one row of a matrix product smooths
PIECE = 64 * BLOCK  # values of one product: it is too small to be divided among threads, and stays in the cache
WHOLE = 1 - 1e-9  # a weight that is 1 to all digits of a float32
FINE = 1000  # points of a whole run between which the smoothing is counted: a longer run is smoothed over more steps
RECENT = 4096  # points among which those are counted that were measured
MOST = 4  # averages kept of one series: a person tries several smoothings


class Average:
    """An exponential moving average, divided by the weight that it has so far, so that it does not begin at 0.

    y_t = Σ a^(t−i) x_i / Σ a^(t−i) over the values that were measured; NaN where none was. With `sparse` the
    series is NaN where nothing was measured, and its measurements count, not its steps. With `log` the average is
    that of the logarithms: a norm of 3 among many of 0.01 does not hide them on a logarithmic axis.
    """

    def __init__(self, factor: float, *, sparse: bool, log: bool = False) -> None:
        self.series = MinMaxPyramid()
        self._sparse, self._log = sparse, log
        self._factor = factor
        powers = factor ** np.arange(BLOCK + 1)
        distance = np.arange(BLOCK)[None, :] - np.arange(BLOCK)[:, None]
        kernel = np.where(distance >= 0, powers[np.maximum(distance, 0)], 0.0) * (1 - factor)
        self._kernel, self._carry = kernel.astype(np.float32), powers[1:].astype(np.float32)
        self._sum = self._weight = 0.0

    def take(self, values: Singles) -> None:
        """values: (n,), the next n."""
        room = self.series.room(len(values))
        for first in range(0, len(values), PIECE):
            piece = slice(first, first + PIECE)
            smooth = self._take_piece(self._scaled(values[piece]))
            room[piece] = np.exp(smooth) if self._log else smooth
        self.series.filled(len(values))

    def after(self, values: Singles, unit: int) -> float:
        """What the average would be after part of a value, which `unit` measurements make: those in `values`."""
        scaled = self._scaled(values)
        finite = scaled[np.isfinite(scaled)]
        kept = self._factor ** (len(values) / unit)
        mean = float(np.mean(finite, dtype=np.float64)) if len(finite) else 0.0
        new = (1 - kept) * (len(finite) > 0)
        weight = kept * self._weight + new
        found = (kept * self._sum + new * mean) / weight if weight > 0 else math.nan
        return math.exp(found) if self._log else found

    def _scaled(self, values: Singles) -> Singles:
        if not self._log:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(values)  # 0 has no place on a logarithmic axis: its -inf counts as not measured

    def _take_piece(self, values: Singles) -> Singles:
        measured = np.isfinite(values)
        if measured.all():
            return self._smooth(values, None)
        smooth = np.full(len(values), np.nan, np.float32)
        if self._sparse:
            smooth[measured] = self._smooth(values[measured], None)
        else:
            smooth[measured] = self._smooth(np.where(measured, values, np.float32(0)), measured)[measured]
        return smooth

    def _smooth(self, values: Singles, measured: NDArray[np.bool_] | None) -> Singles:
        """measured: which of the values are some; None for all."""
        sums, self._sum = self._filter(values, self._sum)
        if measured is None:
            if self._weight > WHOLE:  # and stays so: nothing is left to be divided by
                return sums
            measured = np.ones(len(values), np.bool_)
        weights, self._weight = self._filter(measured.astype(np.float32), self._weight)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return sums / weights

    def _filter(self, values: Singles, state: float) -> tuple[Singles, float]:
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


@dataclass(frozen=True)
class Smooth:
    """series: a number for each whole `unit` steps, as of their last one. latest: as of the last step of all."""

    series: MinMaxPyramid
    unit: int
    latest: float | None


class _Kept:
    def __init__(self, average: Average, voided: int) -> None:
        self.average, self.voided, self.length = average, voided, 0


_kept: weakref.WeakKeyDictionary[MinMaxPyramid, dict[object, _Kept]] = weakref.WeakKeyDictionary()


def average(
    series: MinMaxPyramid, smoothing: float, total: int, *, sparse: bool = False, log: bool = False
) -> Smooth:
    """The series smoothed; itself for a smoothing of 0.

    smoothing: 0 to below 1, the share that is kept from a point to the next, where `total` steps are at most a
    thousand points: a run of a million steps looks as smooth as one of a thousand. A long run's points are smoothed
    as the means of blocks, each a thousandth of it or less: nobody could see more. With `sparse`, it is the points
    that were measured that count, and of a short run each of them. With `log` the logarithms are averaged.
    """
    if smoothing <= 0:
        return Smooth(series, 1, series.latest())
    total = max(total, len(series))
    unit = series.unit(total)
    if sparse:
        share = 1.0 if unit == 1 else min(1.0, unit * FINE / total / _measured(series, unit))
    else:
        share = min(1.0, unit * FINE / total)
    factor = smoothing**share
    kept = _follow(series, factor, unit, sparse=sparse, log=log)
    rest = series.values(kept.length * unit)  # none where a step is a point
    latest = kept.average.after(rest, unit) if len(rest) else kept.average.series.latest()
    return Smooth(kept.average.series, unit, latest)


def measured_points(series: MinMaxPyramid) -> int:
    """Return about how many numbers a series has that is NaN where nothing was measured."""
    unit = series.unit(len(series))
    return round(_share(series, unit) * (len(series) // unit))


def _share(series: MinMaxPyramid, unit: int) -> float:
    """The share of the last points that have a number."""
    points = series.means(unit, max(0, len(series) // unit - RECENT))
    return float(np.isfinite(points).mean()) if len(points) else 1.0


def _measured(series: MinMaxPyramid, unit: int) -> float:
    """The share of the last points that have a number, as a power of two: it is not to change all the time."""
    share = _share(series, unit)
    return float(2.0 ** round(math.log2(share))) if share > 0 else 1.0


def _follow(series: MinMaxPyramid, factor: float, unit: int, *, sparse: bool, log: bool) -> _Kept:
    """The average that is kept of the series, brought up to date; a new one once something of it was voided."""
    of_series, key = _kept.setdefault(series, {}), (round(factor, 12), unit, sparse, log)
    kept = of_series.get(key)
    if kept is None or kept.voided != series.voided:
        if kept is None and len(of_series) >= MOST:
            of_series.pop(next(iter(of_series)))
        kept = of_series[key] = _Kept(Average(factor, sparse=sparse, log=log), series.voided)
    points = series.means(unit, kept.length)
    if len(points):
        kept.average.take(points)
        kept.length += len(points)
    return kept
