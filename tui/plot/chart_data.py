"""What a chart shows: lines, marks and ranges, sampled for the dots that there are."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One curve, as the least and the greatest value of each bin or at each point.

    xs: (n,) ascending; None for n bins that divide the chart's range evenly. low, high: (n,), NaN for a gap; what
    lies between two points is joined by a straight line. style: "train", "validation", "planned", "member",
    "run1" to "run8", "ghost" (the run before), "faint", "spread" (where most batches lie) or "band" (of members),
    which stay behind the others. marker: a sign for the points, where they are few. latest: the last value, for the
    legend; None: the last one drawn. dashed: with holes, to be told without colours.
    marked: where the marker stands, instead of at the points.
    """

    name: str
    xs: NDArray[np.float64] | None
    low: Values
    high: Values
    style: str
    marker: str = ""
    latest: float | None = None
    dashed: bool = False
    marked: tuple[float, ...] = ()


@dataclass(frozen=True)
class Mark:
    """A dashed vertical line with a short label: a command, an anomaly, the present."""

    x: float
    text: str
    style: str = "quiet"


class Best(NamedTuple):
    """The best evaluation: where it lies, and the style of its curve."""

    x: float
    value: float
    style: str = "validation"


@dataclass(frozen=True)
class ChartData:
    """x_range: what is shown. x_unit: "step", "epoch", "time" (seconds) or "share" (percent).

    goal: a value drawn as a dashed horizontal line. gaps: where values that are not finite begin. note: said in the
    border beside the settings. fits_log: whether a logarithmic axis can show all values; the chart stays linear and
    says so where none can. most: what no value can exceed, such as 100 %. end: the x of the last step there is,
    whatever is shown. exact: for an x, the x of the step there and each line's value at it, by name. best: marked by
    a star. constant: a value that never changes, which is said instead of drawn.
    """

    lines: tuple[Line, ...]
    marks: tuple[Mark, ...] = ()
    x_range: tuple[float, float] = (0.0, 1.0)
    x_unit: str = "step"
    goal: float | None = None
    gaps: tuple[float, ...] = ()
    note: str = ""
    fits_log: bool = True
    most: float = math.inf
    end: float = 0.0
    exact: Callable[[float], tuple[float, dict[str, float]]] | None = None
    best: Best | None = None
    constant: float | None = None

    @property
    def is_measured(self) -> bool:
        """Return whether any line has a point, be it one that is not finite."""
        return any(len(line.high) for line in self.lines)


NOTHING = ChartData(())
