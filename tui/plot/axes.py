"""Axes that stay calm: sensible ticks, and bounds that change at most once a second and only to such ticks."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from descent.common import numbers

CALM = 1.0  # seconds between two changes of an axis' bounds
ROOMY = 0.45  # an axis of which the data fill less than this share is drawn in
THREE_TICKS = 7  # rows from which on an axis has three ticks: of two, nobody reads a value between them
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # seconds


@dataclass(frozen=True)
class Axis:
    """low, high: the values at both ends. ticks: values with their labels, ascending. log: drawn by the power of
    ten."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(value) - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value


def nice_step(least: float, unit: str = "") -> float:
    """The smallest sensible distance between ticks that is at least `least`."""
    if unit == "time" and least > 0.5:
        days = 86400 * math.ceil(least / 86400)
        return float(next((step for step in _TIMES if step >= least), days))
    power = 10.0 ** math.floor(math.log10(least))
    step = next(nice for nice in _NICE if nice * power >= least * (1 - 1e-9)) * power
    return max(1.0, step) if unit == "step" else step


def vertical(low: float, high: float, rows: int) -> Axis:
    """A linear axis for `rows` cells: the ticks lie whole rows apart, so that they look even.

    low, high: of the data, finite. The first tick stands in the lowest row.
    """
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-30):
        room = abs(low) * 0.1 or 1.0
        low, high = low - (room if low else 0.0), high + room  # no share is below 0
    best: Axis | None = None
    fewest = 2 if rows >= THREE_TICKS else 1
    for apart in (4, 3, 5, 2) if rows > 4 else (max(1, rows - 1),):
        intervals = (rows - 1) / apart
        if intervals < fewest:
            continue
        step = nice_step((high - low) / intervals)
        for _ in range(4):
            first = _rounded(math.floor(low / step + 1e-9) * step, step)
            if first + intervals * step >= high - 1e-9 * step:
                break
            step = nice_step(step * 1.01)
        axis = _even(first, step, apart, rows)
        # Fewer ticks are calmer: more of them must show the data clearly larger.
        if best is None or axis.high - axis.low < 0.87 * (best.high - best.low):
            best = axis
    return best or Axis(low, high, ())


def limited(axis: Axis, most: float) -> Axis:
    """The axis without what no value can reach: an accuracy ends at 100 %."""
    if axis.log or axis.high <= most or axis.low >= most:
        return axis
    return Axis(axis.low, most, tuple(tick for tick in axis.ticks if tick[0] <= most))


def _even(first: float, step: float, apart: int, rows: int) -> Axis:
    values = [first + i * step for i in range((rows - 1) // apart + 1)]
    return Axis(first, first + (rows - 1) / apart * step, _labelled([_rounded(v, step) for v in values], step))


def _rounded(value: float, step: float) -> float:
    """Without what adding up floats leaves behind."""
    return round(value, max(0, 3 - math.floor(math.log10(step)))) + 0.0


def _labelled(values: list[float], step: float) -> tuple[tuple[float, str], ...]:
    """Labels with as many decimals as tell them apart; very large and very small ones as powers of ten."""
    largest = max(abs(value) for value in values)
    if largest >= 1e6 or largest < 1e-3:
        return tuple((value, "0" if value == 0 else _power_text(value)) for value in values)
    decimals = next((d for d in range(8) if abs(round(step, d) - step) < 1e-6 * step), 8)
    return tuple((value, f"{value:,.{decimals}f}") for value in values)


def _power_text(value: float) -> str:
    mantissa, _, exponent = numbers.scientific(value, 4).partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


def logarithmic(low: float, high: float, rows: int) -> Axis:
    """A logarithmic axis from and to 1, 2 or 5 times a power of ten. low, high: of the data, above 0."""
    if high < 3 * low:  # too little for powers of ten to say anything
        return _narrow(low, high, rows)
    floor, ceiling = _down_125(low), _up_125(high)
    powers = range(math.floor(math.log10(floor)), math.ceil(math.log10(ceiling)) + 1)
    span = math.log10(ceiling / floor)
    for series in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in powers for factor in series]
        values = [value for value in values if floor * 0.999 <= value <= ceiling * 1.001]
        places = [math.log10(value / floor) / span * (rows - 1) for value in values]
        if len(values) >= 2 and all(right - left >= 2 for left, right in pairwise(places)):  # rows
            break
    else:
        every = max(1, math.ceil(2 * span / max(1, rows - 1)))
        values = [value for value in values if round(math.log10(value)) % every == 0]
    if len(values) < 2:
        values = [floor, ceiling]
    return Axis(floor, ceiling, tuple((value, _short(value)) for value in values), log=True)


def _narrow(low: float, high: float, rows: int) -> Axis:
    step = nice_step(max(high - low, high * 1e-3) / max(1, (rows - 1) // 3))
    floor, ceiling = (
        _rounded(n * step, step) for n in (math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9))
    )
    floor = floor if floor > 0 else _down_125(low)
    ceiling = max(ceiling, floor + step)
    first = math.ceil(floor / step - 1e-9)
    values = [_rounded(i * step, step) for i in range(first, math.floor(ceiling / step + 1e-9) + 1)]
    return Axis(floor, ceiling, _labelled(values, step) if values else (), log=True)


def _short(value: float) -> str:
    """1, 0.1, 0.01, 1e-3 and 1,000, 1e4: of one width, nearly, whatever the axis spans."""
    if 0.0099 <= value < 9_999:
        power = math.floor(math.log10(value) + 1e-9)
        return f"{value:,.{max(0, -power)}f}"
    return _power_text(value)


def _down_125(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9))


def _up_125(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return min(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def horizontal(low: float, high: float, cells: int, unit: str) -> Axis:
    """The axis below a chart, exactly from `low` to `high`, with a label about every 14 cells, or 9 for three."""
    if not high > low:
        high = low + 1
    for apart in (14, 9) if cells >= 40 else (9,):
        step = nice_step((high - low) / max(1, cells // apart), unit)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first >= 2:
            break
    values = [_rounded(i * step, step) for i in range(first, last + 1)]
    if unit == "time":
        return Axis(low, high, tuple((value, _time_label(value, step)) for value in values))
    return Axis(low, high, _labelled_x(values, step))


def _labelled_x(values: list[float], step: float) -> tuple[tuple[float, str], ...]:
    if not values or max(abs(value) for value in values) < 1e6:
        return _labelled(values, step) if values else ()
    # Steps in millions: 0.5M 1.0M
    decimals = next((d for d in range(6) if abs(round(step / 1e6, d) - step / 1e6) < 1e-9), 6)
    return tuple((value, "0" if value == 0 else f"{value / 1e6:.{decimals}f}M") for value in values)


def _time_label(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.{max(0, -math.floor(math.log10(step)))}f}"
    return numbers.duration(seconds)


def reach(value: float, most: float | None = None) -> float:
    """The end of an axis that begins at 0 and grows with its data: a sensible number, `most` at most."""
    value = max(value, 1e-9)
    power = 10.0 ** math.floor(math.log10(value))
    factors = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    end = min(factor * power for factor in factors if factor * power >= value * (1 - 1e-9))
    return end if most is None or most < value else min(end, most)


class Stable:
    """Holds an axis, so that its bounds change at most once in `CALM` seconds and only when they must."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = -math.inf
        self.held: Axis | None = None

    def forget(self) -> None:
        """The person has asked for something else: the next axis counts at once."""
        self.held, self._since = None, -math.inf

    def settle(self, wanted: Axis, low: float, high: float, *, tight: bool = False) -> Axis:
        """The axis to draw with. wanted: the one that would suit the data, which reach from `low` to `high`.

        tight: follow what is wanted even where the data would still look well on the one held.
        """
        now = self._clock()
        if self.held is None or ((tight or self._must_go(wanted, low, high)) and now - self._since >= CALM):
            self.held, self._since = wanted, now
        return self.held

    def _must_go(self, wanted: Axis, low: float, high: float) -> bool:
        held = self.held
        if held is None or held.log != wanted.log:
            return True
        if (wanted.low, wanted.high) == (held.low, held.high):
            return False
        if low < held.low or high > held.high:
            return True
        return held.place(wanted.high) - held.place(wanted.low) < ROOMY
