"""The confusion matrix: counts in cells shaded by their share of the row, or pixels where there are many classes.

A sample of the chosen cell stands beside or below it, where there is room.
"""

import numpy as np
from rich.cells import cell_len

from descent.common import numbers
from descent.common.i18n import N_, _
from descent.common.text import clean
from engine.pictures import Picture
from tui.pictures import colours, examples
from tui.pictures.canvas import RGB, PictureCanvas, cut
from tui.pictures.examples import Example

WRONG: dict[bool, RGB] = {True: (255, 96, 96), False: (206, 32, 40)}  # by whether the theme is dark
LONGEST = 14  # cells of a class's name
SUMMARY = 7  # cells on the right: the recall of a class
GAP = 2  # cells between the matrix and a sample
LIST = 30  # cells of the most frequent mistakes
CHOSEN = "▸"
_SPLITS = {"train": N_("training"), "validation": N_("validation"), "test": N_("test")}


def confusion(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the matrix. Rows are the true classes, columns the predicted ones. Correct answers are on the diagonal."""
    counts = picture.arrays["counts"]
    names = [clean(name) for name in picture.texts("classes")]
    total, right = int(counts.sum()), int(np.trace(counts))
    looked, of = int(picture.arrays["looked_at"]), int(picture.arrays["of"])
    share, split = numbers.percent(right / total if total else None), samples_of(picture)
    if looked < of:
        title = _(
            "{share} of {some:,} of the {count:,} {split} samples correct",
            share=share,
            some=looked,
            count=of,
            split=split,
        )
    else:
        title = _("{share} of {count:,} {split} samples correct", share=share, count=of, split=split)
    if cell_len(title) > canvas.width:
        title = _("{share} of {count:,} correct", share=share, count=looked)
    canvas.write(0, 0, title, "strong")
    left = min(LONGEST, max(cell_len(name) for name in names), max(2, canvas.width // 4)) + 1
    need = max(2, len(f"{counts.max():,}") + 1)
    count = len(names)
    there = examples.examples_of(picture)
    one = there[min(canvas.first, len(there) - 1)] if there else None
    if there:
        canvas.seen = 1, len(there)
    if left + count * need <= canvas.width and count + 2 <= canvas.height:
        _cells(canvas, picture, names, left, need, one)
    else:
        _pixels(canvas, picture, names, one)


def samples_of(picture: Picture) -> str:
    """Return the split that a picture is of, as a word before "samples"."""
    split = clean(picture.text("split"))
    return _(_SPLITS.get(split, split))


def _cells(
    canvas: PictureCanvas, picture: Picture, names: list[str], left: int, need: int, one: Example | None
) -> None:
    counts, count = picture.arrays["counts"], len(names)
    width, height = canvas.width, canvas.height
    least = left + count * need + SUMMARY
    across = min(examples.LARGEST, width - least - GAP)
    is_beside = one is not None and across >= examples.LEAST[0]
    is_below = one is not None and not is_beside and height - 3 - count >= examples.LEAST[1]
    if not is_beside and not is_below:
        one = canvas.seen = None  # as on a board: there is nothing to choose
    width -= across + GAP if is_beside else 0
    height -= examples.LEAST[1] + 1 if is_below else 0
    room = width - left - (SUMMARY if least <= width else 0)
    wide = int(np.clip(room // count, need, max(need, 9)))
    high = int(np.clip((height - 2) // count, 1, 3))
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    canvas.write(0, 1, _("true") if left >= 5 else "", "quiet")
    for column, name in enumerate(names):
        short = cut(name, wide - 1)
        spare = (wide - max(need, cell_len(short) + 1)) // 2
        canvas.right(left + (column + 1) * wide - spare, 1, short, "quiet")
    has_recall = left + count * wide + SUMMARY <= width
    if has_recall:
        canvas.right(left + count * wide + SUMMARY, 1, _("recall"), "quiet")
    for row, name in enumerate(names):
        y, middle = 2 + row * high, 2 + row * high + (high - 1) // 2
        canvas.right(left - 1, middle, cut(name, left - 1), "quiet")
        for column in range(count):
            x, number = left + column * wide, int(counts[row, column])
            if number:
                canvas.fill(x, y, wide, high, _shade(canvas, row == column, float(shares[row, column])))
            style = ("strong" if row == column else "") if number else "quiet"
            text = f"{number:,}" if number else "·"
            is_chosen = one is not None and (row, column) == (one.true, one.predicted)
            end = x + wide - (wide - need) // 2
            canvas.right(end, middle, f"{CHOSEN}{text}" if is_chosen else text, "strong" if is_chosen else style)
        if has_recall and counts[row].sum():
            canvas.right(left + count * wide + SUMMARY, middle, numbers.percent(shares[row, row], 0), "quiet")
    bottom = 2 + count * high
    if left + count * wide + SUMMARY < canvas.width - 16 or bottom < canvas.height:
        canvas.write(0, bottom, _("rows: true, columns: predicted"), "quiet")
    if one is not None and is_beside:
        examples.draw(canvas, picture, one, canvas.width - across, 2, (across, canvas.height - 2))
    elif one is not None and is_below:
        examples.draw(canvas, picture, one, 0, bottom + 1, (canvas.width, canvas.height - bottom - 1))


def _shade(canvas: PictureCanvas, right: bool, share: float) -> RGB:
    dark = canvas.palette.dark
    colour = colours.of_class(0, dark=dark) if right else WRONG[dark]
    # The few that are wrong matter, so their shade grows faster.
    depth = 0.10 + (0.45 * share if right else 0.6 * share**0.5)
    red, green, blue = colours.mixed(np.array(colour), canvas.palette.ground, depth).tolist()
    return red, green, blue


def _pixels(canvas: PictureCanvas, picture: Picture, names: list[str], one: Example | None) -> None:
    """Draw half a cell for each class, or less; beside or below it the most frequent confusions."""
    counts, count = picture.arrays["counts"], len(names)
    beside = canvas.width >= count + LIST
    room = canvas.height - 2 - (0 if beside else 4)
    side = max(2, min(count, canvas.width, 2 * room) // 2 * 2)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    groups = np.arange(count) * side // count
    small = np.zeros((side, side))
    np.maximum.at(small, (groups[:, None], groups[None, :]), shares)
    if canvas.palette.shades:
        pixels = np.full((side, side, 3), canvas.palette.ground, dtype=np.uint8)
        for row, column in zip(*np.nonzero(small), strict=True):
            pixels[row, column] = _shade(canvas, bool(row == column), float(small[row, column]))
        canvas.image(0, 2, pixels)
    else:
        canvas.shade(0, 2, np.sqrt(np.maximum(small[::2], small[1::2])))
    canvas.write(0, 1, _("rows: true, columns: predicted"), "quiet")
    x, y = (side + 2, 2) if beside else (0, 2 + side // 2)
    rows = max(0, canvas.height - y)
    if one is not None and beside and rows > 2 * examples.LEAST[1]:
        rows = rows // 2
        place = x, y + rows + 1
        examples.draw(canvas, picture, one, *place, (canvas.width - x, canvas.height - place[1]))
    wrong = np.where(np.eye(count, dtype=bool), 0, counts)
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:rows]:
        row, column = divmod(int(flat), count)
        if not wrong[row, column]:
            break
        is_chosen = one is not None and (row, column) == (one.true, one.predicted)
        text = f"{int(wrong[row, column]):>4,}  {cut(names[row], LONGEST)} → {cut(names[column], LONGEST)}"
        canvas.write(x, y, text, "strong" if is_chosen else "")
        canvas.write(x, y, CHOSEN if is_chosen else "", "strong")
        y += 1
