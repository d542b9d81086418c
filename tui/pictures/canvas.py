"""Cells to draw a picture in: text, half blocks, braille, on any terminal.

A cell holds a character, the name of a colour of the theme or a colour of its own, and one behind it. What can't be
told by colours (NO_COLOR, 16 colours) is told by characters, and what can't by Unicode is by ASCII.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from descent.common import braille
from descent.common.glyphs import ascii_cells
from descent.common.text import clean
from tui.data.translation import Say

RGB = tuple[int, int, int]
Pixels = NDArray[np.uint8]  # (h, w, 3)

SHADES = " ░▒▓█"
ASCII_SHADES = " .:-=+*#%@"


@dataclass(frozen=True)
class Palette:
    """What the terminal and the theme give.

    shades: whether there are colours enough to shade with (256 or more). unicode: whether there is more than ASCII.
    ground, text: of the theme. styles: by name: train, validation, trouble, quiet, strong. say: puts words into the
    language that is spoken.
    """

    shades: bool = True
    unicode: bool = True
    dark: bool = True
    ground: RGB = (18, 21, 27)
    text: RGB = (217, 221, 228)
    styles: dict[str, Style] = field(default_factory=dict, hash=False)
    say: Say = field(default=str, compare=False)

    def style(self, name: str) -> Style:
        return self.styles.get(name, _DEFAULTS.get(name, Style.null()))


_DEFAULTS = {
    "train": Style(color="#5cb2ff"),
    "validation": Style(color="#f0ab53"),
    "trouble": Style(color="#ff6d6d", bold=True),
    "quiet": Style(color="#8993a3"),
    "strong": Style(bold=True),
}


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


class Canvas:
    """`width` × `height` cells, empty at first."""

    def __init__(self, width: int, height: int, palette: Palette) -> None:
        self.width, self.height, self.palette = max(0, width), max(0, height), palette
        shape = (self.height, self.width)
        self._chars = np.full(shape, " ", dtype="<U1")
        self._front = np.full(shape, -1, dtype=np.int32)
        self._back = np.full(shape, -1, dtype=np.int32)
        self._names = np.zeros(shape, dtype=np.int16)  # which of _styles
        self._styles = ["", "strong"]
        self.first = 0  # of several images, the one to begin with
        self.seen: tuple[int, int] | None = None  # how many of them there is room for, and how many there are

    # --- text ---

    def text(self, x: int, y: int, text: str, style: str = "", colour: RGB | None = None) -> int:
        """Write from column x on row y, as far as there is room; the column after it. Backgrounds stay."""
        if not 0 <= y < self.height:
            return x
        for char in clean(self.palette.say(text)):
            wide = cell_len(char)
            if wide == 0:
                continue
            if x < 0 or x + wide > self.width:
                x += wide
                continue
            self._put(x, y, char, style, colour)
            if wide == 2:
                self._chars[y, x + 1] = ""  # the character before lies over it
            x += wide
        return x

    def right(self, x: int, y: int, text: str, style: str = "") -> None:
        """Write so that the text ends before column x."""
        said = self.palette.say(text)
        self.text(x - cell_len(said), y, said, style)

    def middle(self, x: int, y: int, text: str, style: str = "", colour: RGB | None = None) -> None:
        """Write with column x in the middle, moved where it would not fit."""
        length = cell_len(text)
        self.text(max(0, min(x - length // 2, self.width - length)), y, text, style, colour)

    def _put(self, x: int, y: int, char: str, style: str, colour: RGB | None) -> None:
        self._chars[y, x] = char
        if style and style not in self._styles:
            self._styles.append(style)
        self._names[y, x] = self._styles.index(style)
        self._front[y, x] = -1 if colour is None or not self.palette.shades else int(pack(colour))

    def mark(self, x: int, y: int, char: str, style: str = "", colour: RGB | None = None) -> None:
        """One character of one cell; what was behind it stays behind it."""
        if 0 <= x < self.width and 0 <= y < self.height:
            if self._chars[y, x] == "▀":  # two pixels become one
                halves = np.array([self._front[y, x], self._back[y, x]])
                self._back[y, x] = _mean(halves)
            self._put(x, y, char, style, colour)

    # --- areas ---

    def fill(self, x: int, y: int, width: int, height: int, colour: RGB) -> None:
        """A background, where there are colours."""
        if self.palette.shades:
            self._back[y : y + height, x : x + width] = int(pack(colour))

    def image(self, x: int, y: int, pixels: Pixels) -> None:
        """(2h, w, 3) into h rows of w cells. Without colours by lightness, bright where it is far from the ground."""
        pixels = pixels[: 2 * (self.height - y), : self.width - x]
        if len(pixels) % 2:
            pixels = np.concatenate([pixels, pixels[-1:]])
        top, bottom = pixels[0::2], pixels[1::2]
        rows, columns = slice(y, y + len(top)), slice(x, x + top.shape[1])
        if not self.palette.shades:
            lightness = (top.mean(axis=2) + bottom.mean(axis=2)) / 510
            self.shade(x, y, lightness if self.palette.dark else 1 - lightness)
            return
        if not self.palette.unicode:
            self._back[rows, columns] = pack((top.astype(np.int32) + bottom) // 2)
            return
        above, below = pack(top), pack(bottom)
        same = above == below  # a space is shorter to send, and runs of it are one
        self._chars[rows, columns] = np.where(same, " ", "▀")
        self._front[rows, columns] = np.where(same, -1, above)
        self._back[rows, columns] = below
        self._names[rows, columns] = 0

    def shade(self, x: int, y: int, amount: NDArray[Any]) -> None:
        """(h, w) of 0 to 1 as characters, the fuller the more."""
        signs = np.array(list(SHADES if self.palette.unicode else ASCII_SHADES))
        amount = amount[: self.height - y, : self.width - x]
        chosen = signs[np.clip((np.nan_to_num(amount) * len(signs)).astype(int), 0, len(signs) - 1)]
        self._chars[y : y + chosen.shape[0], x : x + chosen.shape[1]] = chosen

    def signs(self, x: int, y: int, chars: NDArray[np.str_], style: str = "quiet") -> None:
        """(h, w) characters as they are."""
        for row, line in enumerate(chars):
            for column, char in enumerate(line):
                self._put(x + column, y + row, str(char), style, None)

    def braille(self, x: int, y: int, dots: NDArray[np.bool_], style: str = "", colour: RGB | None = None) -> None:
        """(4h, 2w) dots into h rows of w cells; cells without a dot stay as they are."""
        cells = braille.bits(dots)
        chars = braille.characters(cells, unicode=self.palette.unicode)
        for row, column in zip(*np.nonzero(cells), strict=True):
            self.mark(x + int(column), y + int(row), chr(chars[row, column]), style, colour)

    # --- out ---

    def plain(self) -> list[str]:
        """The characters alone, a line a row."""
        return ["".join(row).rstrip() for row in self._shown()]

    def _shown(self) -> NDArray[np.str_]:
        if self.palette.unicode:
            return self._chars
        return np.vectorize(_as_ascii, otypes=["<U1"])(self._chars) if self._chars.size else self._chars

    def strips(self) -> list[Strip]:
        """For a widget's render_line."""
        return [Strip(self._segments(y, row), self.width) for y, row in enumerate(self._shown())]

    def _segments(self, y: int, row: NDArray[np.str_]) -> list[Segment]:
        if not self.width:
            return []
        keys = np.stack([self._names[y].astype(np.int64), self._front[y], self._back[y]])
        # A cell under a wide character belongs to it.
        new = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0) & (row[1:] != ""))
        starts = np.flatnonzero(new).tolist()
        segments = []
        for start, end in zip(starts, [*starts[1:], self.width], strict=True):
            name = self._styles[self._names[y, start]]
            style = _style(int(self._front[y, start]), int(self._back[y, start]))
            if name:
                style = self.palette.style(name) + style
            segments.append(Segment("".join(row[start:end]), style))
        return segments


def _as_ascii(char: str) -> str:
    if not char:
        return "?"  # the second cell of a wide character, whose first becomes a question mark too
    if char.isascii():
        return char
    plain = ascii_cells(char)
    return plain if plain.isascii() else "?"


def _mean(packed: NDArray[Any]) -> int:
    parts = [[int(p) >> 16, int(p) >> 8 & 255, int(p) & 255] for p in packed if p >= 0]
    return int(pack(np.mean(parts, axis=0))) if parts else -1
