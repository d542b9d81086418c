"""Pictures over two axes: decision boundary, fit, loss surface, and the paths of several optimizers on it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from descent.common import numbers
from descent.common.arrays import Floats
from descent.common.i18n import _
from descent.common.text import clean
from engine.pictures import Picture
from tui.pictures import colours
from tui.pictures.canvas import RGB, PictureCanvas
from tui.pictures.frame import PictureFrame, frame, resample

GREY: RGB = (150, 150, 150)  # of the run before
FAINT = 0.35  # of the map's colours: seven more must be told apart on them
CROWD = 9  # cells for each point, at least: what is behind them must be seen
LEVELS = 12  # of a heat map: bands read like a map's contours, and are few bytes to send
FULL = 0.78  # of a map's colours; the rest is the theme's ground


def paths(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the loss as a map, with a path for each optimizer and the run's own over them.

    Each path has a colour and a letter, which stands where the path is farthest from the others. The run's own is in
    the colour of text, or bold.
    """
    arrays, names = picture.arrays, symbols(picture)
    labels = [
        f"{colours.letter(i)} {clean(name)} {numbers.trimmed(rate)}"
        for i, (name, rate) in enumerate(zip(picture.texts("optimizers"), arrays["rates"], strict=True))
    ]
    rows = _rows(labels, canvas.width)
    inside = frame(canvas, ends(arrays["x"]), ends(arrays["y"]), (names[0], names[1]), top=1 + len(rows))
    landscape(canvas, inside, arrays, names[1], _("○ start  ● this run  × lowest"), FAINT)
    for row, of_row in enumerate(rows):
        x = 0
        for i in of_row:
            x = canvas.write(x, 1 + row, labels[i], "strong", _colour(canvas, i)) + 2
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


def _colour(canvas: PictureCanvas, index: int) -> RGB:
    return colours.of_class(index, dark=canvas.palette.dark)


def _rows(labels: list[str], width: int) -> list[list[int]]:
    """Distribute the labels over rows."""
    rows: list[list[int]] = [[]]
    used = 0
    for i, label in enumerate(labels):
        if rows[-1] and used + cell_len(label) > width:
            rows.append([])
            used = 0
        rows[-1].append(i)
        used += cell_len(label) + 2
    return rows


def _apart(inside: PictureFrame, ways: Floats, index: int) -> Floats | None:
    """Return where on the map a path is farthest from the others; None if no part of it is on the map."""
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


def boundary(canvas: PictureCanvas, picture: Picture, *, top: int = 1) -> None:
    """Draw the predicted class and its confidence as a colour, and the points by shape and colour.

    top: rows above the axes. The last of them is the legend.
    """
    arrays, palette = picture.arrays, canvas.palette
    classes, inputs = picture.texts("classes"), picture.texts("inputs")
    inside = frame(canvas, ends(arrays["x"]), ends(arrays["y"]), (inputs[0], inputs[1]), top=top)
    x, y = inside.centres(inside.width, 2 * inside.height)
    probability = resample(arrays["probability"], arrays["x"], arrays["y"], x, y)
    said = probability.argmax(axis=2)
    if palette.shades:
        palette_of = np.array([colours.of_class(i, dark=palette.dark) for i in range(len(classes))], float)
        chance = 1 / len(classes)
        sure = (probability.max(axis=2) - chance) / (1 - chance)
        sure = np.ceil(sure * LEVELS) / LEVELS
        share = (0.10 + 0.36 * sure)[..., None]
        canvas.image(inside.left, inside.top, colours.mixed(palette_of[said], palette.ground, share))
    else:
        textures = np.array(list(colours.TEXTURES))
        canvas.signs(inside.left, inside.top, textures[said[::2] % len(textures)])
    before = _borders_before(canvas, inside)
    if before is not None:
        canvas.braille(inside.left, inside.top, before, "quiet", GREY)
    labels = arrays["labels"]
    _legend(canvas, inputs[1], arrays["validation"], classes, top - 1)
    for i in _few(len(labels), inside.width * inside.height // CROWD, arrays["validation"]):
        sign, colour = _sign(canvas, int(labels[i]), bool(arrays["validation"][i]))
        point(canvas, inside, arrays["points"][i], sign, colour)


def heat(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the output of a model of two inputs as a map, and the points in the colours of their targets."""
    arrays, inputs = picture.arrays, picture.texts("inputs")
    targets, value = arrays["targets"][:, 0], arrays["value"]
    inside = frame(canvas, ends(arrays["x"]), ends(arrays["y"]), (inputs[0], inputs[1]))
    within = _finite_ends(np.concatenate([value.ravel(), targets]))
    _map(
        canvas,
        inside,
        resample(value, arrays["x"], arrays["y"], *inside.centres(inside.width, 2 * inside.height)),
        within,
    )
    _bar(
        canvas,
        inputs[1],
        numbers.number(within[0]),
        numbers.number(within[1]),
        _("● train  ○ validation, coloured by target"),
    )
    for i in _few(len(targets), inside.width * inside.height // CROWD, arrays["validation"]):
        share = (targets[i] - within[0]) / (within[1] - within[0])
        red, green, blue = colours.scale(np.array(share)).tolist()
        sign = "○" if arrays["validation"][i] else "●"
        point(canvas, inside, arrays["points"][i], sign, (red, green, blue))


def surface(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the loss as a map in logarithmic bands, with the path, its start and its end."""
    arrays, names = picture.arrays, symbols(picture)
    inside = frame(canvas, ends(arrays["x"]), ends(arrays["y"]), (names[0], names[1]))
    key = _("○ start  ● now  × lowest")
    if ghost_of(canvas, "path") is not None:
        key = f"{key}  {_('grey: before')}"
    if picture.text("path_source") == "checkpoints":
        key = f"{key}  {_('path: checkpoints')}"
    landscape(canvas, inside, arrays, names[1], key)
    path = arrays["path"]
    light: RGB = (255, 255, 255)
    before = ghost_of(canvas, "path")
    if before is not None and before.shape[1] == 2:
        canvas.braille(inside.left, inside.top, polyline(inside, before[:, 0], before[:, 1]), "quiet", GREY)
        point(canvas, inside, before[-1], "•", GREY, "quiet")
    canvas.braille(inside.left, inside.top, polyline(inside, path[:, 0], path[:, 1]), "strong", light)
    if len(arrays["minimum"]):
        point(canvas, inside, arrays["minimum"], "×", (255, 120, 120), "trouble")
    if len(path) > 1:
        point(canvas, inside, path[0], "○", light, "strong")
    point(canvas, inside, arrays["now"], "●", light, "strong")


# --- parts ---


def symbols(picture: Picture) -> list[str]:
    """Return the names of the parameters; those of a line are w and b, as in y = wx + b."""
    names = picture.texts("names")
    of_line = {"weight": "w", "bias": "b"}
    return [of_line[name] for name in names] if set(names) <= set(of_line) else names


def ghost_of(canvas: PictureCanvas, name: str) -> Floats | None:
    """Return an array of the picture of the run before, if there is one."""
    return canvas.ghost.arrays.get(name) if canvas.ghost is not None else None


def _borders_before(canvas: PictureCanvas, inside: PictureFrame) -> NDArray[np.bool_] | None:
    """Return dots where the class changed in the picture of the run before."""
    probability = ghost_of(canvas, "probability")
    if probability is None or canvas.ghost is None:
        return None
    arrays = canvas.ghost.arrays
    x, y = inside.centres(2 * inside.width, 4 * inside.height)
    chosen = resample(probability, arrays["x"], arrays["y"], x, y).argmax(axis=2)
    dots = np.zeros(chosen.shape, dtype=bool)
    dots[:, 1:] |= chosen[:, 1:] != chosen[:, :-1]
    dots[1:] |= chosen[1:] != chosen[:-1]
    return dots


def landscape(
    canvas: PictureCanvas,
    inside: PictureFrame,
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    said: str,
    full: float = FULL,
) -> None:
    """Draw `loss` as a map, and its scale on the top row with the text `said`. full: how strong its colours are."""
    x, y = inside.centres(inside.width, 2 * inside.height)
    loss = resample(arrays["loss"], arrays["x"], arrays["y"], x, y)
    low, high = _finite_ends(arrays["loss"])
    # Logarithmic above the lowest, or the valley floor would be one colour.
    scaled = np.log(loss - low + (high - low) * 1e-3)
    _map(canvas, inside, scaled, _finite_ends(scaled), full)
    _bar(canvas, name, numbers.number(low), numbers.number(high), said, full)


def point(
    canvas: PictureCanvas, inside: PictureFrame, place: Floats, sign: str, colour: RGB | None, style: str = "strong"
) -> None:
    column, row = int(inside.columns(place[:1])[0]), int(inside.rows(place[1:2])[0])
    if column >= 0 and row >= 0:
        canvas.mark(inside.left + column, inside.top + row, sign, style, colour)


def polyline(inside: PictureFrame, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Dots of a polyline; parts of it outside are left out."""
    dots = np.zeros((4 * inside.height, 2 * inside.width), dtype=bool)
    if len(x) < 2:
        return dots
    # Walk each part in steps of half a dot.
    reach = np.hypot(
        np.diff(x) / (inside.x_range[1] - inside.x_range[0]) * dots.shape[1],
        np.diff(y) / (inside.y_range[1] - inside.y_range[0]) * dots.shape[0],
    )
    counts = np.clip(np.nan_to_num(np.ceil(2 * reach), posinf=1), 1, 4 * sum(dots.shape)).astype(int)
    for i, count in enumerate(counts):
        along = np.linspace(0, 1, count + 1)
        columns = inside.columns(x[i] + along * (x[i + 1] - x[i]), 2)
        rows = inside.rows(y[i] + along * (y[i + 1] - y[i]), 4)
        there = (columns >= 0) & (rows >= 0)
        dots[rows[there], columns[there]] = True
    return dots


def _map(
    canvas: PictureCanvas, inside: PictureFrame, values: Floats, ends: tuple[float, float], full: float = FULL
) -> None:
    share = (values - ends[0]) / (ends[1] - ends[0])
    bands = np.clip(np.floor(np.nan_to_num(share, nan=1.0, posinf=1.0) * LEVELS), 0, LEVELS - 1) / (LEVELS - 1)
    if canvas.palette.shades:
        canvas.image(inside.left, inside.top, colours.mixed(colours.scale(bands), canvas.palette.ground, full))
    else:
        canvas.shade(inside.left, inside.top, bands[::2] * 0.8)


def _bar(canvas: PictureCanvas, name: str, low: str, high: str, said: str, full: float = FULL) -> None:
    """The scale of a map, on the top row."""
    x = canvas.write(0, 0, f"{name}  {low} ", "quiet")
    cells = LEVELS if canvas.width >= 70 else LEVELS // 2
    share = np.linspace(0, 1, cells)
    if canvas.palette.shades:
        shown = colours.mixed(colours.scale(share), canvas.palette.ground, full)
        canvas.image(x, 0, np.repeat(shown[None], 2, axis=0))
    else:
        canvas.shade(x, 0, share[None] * 0.8)
    canvas.write(x + cells, 0, f" {high}  {said}", "quiet")


def _legend(canvas: PictureCanvas, name: str, validation: Floats, classes: Sequence[str], row: int) -> None:
    x = canvas.write(0, row, f"{name}  ", "quiet")
    for i, class_name in enumerate(classes):
        if x > canvas.width - 6:
            break
        sign, colour = _sign(canvas, i, False)
        x = canvas.write(x, row, sign, "strong", colour)
        x = canvas.write(x, row, f" {class_name}  ")
    is_shaped = canvas.palette.unicode and canvas.palette.shades
    note = _("filled: train, hollow: validation") if is_shaped else _("capital: train")
    if validation.any() and x + cell_len(note) <= canvas.width:
        canvas.right(canvas.width, row, note, "quiet")


def _sign(canvas: PictureCanvas, label: int, validation: bool) -> tuple[str, RGB | None]:
    if canvas.palette.unicode and canvas.palette.shades:
        signs = colours.HOLLOW if validation else colours.MARKS
        return signs[label % len(signs)], colours.of_class(label, dark=canvas.palette.dark)
    sign = colours.letter(label)
    return (sign.lower() if validation else sign), colours.of_class(label, dark=canvas.palette.dark)


def _few(count: int, most: int, validation: NDArray[np.bool_]) -> list[int]:
    """Which points to draw: evenly from all, those of the validation split last, over the others."""
    most = max(1, most)
    chosen = np.arange(count) if count <= most else np.arange(most) * count // most
    return sorted(chosen.tolist(), key=lambda i: bool(validation[i]))


def ends(values: Floats) -> tuple[float, float]:
    return float(values[0]), float(values[-1])


def _finite_ends(values: Floats) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + max(abs(low), math.ulp(1.0)))
