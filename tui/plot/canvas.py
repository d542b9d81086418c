"""Cells of a chart or picture before they reach the screen: characters, styles, a line's extremes by column."""

from dataclasses import astuple, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from descent.common import braille
from descent.common.arrays import Floats
from descent.common.glyphs import ascii_cells

Cells = NDArray[np.uint32]

# The styles of cells; a cell holds its index. Lines further back come first.
RUNS = tuple(f"run{number}" for number in range(8, 0, -1))  # several over one another: the first in front
LINES = ("band", "spread", "faint", "ghost", "planned", "train", "validation", "member", *RUNS)
STYLES = ("", *LINES, "quiet", "trouble", "cursor", "goal", "strong")
RANK = {name: rank for rank, name in enumerate(STYLES)}
SPACE = ord(" ")
TINTED = " tinted"


@dataclass(frozen=True)
class Signs:
    """The characters of the frame."""

    vertical: str = "│"
    tick_left: str = "┤"
    corner: str = "└"
    horizontal: str = "─"
    tick_below: str = "┬"
    mark: str = "┆"
    goal: str = "╌"
    gap: str = "✗"
    cursor: str = "│"
    best: str = "★"


UNICODE = Signs()
ASCII = Signs(*map(ascii_cells, astuple(UNICODE)))


@dataclass(frozen=True)
class Frame:
    """Where things lie in a chart of `width` × `height` cells: the labels' `gutter` on the left, `rows` of dots,
    below them `below` rows of axis."""

    width: int
    height: int
    gutter: int
    below: int

    @property
    def columns(self) -> int:
        return max(1, self.width - self.gutter)

    @property
    def rows(self) -> int:
        return max(1, self.height - self.below)

    @property
    def dots(self) -> int:
        """Dots across."""
        return self.columns * braille.ACROSS


def frame(width: int, height: int, label_width: int) -> Frame:
    """The frame for y labels of that width; a small chart does without labels, the smallest without a frame."""
    below = 2 if height >= 8 else 1 if height >= 4 else 0
    gutter = label_width + 1 if width >= 20 and height >= 3 else 0
    return Frame(width, height, min(gutter, width // 2), below if width >= 16 else 0)


class Canvas:
    """Cells to draw on: `codes` (characters as code points; 0 behind a wide one) and `styles` (of STYLES)."""

    def __init__(self, width: int, height: int) -> None:
        self.codes: Cells = np.full((height, width), SPACE, np.uint32)
        self.styles: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        self.tinted: NDArray[np.bool_] = np.zeros((height, width), np.bool_)  # cells with a coloured ground

    def put(self, row: int, column: int, text: str, style: str) -> None:
        """Write text; what does not fit into the row is cut off."""
        width = self.codes.shape[1]
        if column >= 0 and ((text.isascii() and text.isprintable()) or len(set(text)) == 1 == cell_len(text[:1])):
            end = min(width, column + len(text))  # a cell for each sign, as most texts have it
            if end > column:
                self.codes[row, column:end] = np.frombuffer(text.encode("utf-32-le"), np.uint32)[: end - column]
                self.styles[row, column:end] = RANK[style]
            return
        for sign in text:
            size = cell_len(sign)
            if size == 0 or column < 0:
                continue
            if column + size > width:
                return
            self.codes[row, column] = ord(sign)
            self.codes[row, column + 1 : column + size] = 0
            self.styles[row, column : column + size] = RANK[style]
            column += size

    @property
    def width(self) -> int:
        return int(self.codes.shape[1])

    @property
    def height(self) -> int:
        return int(self.codes.shape[0])

    def pieces(self, row: int) -> list[tuple[str, str]]:
        """The row's text in stretches of one style each; TINTED at its end says that the ground is coloured.

        A blank takes the style before it: it looks the same, and each stretch costs a terminal some 40 bytes.
        """
        codes = self.codes[row]
        styles = self.styles[row][np.maximum.accumulate(np.where(codes != SPACE, np.arange(len(codes)), 0))]
        looks = styles.astype(np.int64) * 2 + self.tinted[row]
        starts = np.concatenate([[0], np.flatnonzero(np.diff(looks)) + 1, [len(looks)]])
        return [
            (text_of(codes[first:last]), STYLES[styles[first]] + (TINTED if self.tinted[row, first] else ""))
            for first, last in pairwise(starts.tolist())
        ]

    def text(self, row: int) -> str:
        """The row without its styles."""
        return text_of(self.codes[row])

    def changed(self, before: "Canvas") -> list[tuple[int, int, int]] | None:
        """(row, first column, last column) of the rows that differ; None where the sizes do."""
        if before.codes.shape != self.codes.shape:
            return None
        differs = (before.codes != self.codes) | (before.styles != self.styles) | (before.tinted != self.tinted)
        # A wide character is repainted as a whole.
        differs[:, :-1] |= differs[:, 1:] & (self.codes[:, 1:] == 0)
        found = []
        for row in np.flatnonzero(differs.any(axis=1)).tolist():
            columns = np.flatnonzero(differs[row])
            found.append((row, int(columns[0]), int(columns[-1])))
        return found


def saying(text: str, width: int, height: int, style: str = "quiet") -> Canvas:
    """Nothing but a text in the middle, where there is room for it."""
    canvas = Canvas(width, height)
    if cell_len(text) <= width:
        canvas.put((height - 1) // 2, (width - cell_len(text)) // 2, text, style)
    return canvas


def text_of(codes: Cells) -> str:
    """Code points as text."""
    found: str = codes[codes != 0].tobytes().decode("utf-32-le")
    return found


def by_column(
    column: NDArray[np.int64], top: Floats, bottom: Floats, count: int, *, area: bool = False
) -> tuple[Floats, Floats]:
    """The first and the last row of dots in each of `count` columns of dots, (count,) each; NaN where there is none.

    column, top, bottom: (n,) of each point, columns ascending. Points of one column become their extremes; between
    columns lie straight lines, but for where a NaN breaks them: one from middle to middle, or with `area` one from
    top to top and one from bottom to bottom.
    """
    missing = np.isnan(top) | np.isnan(bottom)
    broken = np.cumsum(missing)[~missing]  # points with a gap between them differ here
    column, top, bottom = column[~missing], top[~missing], bottom[~missing]
    nothing = np.full(count, np.nan)
    if not len(column):
        return nothing, nothing
    first = np.concatenate([[0], np.flatnonzero(np.diff(column)) + 1])
    last = np.concatenate([first[1:], [len(column)]]) - 1
    column, top, bottom = column[first], np.minimum.reduceat(top, first), np.maximum.reduceat(bottom, first)
    joined = np.append(broken[last][:-1] == broken[first][1:], False)

    places = np.arange(count)
    right = np.searchsorted(column, places)
    at_point = (right < len(column)) & (column[np.minimum(right, len(column) - 1)] == places)
    between = ~at_point & (right > 0) & joined[right - 1]
    chosen = np.minimum(right, len(column) - 1)
    middle = (top + bottom) / 2
    edges = []
    for edge in (top, bottom):
        joining = np.interp(places, column, edge if area else middle)
        edges.append(np.where(at_point, edge[chosen], np.where(between, joining, np.nan)))
    return edges[0], edges[1]
