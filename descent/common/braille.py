"""Dots to cells: a cell holds 2 × 4 dots, as one braille character.

A picture of dots is (4 × rows, 2 × columns) bool, the top left first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from descent.common.glyphs import shares

Dots = NDArray[np.bool_]
Bits = NDArray[np.uint8]  # (rows, columns): the eight dots of each cell
Cells = NDArray[np.uint32]  # (rows, columns): characters as code points

ACROSS, DOWN = 2, 4  # dots of a cell
_BLANK = 0x2800
_WEIGHTS = np.array([[1, 8], [2, 16], [4, 32], [64, 128]], np.uint8)
_ROWS = np.array([0x09, 0x12, 0x24, 0xC0], np.uint8)  # the dots of each row of a cell, from the top


def bits(dots: Dots) -> Bits:
    """The dots of each cell as the bits of one number, in braille's order."""
    rows, columns = dots.shape[0] // DOWN, dots.shape[1] // ACROSS
    cells = dots.reshape(rows, DOWN, columns, ACROSS).astype(np.uint8)
    packed: Bits = (cells * _WEIGHTS[:, None, :]).sum(axis=(1, 3), dtype=np.uint8)
    return packed


def characters(cells: Bits, *, unicode: bool = True) -> Cells:
    """A braille character for each cell, or the ASCII sign that looks most like it; a space for one without dots."""
    if not unicode:
        return ascii_signs(cells, np.zeros(cells.shape, np.int64))
    return np.where(cells > 0, _BLANK + cells.astype(np.uint32), np.uint32(ord(" ")))


def ascii_signs(cells: Bits, kinds: NDArray[np.int64]) -> Cells:
    """For each cell the ASCII sign that looks most like it.

    kinds: 0 for a line, 1 for a dotted one, 2 for what stays behind: three that can be told apart without colours.
    """
    return _ASCII_SIGNS[kinds, cells]


def _ascii_sign(cell: int, kind: int) -> str:
    first, second, third, fourth = (bool(cell & int(row)) for row in _ROWS)
    if not cell:
        return " "
    if kind == 2:
        return "." if third or fourth else "'"
    if kind == 1:
        return ":"
    if first + second + third + fourth >= 3:
        return "|"
    if first:
        return "'"
    return "-" if second else "." if third else "_"


_ASCII_SIGNS = np.array([[ord(_ascii_sign(cell, kind)) for cell in range(256)] for kind in range(3)], np.uint32)


def curves(lines: Sequence[Sequence[float]], width: int, height: int) -> list[Dots]:
    """Return a picture of each line, `height` rows of `width` cells, all of one scale.

    A line reaches from the left to the right, however many values it has. Non-finite values are left out.
    """
    among = [value for values in lines for value in values]
    return [_curve(shares(values, ACROSS * width, among), ACROSS * width, DOWN * height) for values in lines]


def _curve(places: Sequence[float], width: int, height: int) -> Dots:
    """Return a line of dots for places from 0, the lowest, to 1."""
    if not places:
        return np.zeros((height, width), np.bool_)
    across = np.interp(np.linspace(0, len(places) - 1, width), np.arange(len(places)), places)
    level = np.rint((height - 1) * (1 - across))
    before = np.concatenate([level[:1], level[:-1]])
    near = before + np.sign(level - before)  # from beside the dot before, so that a steep line has no holes
    return spans(np.minimum(near, level), np.maximum(near, level), height)


def spans(top: NDArray[np.float64], bottom: NDArray[np.float64], height: int) -> Dots:
    """A picture (height, n) with the dots top[i] to bottom[i] of column i set; none where either is NaN.

    Neighbouring columns that do not touch are joined half way by each, so that a steep line has no holes. What
    lies outside is drawn at the edge.
    """
    there = ~(np.isnan(top) | np.isnan(bottom))
    # A NaN may become any integer: those columns are left out below.
    upper = np.where(there, np.clip(np.rint(np.nan_to_num(top)), 0, height - 1), 0).astype(np.int64)
    lower = np.where(there, np.clip(np.rint(np.nan_to_num(bottom)), 0, height - 1), 0).astype(np.int64)
    joined_up, joined_down = upper.copy(), lower.copy()
    both = there[1:] & there[:-1]
    falls = both & (upper[1:] > lower[:-1] + 1)  # the right column lies below the left one
    rises = both & (lower[1:] < upper[:-1] - 1)
    middle_falls = (lower[:-1] + upper[1:]) // 2
    middle_rises = (upper[:-1] + lower[1:]) // 2
    _widen(joined_down[:-1], falls, middle_falls, np.maximum)
    _widen(joined_up[1:], falls, middle_falls + 1, np.minimum)
    _widen(joined_up[:-1], rises, middle_rises + 1, np.minimum)
    _widen(joined_down[1:], rises, middle_rises, np.maximum)
    row = np.arange(height)[:, None]
    dots: Dots = (row >= joined_up) & (row <= joined_down) & there
    return dots


def _widen(bound: NDArray[np.int64], where: Dots, to: NDArray[np.int64], extreme: np.ufunc) -> None:
    bound[where] = extreme(bound[where], to[where])


def dashes(dots: Dots, length: int = 2) -> Dots:
    """The picture with holes as long as its dashes: what is flat is cut along x, what is steep along y."""
    rows, columns = np.arange(dots.shape[0])[:, None], np.arange(dots.shape[1])[None, :]
    steep = dots.sum(axis=0) > length
    keep = np.where(steep[None, :], rows, columns) % (2 * length) < length
    cut: Dots = dots & keep
    return cut


def shade(dots: Dots) -> Dots:
    """Every fourth dot: an area behind lines."""
    rows, columns = np.arange(dots.shape[0])[:, None], np.arange(dots.shape[1])[None, :]
    kept: Dots = dots & (rows % 2 == 0) & ((columns + rows // 2) % 2 == 0)
    return kept


def sparse(dots: Dots) -> Dots:
    """Every other dot: a line that stays behind another one where there are no colours."""
    rows, columns = np.arange(dots.shape[0])[:, None], np.arange(dots.shape[1])[None, :]
    kept: Dots = dots & ((rows + columns) % 2 == 0)
    return kept
