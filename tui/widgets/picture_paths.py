"""The ways of several optimizers over one loss surface."""

import numpy as np
from rich.cells import cell_len

from engine.pictures import Picture
from engine.texts import clean
from tui.widgets import picture_colours as colours
from tui.widgets.picture_axes import Floats, Frame, frame
from tui.widgets.picture_canvas import RGB, Canvas
from tui.widgets.picture_plane import ends, landscape, point, polyline

FAINT = 0.35  # of the map's colours: seven more must be told apart on them


def paths(canvas: Canvas, picture: Picture) -> None:
    """The loss as a map; each optimizer's way in a colour of its own, with its letter where it is farthest from all
    others; the run's own in the text's colour, or bold, over them."""
    arrays, names = picture.arrays, picture.texts("names")
    labels = [
        f"{colours.letter(i)} {clean(name)} {rate:.3g}"
        for i, (name, rate) in enumerate(zip(picture.texts("optimizers"), arrays["rates"], strict=True))
    ]
    rows = _rows(labels, canvas.width)
    inside = frame(canvas, ends(arrays["x"]), ends(arrays["y"]), (names[0], names[1]), top=1 + len(rows))
    landscape(canvas, inside, arrays, names[1], "○ start  ● the run  × lowest", FAINT)
    for row, of_row in enumerate(rows):
        x = 0
        for i in of_row:
            x = canvas.text(x, 1 + row, labels[i], "strong", _colour(canvas, i)) + 2
    ways = arrays["ways"]
    for i, way in enumerate(ways):
        known = way[np.isfinite(way).all(axis=1)]
        canvas.braille(inside.left, inside.top, polyline(inside, known[:, 0], known[:, 1]), "", _colour(canvas, i))
    own, plain = arrays["path"], canvas.palette.text
    canvas.braille(inside.left, inside.top, polyline(inside, own[:, 0], own[:, 1]), "strong", plain)
    if len(arrays["minimum"]):
        point(canvas, inside, arrays["minimum"], "×", None, "trouble")
    point(canvas, inside, own[0], "○", plain)
    for i in range(len(ways)):
        place = _apart(inside, ways, i)
        if place is not None:
            point(canvas, inside, place, colours.letter(i), _colour(canvas, i))
    point(canvas, inside, arrays["now"], "●", plain)


def _colour(canvas: Canvas, index: int) -> RGB:
    return colours.of_class(index, dark=canvas.palette.dark)


def _rows(labels: list[str], width: int) -> list[list[int]]:
    """Which labels stand on which row."""
    rows: list[list[int]] = [[]]
    used = 0
    for i, label in enumerate(labels):
        if rows[-1] and used + cell_len(label) > width:
            rows.append([])
            used = 0
        rows[-1].append(i)
        used += cell_len(label) + 2
    return rows


def _apart(inside: Frame, ways: Floats, index: int) -> Floats | None:
    """Where on the map a way is farthest from the others; None where none of it is on the map."""
    sizes = np.array([inside.x_range[1] - inside.x_range[0], inside.y_range[1] - inside.y_range[0]])
    corner = np.array([inside.x_range[0], inside.y_range[0]])
    shares = (ways - corner) / sizes
    mine = shares[index]
    there = np.flatnonzero((np.isfinite(mine) & (mine > 0) & (mine < 1)).all(axis=1))
    if not len(there):
        return None
    others = np.delete(shares, index, axis=0).reshape(-1, 2)
    others = others[np.isfinite(others).all(axis=1)]
    if not len(others):
        return np.asarray(ways[index, there[-1]], float)
    distances = np.abs(mine[there, None] - others[None]).sum(axis=2).min(axis=1)
    return np.asarray(ways[index, there[int(distances.argmax())]], float)
