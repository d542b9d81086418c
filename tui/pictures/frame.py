"""The frame of a picture that has axes: labels, ticks, and where a value lies between them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descent.common import numbers
from descent.common.arrays import Floats
from tui.pictures.canvas import PictureCanvas
from tui.plot import axes

TICKS_WIDTH = 24  # cells below which a picture has no room for labels
TICKS_HEIGHT = 7


@dataclass(frozen=True)
class PictureFrame:
    """The cells inside the axes, and the values at their outer edges."""

    left: int
    top: int
    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def columns(self, x: Floats, per_cell: int = 1) -> NDArray[np.int64]:
        """Cells (or dots, with `per_cell` of them) from the left edge; −1 for what lies outside or is no number."""
        low, high = self.x_range
        return _places((np.asarray(x, float) - low) / (high - low), self.width * per_cell)

    def rows(self, y: Floats, per_cell: int = 1) -> NDArray[np.int64]:
        """The same from the top edge."""
        low, high = self.y_range
        return _places((high - np.asarray(y, float)) / (high - low), self.height * per_cell)

    def centres(self, across: int, down: int) -> tuple[Floats, Floats]:
        """x of `across` columns of pixels from the left, y of `down` rows from the top."""
        (x_low, x_high), (y_low, y_high) = self.x_range, self.y_range
        x = x_low + (np.arange(across) + 0.5) / across * (x_high - x_low)
        y = y_high - (np.arange(down) + 0.5) / down * (y_high - y_low)
        return x, y


def _places(share: Floats, count: int) -> NDArray[np.int64]:
    inside = np.isfinite(share) & (share >= 0) & (share <= 1)
    return np.where(inside, np.clip(np.where(inside, share, 0) * count, 0, count - 1), -1).astype(np.int64)


def frame(
    canvas: PictureCanvas,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    names: tuple[str, str] = ("", ""),
    *,
    top: int = 1,
    log: bool = False,
) -> PictureFrame:
    """Draw axes that leave the `top` rows alone; the values at the outer edges are exactly those of the ranges.

    log: the ranges are powers of ten, and the labels are the numbers.
    """
    x_range, y_range = _wide(x_range), _wide(y_range)
    if canvas.width < TICKS_WIDTH or canvas.height - top < TICKS_HEIGHT:
        return PictureFrame(0, top, canvas.width, max(1, canvas.height - top), x_range, y_range)
    height = canvas.height - top - 2
    # Asked as an axis of more cells than there are rows: labels of one row each may stand closer.
    y_ticks = _ticks(y_range, max(14, 4 * height), log=log, apart=4)
    if len(y_ticks) < 2:  # one value says nothing of the scale
        y_ticks = [(value, numbers.number(10**value if log else value)) for value in y_range]
    left = max((len(label) for _, label in y_ticks), default=0) + 1
    inside = PictureFrame(left, top, canvas.width - left, height, x_range, y_range)
    for row in range(height):
        canvas.write(left - 1, top + row, "│", "quiet")
    for value, label in y_ticks:
        row = int(inside.rows(np.array([value]))[0])
        canvas.right(left - 1, top + row, label, "quiet")
        canvas.write(left - 1, top + row, "┤", "quiet")
    bottom = top + height
    canvas.write(left - 1, bottom, "└" + "─" * inside.width, "quiet")
    name_at = canvas.width - len(names[0])
    for value, label in _ticks(x_range, inside.width, log=log, apart=7):
        column = left + int(inside.columns(np.array([value]))[0])
        canvas.write(column, bottom, "┬", "quiet")
        if column + len(label) // 2 < name_at - 1:
            canvas.middle(column, bottom + 1, label, "quiet")
    canvas.write(name_at, bottom + 1, names[0], "quiet")
    return inside


def _ticks(ends: tuple[float, float], cells: int, *, log: bool, apart: int) -> list[tuple[float, str]]:
    """Return values with their labels. apart: cells of a label on a logarithmic axis."""
    if not log:
        return list(axes.horizontal(*ends, cells=cells, unit="").ticks)
    found = axes.logarithmic(10 ** ends[0], 10 ** ends[1], max(2, 2 * cells // apart)).ticks
    places = [(math.log10(value), label) for value, label in found]
    return [(place, label) for place, label in places if ends[0] <= place <= ends[1]]


def _wide(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if not (np.isfinite(low) and np.isfinite(high)):
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def resample(values: NDArray[np.floating], xs: Floats, ys: Floats, x: Floats, y: Floats) -> Floats:
    """Values (H, W, …) at ys × xs, both ascending and even, bilinearly at y × x: (len(y), len(x), …)."""
    (x0, xw), (y0, yw) = _between(xs, x), _between(ys, y)
    tail = (1,) * (values.ndim - 2)
    xw, yw = xw.reshape(1, -1, *tail), yw.reshape(-1, 1, *tail)
    x1, y1 = np.minimum(x0 + 1, len(xs) - 1), np.minimum(y0 + 1, len(ys) - 1)
    upper = values[y0][:, x0] * (1 - xw) + values[y0][:, x1] * xw
    lower = values[y1][:, x0] * (1 - xw) + values[y1][:, x1] * xw
    found: Floats = upper * (1 - yw) + lower * yw
    return found


def _between(places: Floats, wanted: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The index before each wanted place, and how far it is to the next."""
    step = (places[-1] - places[0]) / max(1, len(places) - 1)
    at = np.clip((wanted - places[0]) / step, 0, len(places) - 1)
    before = np.floor(at).astype(np.int64)
    return before, at - before
