"""Cells to draw a picture in: text, half blocks, braille, on any terminal.

A cell holds a character, the name of a colour of the theme or a colour of its own, and a background. Without colours
(NO_COLOR, 16 colours) characters take their place, and without Unicode ASCII does.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from descent.common import braille
from descent.common.glyphs import ascii_cells
from descent.common.text import clean
from engine.pictures import Picture
from tui.plot.canvas import RANK, SPACE, STYLES, Canvas, Cells, text_of

RGB = tuple[int, int, int]
Pixels = NDArray[np.uint8]  # (h, w, 3)

SHADES = " ░▒▓█"
ASCII_SHADES = " .:-=+*#%@"
_HALF = ord("▀")  # two pixels above one another
_DEFAULTS = {
    "train": Style(color="#5cb2ff"),
    "validation": Style(color="#f0ab53"),
    "trouble": Style(color="#ff6d6d", bold=True),
    "quiet": Style(color="#8993a3"),
    "strong": Style(bold=True),
}


@dataclass(frozen=True)
class Palette:
    """What the terminal and the theme give.

    shades: whether there are colours enough to shade with (256 or more). unicode: whether there is more than ASCII.
    ground, text: of the theme. styles: by name: train, validation, trouble, quiet, strong.
    """

    shades: bool = True
    unicode: bool = True
    dark: bool = True
    ground: RGB = (18, 21, 27)
    text: RGB = (217, 221, 228)
    styles: dict[str, Style] = field(default_factory=dict, hash=False)

    def style(self, name: str) -> Style:
        return self.styles.get(name, _DEFAULTS.get(name, Style.null()))


@lru_cache(4096)
def _style(front: int, back: int) -> Style:
    return Style(color=_colour(front), bgcolor=_colour(back))


def _colour(packed: int) -> Color | None:
    return None if packed < 0 else Color.from_rgb(packed >> 16, packed >> 8 & 255, packed & 255)


def pack(rgb: "NDArray[Any] | RGB") -> NDArray[np.int32]:
    """(…, 3) of 0 to 255 -> (…,) int32"""
    parts = np.asarray(rgb).astype(np.int32)
    packed: NDArray[np.int32] = (parts[..., 0] << 16) + (parts[..., 1] << 8) + parts[..., 2]
    return packed


def _unpacked(packed: NDArray[np.int32]) -> NDArray[np.int32]:
    """(…,) int32 -> (…, 3) of 0 to 255"""
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)


class PictureCanvas(Canvas):
    """A canvas whose cells may have a colour of their own, and one behind them."""

    def __init__(self, width: int, height: int, palette: Palette) -> None:
        super().__init__(max(0, width), max(0, height))
        self.palette = palette
        self._front = np.full(self.codes.shape, -1, dtype=np.int32)
        self._back = np.full(self.codes.shape, -1, dtype=np.int32)
        self.first = 0  # of several images, the one to begin with
        self.ghost: Picture | None = None  # of the run before
        self.seen: tuple[int, int] | None = None  # how many of them there is room for, and how many there are

    # --- text ---

    def write(self, x: int, y: int, text: str, style: str = "", colour: RGB | None = None) -> int:
        """Write from column x on row y, as far as there is room; return the column after it. Backgrounds stay."""
        said = clean(text) if self.palette.unicode else ascii_cells(clean(text))
        end = x + cell_len(said)
        if 0 <= y < self.height:
            while x < 0 and said:
                x, said = x + cell_len(said[0]), said[1:]
            if said:
                self.put(y, x, said, style)
                self._front[y, x:end] = self._packed(colour)
        return end

    def right(self, x: int, y: int, text: str, style: str = "") -> None:
        """Write so that the text ends before column x."""
        self.write(x - cell_len(text), y, text, style)

    def middle(self, x: int, y: int, text: str, style: str = "", colour: RGB | None = None) -> None:
        """Write with column x in the middle, or beside it if the text would not fit."""
        length = cell_len(text)
        self.write(max(0, min(x - length // 2, self.width - length)), y, text, style, colour)

    def mark(self, x: int, y: int, char: str, style: str = "", colour: RGB | None = None) -> None:
        """Put one character into one cell. Its background stays."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self._join_pixels(np.s_[y : y + 1, x : x + 1], np.True_)
            self.put(y, x, char, style)
            self._front[y, x] = self._packed(colour)

    def _join_pixels(self, area: Any, there: "NDArray[np.bool_] | np.bool_") -> None:
        """Make one of the two pixels of each cell of the area that a sign is to lie over."""
        halves = there & (self.codes[area] == _HALF)
        if halves.any():
            front, back = self._front[area], self._back[area]
            back[halves] = pack((_unpacked(front[halves]) + _unpacked(back[halves])) // 2)

    def _packed(self, colour: RGB | None) -> int:
        return -1 if colour is None or not self.palette.shades else int(pack(colour))

    # --- areas ---

    def fill(self, x: int, y: int, width: int, height: int, colour: RGB) -> None:
        """Fill an area with a background, if there are colours."""
        if self.palette.shades:
            self._back[y : y + height, x : x + width] = int(pack(colour))

    def image(self, x: int, y: int, pixels: Pixels) -> None:
        """(2h, w, 3) into h rows of w cells. Without colours by lightness, bright where it is far from the ground."""
        pixels = pixels[: 2 * (self.height - y), : self.width - x]
        if len(pixels) % 2:
            pixels = np.concatenate([pixels, pixels[-1:]])
        top, bottom = pixels[0::2], pixels[1::2]
        area = np.s_[y : y + len(top), x : x + top.shape[1]]
        if not self.palette.shades:
            lightness = (top.mean(axis=2) + bottom.mean(axis=2)) / 510
            self.shade(x, y, lightness if self.palette.dark else 1 - lightness)
            return
        if not self.palette.unicode:
            self._back[area] = pack((top.astype(np.int32) + bottom) // 2)
            return
        above, below = pack(top), pack(bottom)
        same = above == below  # a space is shorter to send, and runs of it are one
        self.codes[area] = np.where(same, SPACE, _HALF)
        self._front[area] = np.where(same, -1, above)
        self._back[area] = below
        self.styles[area] = 0

    def shade(self, x: int, y: int, amount: NDArray[Any]) -> None:
        """(h, w) of 0 to 1 as characters, the fuller the more."""
        signs = np.array([ord(sign) for sign in (SHADES if self.palette.unicode else ASCII_SHADES)], np.uint32)
        amount = amount[: self.height - y, : self.width - x]
        chosen = signs[np.clip((np.nan_to_num(amount) * len(signs)).astype(int), 0, len(signs) - 1)]
        self.codes[y : y + chosen.shape[0], x : x + chosen.shape[1]] = chosen

    def signs(self, x: int, y: int, chars: NDArray[np.str_], style: str = "quiet") -> None:
        """(h, w) characters as they are."""
        for row, line in enumerate(chars.tolist()):
            self.put(y + row, x, "".join(line), style)
            self._front[y + row, x : x + len(line)] = -1

    def braille(self, x: int, y: int, dots: NDArray[np.bool_], style: str = "", colour: RGB | None = None) -> None:
        """(4h, 2w) dots into h rows of w cells; cells without a dot stay as they are."""
        cells = braille.bits(dots)[: self.height - y, : self.width - x]
        there, area = cells > 0, np.s_[y : y + len(cells), x : x + cells.shape[1]]
        self._join_pixels(area, there)
        self.codes[area][there] = braille.characters(cells, unicode=self.palette.unicode)[there]
        self.styles[area][there] = RANK[style]
        self._front[area][there] = self._packed(colour)

    # --- out ---

    def plain(self) -> list[str]:
        """The characters alone, a line a row."""
        return [text_of(row).rstrip() for row in self._shown()]

    def _shown(self) -> Cells:
        if self.palette.unicode:
            return self.codes
        codes, places = np.unique(self.codes, return_inverse=True)
        return np.array([_as_ascii(code) for code in codes.tolist()], np.uint32)[places].reshape(self.codes.shape)

    def strips(self) -> list[Strip]:
        """For a widget's render_line."""
        return [Strip(self._segments(y, row), self.width) for y, row in enumerate(self._shown())]

    def _segments(self, y: int, row: Cells) -> list[Segment]:
        if not self.width:
            return []
        keys = np.stack([self.styles[y].astype(np.int64), self._front[y], self._back[y]])
        # A cell under a wide character belongs to it.
        new = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0) & (row[1:] != 0))
        starts = np.flatnonzero(new).tolist()
        segments = []
        for start, end in zip(starts, [*starts[1:], self.width], strict=True):
            name = STYLES[self.styles[y, start]]
            style = _style(int(self._front[y, start]), int(self._back[y, start]))
            if name:
                style = self.palette.style(name) + style
            segments.append(Segment(text_of(row[start:end]), style))
        return segments


def _as_ascii(code: int) -> int:
    """0, behind a wide character, becomes a question mark too, as that character has become one."""
    char = ascii_cells(chr(code)) if code else "?"
    return ord(char) if char.isascii() else ord("?")


def cut(text: str, cells: int) -> str:
    """Return the text with at most so many cells; what is longer ends in "…"."""
    return text if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)).rstrip() + "…"
