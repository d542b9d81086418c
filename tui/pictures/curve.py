"""Pictures with one input: the fitted curve over its points, and the loss over a single parameter."""

import numpy as np
from rich.cells import cell_len

from descent.common.arrays import Floats
from descent.common.i18n import _, ngettext
from engine.pictures import Picture
from tui.pictures.canvas import PictureCanvas
from tui.pictures.frame import PictureFrame, frame
from tui.pictures.plane import GREY, ghost_of, heat, polyline, symbols
from tui.pictures.plane import surface as map_of_loss

MARGIN = 0.06
CROWD = 3  # cells for each point, at least


def fit(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the model's output as a line over the training points; with two inputs as a map."""
    arrays = picture.arrays
    if "value" in arrays:
        heat(canvas, picture)
        return
    x, y, targets = arrays["x"], arrays["y"], arrays["targets"]
    classes = picture.texts("classes")
    name = _("probability of {name}", name=classes[1]) if classes else "y"
    others = arrays.get("others")  # curves of members
    y = y if others is None else arrays["mean"][:, None]
    inside = frame(canvas, (float(x[0]), float(x[-1])), _around(targets, y), (picture.texts("inputs")[0], ""))
    after = canvas.write(0, 0, f"{name}  ", "quiet")
    if others is None:
        after = canvas.write(after, 0, f"━ {_('model')}  ", "strong")
    else:
        after = canvas.write(after, 0, f"━ {_('mean of the members')}  ", "strong")
        after = canvas.write(after, 0, f"━ {_('{count:,} of them', count=others.shape[1])}  ", "quiet")
        for member in range(others.shape[1]):
            canvas.braille(inside.left, inside.top, polyline(inside, x, others[:, member]), "quiet")
    before, at = ghost_of(canvas, "y"), ghost_of(canvas, "x")
    if before is not None and at is not None and before.ndim == 2:
        after = canvas.write(after, 0, f"━ {_('before')}  ", "quiet", GREY)
        for output in range(before.shape[1]):
            canvas.braille(inside.left, inside.top, polyline(inside, at, before[:, output]), "quiet", GREY)
    bends = arrays.get("kinks") if others is None else None  # of a network of ReLU layers
    if bends is not None:
        pieces = len(bends) + 1
        text = ngettext("◆ {count:,} straight piece", "◆ {count:,} straight pieces", pieces)
        after = canvas.write(after, 0, f"{text}  ", "strong")
    _name_points(canvas, after, validates=bool(arrays["validation"].any()))
    count = len(targets)
    most = max(1, inside.width * inside.height // CROWD)
    for i in range(count) if count <= most else (np.arange(most) * count // most).tolist():
        column, row = int(inside.columns(arrays["points"][i, :1])[0]), int(inside.rows(targets[i, :1])[0])
        if column >= 0 and row >= 0:
            validation = bool(arrays["validation"][i])
            sign, style = ("○", "validation") if validation else ("•", "train")
            canvas.mark(inside.left + column, inside.top + row, sign, style)
    for output in range(y.shape[1]):
        canvas.braille(inside.left, inside.top, polyline(inside, x, y[:, output]), "strong")
        for place in () if bends is None else bends.tolist():
            _on_curve(canvas, inside, x, y[:, output], place, "◆", "strong")


def _name_points(canvas: PictureCanvas, after: int, *, validates: bool) -> None:
    """Write what the points are behind the legend, each name only where there is room for all of it."""
    named = [(f"• {_('train')}", "train"), (f"○ {_('validation')}", "validation")]
    for text, style in named if validates else named[:1]:
        if after + cell_len(text) <= canvas.width:
            after = canvas.write(after, 0, f"{text}  ", style)


def surface(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the loss over one parameter with the run's path on it; over two as a map."""
    arrays = picture.arrays
    if "y" in arrays:
        map_of_loss(canvas, picture)
        return
    x, loss = arrays["x"], arrays["loss"]
    inside = frame(canvas, (float(x[0]), float(x[-1])), _around(loss, loss), (symbols(picture)[0], ""))
    after = canvas.write(0, 0, f"{_('loss')}  ", "quiet")
    after = canvas.write(after, 0, f"• {_('path')}  ", "train")
    canvas.write(after, 0, f"● {_('now')}", "strong")
    canvas.braille(inside.left, inside.top, polyline(inside, x, loss), "quiet")
    for place in arrays["path"][:, 0]:
        _on_curve(canvas, inside, x, loss, float(place), "•", "train")
    _on_curve(canvas, inside, x, loss, float(arrays["now"][0]), "●", "strong")


def _on_curve(
    canvas: PictureCanvas, inside: PictureFrame, x: Floats, y: Floats, place: float, sign: str, style: str
) -> None:
    height = np.interp([place], x, y, left=np.nan, right=np.nan)
    column, row = int(inside.columns(np.array([place]))[0]), int(inside.rows(height)[0])
    if column >= 0 and row >= 0:
        canvas.mark(inside.left + column, inside.top + row, sign, style)


def _around(targets: Floats, curve: Floats) -> tuple[float, float]:
    """Return the range of the targets and of the curve, without the part of the curve that is far from them."""
    seen = targets[np.isfinite(targets)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
    wide = max(high - low, 1e-9)
    line = curve[np.isfinite(curve)]
    if len(line):
        low, high = min(low, max(float(line.min()), low - wide)), max(high, min(float(line.max()), high + wide))
    return low - MARGIN * wide, high + MARGIN * wide
