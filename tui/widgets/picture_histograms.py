"""Histograms of each layer: activations, weights, gradients."""

import numpy as np
from rich.cells import cell_len, set_cell_size

from engine.pictures import Picture
from engine.texts import clean
from tui import numbers
from tui.widgets.picture_axes import Floats
from tui.widgets.picture_canvas import Canvas

EIGHTHS = " ▁▂▃▄▅▆▇█"
ASCII_EIGHTHS = " _.-=+*#@"
PANEL = 4  # rows of a layer, at least, where each has bars of several rows
TALLEST = 14
WIDE = 100  # cells from which on panels stand side by side
_SAYS = {"activations": "outputs of each layer", "weights": "weights of each layer",
         "gradients": "gradients of each layer"}  # fmt: skip


def histograms(canvas: Canvas, picture: Picture) -> None:
    """Panels with axes where there is room for all layers, else a line of bars for each."""
    layers = len(picture.texts("layers"))
    across = 2 if canvas.width >= WIDE and layers > 1 else 1
    down = -(-layers // across)
    zeros = ", zeros left out" if picture.arrays["zeros"].any() else ""
    says = _SAYS[picture.kind] if layers > 1 else picture.kind
    canvas.text(0, 0, f"{says}{zeros}", "strong")
    height = min(TALLEST, (canvas.height - 1) // down)
    if height < PANEL:
        _lines(canvas, picture)
        return
    gap = 3
    width = (canvas.width - gap * (across - 1)) // across
    for i in range(layers):
        _panel(canvas, picture, i, i % across * (width + gap), 1 + i // across * height, width, height)


def _panel(canvas: Canvas, picture: Picture, i: int, x: int, y: int, width: int, height: int) -> None:
    """The name, bars of height − 3 rows, a line of three values, and an empty row."""
    arrays = picture.arrays
    name, kind = (clean(picture.texts(key)[i]) for key in ("layers", "kinds"))
    facts = _facts(picture, i)
    after = canvas.text(x, y, _cut(name, width), "strong")
    if after + cell_len(kind) + 3 + cell_len(facts) <= x + width:
        canvas.text(after + 1, y, kind, "quiet")
    if after + 1 + cell_len(facts) <= x + width:
        canvas.right(x + width, y, facts, "quiet")
    rows = max(1, height - 3)
    _bars(canvas, arrays["counts"][i], x, y + 1, width, rows)
    low, high = float(arrays["edges"][i][0]), float(arrays["edges"][i][-1])
    bottom = y + 1 + rows
    canvas.text(x, bottom, numbers.number(low), "quiet")
    canvas.right(x + width, bottom, numbers.number(high), "quiet")
    if low < 0 < high:
        at = x + int(-low / (high - low) * width)
        if x + len(numbers.number(low)) < at < x + width - len(numbers.number(high)) - 1:
            canvas.text(at, bottom, "0", "quiet")


def _lines(canvas: Canvas, picture: Picture) -> None:
    """One row a layer: name, bars between the least and the largest value."""
    arrays = picture.arrays
    names = [clean(name) for name in picture.texts("layers")]
    shown = min(len(names), canvas.height - 1)
    left = min(max(cell_len(name) for name in names), canvas.width // 3) + 1
    ends = [[numbers.number(float(edges[j])) for edges in arrays["edges"]] for j in (0, -1)]
    lows, highs = (numbers.align(texts) for texts in ends)
    low_width = len(lows[0]) + 1
    width = canvas.width - left - low_width - len(highs[0]) - 1
    for i in range(shown):
        if i == shown - 1 and shown < len(names):
            canvas.text(0, 1 + i, f"and {len(names) - i} more layers: a taller screen shows them", "quiet")
            return
        canvas.text(0, 1 + i, _cut(names[i], left - 1))
        canvas.text(left, 1 + i, lows[i], "quiet")
        if width > 3:
            _bars(canvas, arrays["counts"][i], left + low_width, 1 + i, width, 1)
            canvas.text(left + low_width + width + 1, 1 + i, highs[i], "quiet")


def _facts(picture: Picture, i: int) -> str:
    arrays = picture.arrays
    words = [f"mean {numbers.number(float(arrays['mean'][i]))}", f"std {numbers.number(float(arrays['std'][i]))}"]
    if arrays["zeros"][i] > 0:
        words.append(f"zero {numbers.percent(float(arrays['zeros'][i]), 0)}")
    if arrays["non_finite"][i]:
        words.append(f"{int(arrays['non_finite'][i]):,} not finite!")
    return "  ".join(words)


def _bars(canvas: Canvas, counts: Floats, x: int, y: int, width: int, rows: int) -> None:
    """The share of the numbers that falls on each column, by eighths of a row; the highest fills all rows."""
    running = np.concatenate([[0], np.cumsum(counts)])
    mass = np.diff(np.interp(np.linspace(0, len(counts), width + 1), np.arange(len(counts) + 1), running))
    top = mass.max()
    if not top > 0:
        return
    eighths = np.ceil(mass / top * rows * 8 - 1e-9).astype(int)
    signs = EIGHTHS if canvas.palette.unicode else ASCII_EIGHTHS
    for row in range(rows):
        filled = np.clip(eighths - 8 * (rows - 1 - row), 0, 8)
        canvas.signs(x, y + row, np.array([[signs[level] for level in filled]]), "train")


def _cut(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)).rstrip() + "…"
