"""The graph of numbers that the learner's code makes: values go forward, gradients go back."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from descent.common.i18n import _
from descent.common.numbers import number
from descent.common.text import clean
from engine.pictures import Picture
from tui.pictures.canvas import PictureCanvas
from tui.pictures.frame import PictureFrame
from tui.pictures.plane import polyline

_WIDEST = 21  # cells of a box
_GAP = 6  # cells between two columns of boxes, at least
_FRAMED, _BARE = 4, 2  # rows of a box with a frame, and without one


def graph(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw a box for each number, from the inputs at the left to the result at the right, and lines between them.

    Arrays: names (n,); inputs, (e, 2), pairs of places: an input and what is made of it; values, gradients (n,), NaN
    for what is not known; right (n, 2), the value and the gradient; agree (n,).
    """
    arrays, names = picture.arrays, [clean(name) for name in picture.texts("names")]
    pairs = [(int(a), int(b)) for a, b in arrays["inputs"].reshape(-1, 2)]
    canvas.write(0, 0, _("first line: value →   ∂: gradient ←   ✗ yours, and what is right"), "quiet")
    columns = _columns(len(names), pairs)
    width = min(_WIDEST, (canvas.width + _GAP) // max(1, len(columns)) - _GAP)
    most, room = max(map(len, columns), default=1), canvas.height - 1
    rows = _FRAMED if room >= most * _FRAMED else _BARE
    corner = {}
    for at, nodes in enumerate(columns):
        x = at * (canvas.width - width) // max(1, len(columns) - 1)
        for place, node in enumerate(nodes):
            corner[node] = x, 1 + (2 * place + 1) * room // (2 * len(nodes)) - rows // 2
    for first, second in pairs:
        (x, y), (to_x, to_y) = corner[first], corner[second]
        _line(canvas, (x + width, y + rows // 2), (to_x, to_y + rows // 2))
    for node, (x, y) in corner.items():
        lines = _lines(arrays, node)
        wrong = not bool(arrays["agree"][node]) and bool(np.isfinite(arrays["gradients"][node]))
        _box(canvas, (x, y), width, rows, names[node], lines, "trouble" if wrong else "")


def _columns(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the numbers of each column. What is made of others stands behind them, an input just before its use."""
    depth = [0] * count
    for node in range(count):  # inputs come first
        depth[node] = max((depth[a] + 1 for a, b in pairs if b == node), default=0)
    for node in range(count):
        if not any(b == node for _a, b in pairs):
            depth[node] = min((depth[b] - 1 for a, b in pairs if a == node), default=0)
    return [[node for node in range(count) if depth[node] == at] for at in range(max(depth, default=-1) + 1)]


def _lines(arrays: Mapping[str, NDArray[Any]], node: int) -> tuple[str, str]:
    value, gradient = float(arrays["values"][node]), float(arrays["gradients"][node])
    right = arrays["right"][node].tolist()
    return _said(value, right[0]), f"∂ {_said(gradient, right[1])}"


def _said(given: float, right: float) -> str:
    if not np.isfinite(given):
        return "…"
    same = not np.isfinite(right) or abs(given - right) <= 1e-3 * max(1.0, abs(right))
    return _number(given) if same else f"{_number(given)} ✗ {_number(right)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else number(value)


def _line(canvas: PictureCanvas, start: tuple[int, int], end: tuple[int, int]) -> None:
    inside = PictureFrame(0, 0, canvas.width, canvas.height, (0.0, float(canvas.width)), (-float(canvas.height), 0.0))
    x, y = np.array([start[0], end[0]]), -np.array([start[1], end[1]])
    canvas.braille(0, 0, polyline(inside, x, y), "quiet")


def _box(
    canvas: PictureCanvas, at: tuple[int, int], width: int, rows: int, name: str, lines: tuple[str, str], style: str
) -> None:
    x, y = at
    if rows == _BARE:
        for row, text in enumerate((f"{name} {lines[0]}", lines[1])):
            canvas.write(x, y + row, _fitted(text, width), style or ("strong" if row == 0 else "train"))
        return
    title = _cut(f" {name} ", width - 4)
    canvas.write(x, y, f"╭─{title}{'─' * (width - 3 - cell_len(title))}╮", style or "quiet")
    for row, text in enumerate(lines, 1):
        canvas.write(x, y + row, "│", style or "quiet")
        canvas.write(x + 1, y + row, _fitted(f" {text}", width - 2), style or ("strong" if row == 1 else "train"))
        canvas.write(x + width - 1, y + row, "│", style or "quiet")
    canvas.write(x, y + rows - 1, f"╰{'─' * (width - 2)}╯", style or "quiet")


def _fitted(text: str, width: int) -> str:
    found = _cut(text, width)
    return found + " " * (width - cell_len(found))


def _cut(text: str, width: int) -> str:
    while cell_len(text) > max(0, width):
        text = text[:-1]
    return text
