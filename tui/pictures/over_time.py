"""How the numbers of a layer were spread over a run, time × value as a heat map, and its weights as another."""

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from descent.common import numbers
from descent.common.arrays import Floats
from descent.common.i18n import _
from descent.run.histograms import SHARES
from engine.pictures import Picture
from tui.pictures import colours
from tui.pictures.canvas import RGB, Palette, PictureCanvas, Pixels
from tui.pictures.frame import frame

KIND = "over-time"  # of a picture made here of what a run has recorded: no worker draws it
MATRIX = "matrix"  # of one made of a picture of weights
TAIL = 1  # places of SHARES at each end that may lie outside of the axis: single numbers far away
OUTLYING = 0.02  # of the steps, whose ends may lie outside too
FULL = 0.98  # of the cells with numbers in them have less than what is drawn as full


def over_time(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the density of the values at each step.

    steps: (n,), ascending. values: (n, SHARES), quantiles; NaN where nothing was measured.
    """
    steps, values = picture.arrays["steps"], picture.arrays["values"].astype(float)
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        canvas.write(0, 0, _("Nothing measured."), "quiet")
        return
    ends = values[known][:, TAIL], values[known][:, -1 - TAIL]
    low, high = float(np.quantile(ends[0], OUTLYING)), float(np.quantile(ends[1], 1 - OUTLYING))
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    inside = frame(canvas, (float(steps[0]), float(max(steps[-1], steps[0] + 10))), (low, high), top=0)
    across, y = inside.centres(inside.width, 2 * inside.height)[0], np.linspace(high, low, 2 * inside.height + 1)
    nearest = np.searchsorted((steps[1:] + steps[:-1]) / 2, across)
    dense = np.stack([_density(values[at], y) if known[at] else np.zeros(len(y) - 1) for at in range(len(steps))])
    there = dense[dense > 0]
    amount = np.sqrt(np.clip(dense[nearest].T / max(1e-12, float(np.quantile(there, FULL))), 0, 1))
    heat(canvas, inside.left, inside.top, amount)


def _density(values: Floats, edges: Floats) -> Floats:
    """Return the share of the numbers between each two edges, which descend. values: their quantiles."""
    below = np.interp(edges, values, SHARES, left=0.0, right=1.0)
    share: Floats = -np.diff(below)
    return share


def heat(canvas: PictureCanvas, x: int, y: int, amount: NDArray[np.floating]) -> None:
    """Draw 0 to 1, (2h, w), from the ground over the colour of the curves to that of text."""
    if not canvas.palette.shades:
        canvas.shade(x, y, (amount[0::2] + amount[1::2]) / 2)
        return
    canvas.image(x, y, _warm(amount, canvas.palette))


def _warm(amount: NDArray[np.floating], palette: Palette) -> Pixels:
    stops = np.array([palette.ground, _rgb(palette, "train"), palette.text], float)
    return np.stack([np.interp(amount, (0, 0.6, 1), stops[:, i]) for i in range(3)], axis=-1).astype(np.uint8)


def _rgb(palette: Palette, name: str) -> RGB:
    colour = palette.style(name).color
    red, green, blue = colour.get_truecolor() if colour is not None else palette.text
    return red, green, blue


def matrix(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the weights of one layer, a row for each output, blue below 0 and red above.

    matrix: (rows, columns), NaN where there is none. largest: what ±1 stands for. shape: (2,), of all the weights.
    """
    weights, (rows, columns) = picture.arrays["matrix"].astype(float), map(int, picture.arrays["shape"])
    weights = weights[:, np.isfinite(weights).any(axis=0)][np.isfinite(weights).any(axis=1)]
    height = canvas.height - 1
    if not weights.size or height < 1:
        canvas.write(0, 0, _("This layer has no weights."), "quiet")
        return
    if canvas.palette.shades:
        drawn = _fitted(weights, 2 * height, canvas.width)
        middle = tuple(colours.mixed(np.array(canvas.palette.text), canvas.palette.ground, 0.10).tolist())
        canvas.image(0, 0, colours.diverging(drawn, middle))
    else:
        canvas.shade(0, 0, np.abs(_fitted(weights, height, canvas.width)))
    largest = numbers.number(float(picture.arrays["largest"]))
    size = _("{rows} outputs × {columns} inputs", rows=numbers.count(rows), columns=numbers.count(columns))
    after = canvas.write(0, height, f"± {largest}" if canvas.palette.shades else largest, "quiet")
    if after + 2 + cell_len(size) > canvas.width:
        size = f"{numbers.count(rows)} × {numbers.count(columns)}"
    canvas.right(canvas.width, height, size, "quiet")


def _fitted(values: Floats, rows: int, columns: int) -> Floats:
    """Return the values in so many rows and columns. Of several in one place the largest by magnitude is kept."""
    for axis, size in ((0, rows), (1, columns)):
        length = values.shape[axis]
        if size >= length:
            values = np.take(values, np.arange(size) * length // size, axis=axis)
            continue
        starts = np.arange(size) * length // size
        most, least = np.maximum.reduceat(values, starts, axis=axis), np.minimum.reduceat(values, starts, axis=axis)
        values = np.where(most >= -least, most, least)
    return values
