"""The learner's path on a loss of two parameters beside the right one, and their gradients as arrows."""

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Floats
from descent.common.i18n import _
from engine.pictures import Picture
from tui.pictures.canvas import RGB, PictureCanvas
from tui.pictures.frame import PictureFrame, frame
from tui.pictures.plane import FAINT, ends, landscape, point, polyline

_LONG = 0.2  # of the view: the longest arrow
_HEADS = "→↗↑↖←↙↓↘"  # of arrows, by eighths of a turn from the right
_YOURS: RGB = (255, 255, 255)
_RIGHT: RGB = (240, 171, 83)


def walk(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the loss as a map, the right path, the learner's over it, and arrows downhill where gradients are known.

    Arrays: x, y, loss as of a surface; right, yours: (n, 2); at, gradients, differences: (k, 2).
    """
    arrays, names = picture.arrays, picture.texts("names")
    inside = frame(canvas, ends(arrays["x"]), ends(arrays["y"]), (names[0], names[1]))
    colour, right = (_YOURS if canvas.palette.dark else canvas.palette.text), _RIGHT
    landscape(canvas, inside, arrays, names[1], _("━ yours  ┄ right  ○ start  ● yours ends  × right ends"), FAINT)
    path, yours = arrays["right"], arrays["yours"]
    canvas.braille(inside.left, inside.top, _dotted(polyline(inside, path[:, 0], path[:, 1])), "validation", right)
    canvas.braille(inside.left, inside.top, polyline(inside, yours[:, 0], yours[:, 1]), "strong", colour)
    for at, given, wanted in zip(arrays["at"], arrays["gradients"], arrays["differences"], strict=True):
        scale = _scale(inside, np.array([given, wanted]))
        if scale is not None:
            _arrow(canvas, inside, at, -scale * wanted, "validation", right)
            _arrow(canvas, inside, at, -scale * given, "strong", colour)
    point(canvas, inside, path[-1], "×", right, "validation")
    point(canvas, inside, path[0], "○", colour)
    if len(yours) > 1:
        point(canvas, inside, yours[-1], "●", colour)


def _dotted(dots: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out dots of a line, so that it differs from another without colours too."""
    rows, columns = np.indices(dots.shape)
    kept: NDArray[np.bool_] = dots & ((rows + columns) % 4 < 2)
    return kept


def _scale(inside: PictureFrame, gradients: Floats) -> float | None:
    """Return by what to multiply two gradients so that the longer is an arrow of a fixed share of the view."""
    longest = float((np.abs(gradients) / _wide(inside)).max())
    return _LONG / longest if np.isfinite(longest) and longest > 0 else None


def _wide(inside: PictureFrame) -> Floats:
    return np.array([inside.x_range[1] - inside.x_range[0], inside.y_range[1] - inside.y_range[0]])


def _arrow(canvas: PictureCanvas, inside: PictureFrame, at: Floats, step: Floats, style: str, colour: RGB) -> None:
    """Draw an arrow from `at` to `at + step`."""
    end, wide = at + step, _wide(inside)
    canvas.braille(
        inside.left, inside.top, polyline(inside, np.array([at[0], end[0]]), np.array([at[1], end[1]])), style, colour
    )
    # Cells are twice as high as wide; the head points where the drawn line does.
    turn = np.arctan2(step[1] / wide[1] * 2 * inside.height, step[0] / wide[0] * inside.width)
    point(canvas, inside, end, _HEADS[round(float(turn) / (np.pi / 4)) % 8], colour, style)
