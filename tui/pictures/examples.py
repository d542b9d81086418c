"""Samples of the cells of a confusion matrix: which there are, and one of them beside the matrix."""

from dataclasses import dataclass

from descent.common import numbers
from descent.common.i18n import _
from descent.common.text import clean
from engine.pictures import Picture
from tui.pictures.canvas import PictureCanvas, cut
from tui.pictures.pixels import coloured, resized
from tui.widgets.lines import wrapped

LARGEST = 32  # cells of an image across
LEAST = (18, 7)  # cells of a sample with its words


@dataclass(frozen=True)
class Example:
    """One sample of a cell. true, predicted: the cell. place: of the sample among those that the picture has.

    number, count: which of how many of its cell.
    """

    true: int
    predicted: int
    place: int
    number: int
    count: int


def examples_of(picture: Picture) -> list[Example]:
    """Return the samples cell by cell: the most frequent mistakes first, then the right answers."""
    if "index" not in picture.arrays:
        return []  # the board's, or of an earlier version
    counts = picture.arrays["counts"]
    cells: dict[tuple[int, int], list[int]] = {}
    for place, cell in enumerate(zip(*(picture.arrays[key].tolist() for key in ("true", "predicted")), strict=True)):
        cells.setdefault(cell, []).append(place)
    ordered = sorted(cells, key=lambda cell: (cell[0] == cell[1], -counts[cell], cell))
    return [
        Example(*cell, place, number, len(cells[cell]))
        for cell in ordered
        for number, place in enumerate(cells[cell], start=1)
    ]


def beside(picture: Picture, first: int, by: int) -> int:
    """Return the first sample of the cell before or after that of the sample `first`."""
    found = examples_of(picture)
    starts = [at for at, one in enumerate(found) if one.number == 1]
    here = sum(start <= first for start in starts) - 1
    return starts[(here + by) % len(starts)] if starts else 0


def again(before: Picture, now: Picture, first: int) -> int:
    """Return the first sample in a newer picture of the cell that was chosen, or else 0."""
    found = examples_of(before)
    if not found:
        return 0
    one = found[min(first, len(found) - 1)]
    cells = [(each.true, each.predicted) for each in examples_of(now)]
    return cells.index((one.true, one.predicted)) if (one.true, one.predicted) in cells else 0


def draw(canvas: PictureCanvas, picture: Picture, one: Example, x: int, y: int, size: tuple[int, int]) -> None:
    """Draw a sample in so many cells from x and y on: its classes, how sure the model is, and what it sees."""
    width, height = size
    names = [clean(name) for name in picture.texts("classes")]
    share = numbers.percent(float(picture.arrays["probability"][one.place]), 0)
    told = [
        (_("true {name}", name=names[one.true]), "strong"),
        (
            _("predicted {name} ({share})", name=names[one.predicted], share=share),
            "" if one.true == one.predicted else "trouble",
        ),
        (_of_how_many(one, int(picture.arrays["counts"][one.true, one.predicted])), "quiet"),
    ]
    for text, style in told:
        for line in wrapped(text, width)[:2]:
            canvas.write(x, y, cut(line, width), style)
            y, height = y + 1, height - 1
    if "images" in picture.arrays:
        image = picture.arrays["images"][one.place]
        rows, columns = (int(length) for length in image.shape[1:])
        factor = min(min(width, LARGEST) / columns, 2 * height / rows)
        factor = factor // 1 if factor >= 1 else factor
        down, across = round(rows * factor), round(columns * factor)
        if min(down, across) >= 4:
            canvas.image(x, y, resized(coloured(image), down, across))
        return
    columns_and_values = zip(picture.texts("columns"), picture.arrays["rows"][one.place], strict=True)
    for row, (column, value) in enumerate(list(columns_and_values)[: max(0, height)]):
        text = numbers.number(float(value))
        canvas.write(x, y + row, cut(clean(column), max(1, width - len(text) - 1)), "quiet")
        canvas.right(x + width, y + row, text)


def _of_how_many(one: Example, there: int) -> str:
    if one.count == there:
        return _("{place} of {count}", place=one.number, count=one.count)
    return _("{place} of the {some} most confident of {count:,}", place=one.number, some=one.count, count=there)
