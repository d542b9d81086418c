"""A curve of braille dots."""

from collections.abc import Sequence
from itertools import pairwise

from descent.common.glyphs import shares

_DOTS = ((1, 2, 4, 64), (8, 16, 32, 128))  # braille: the dots of a cell, left and right, from the top


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """A curve as a line of braille dots, in `height` rows of at most `width` cells."""
    dots = [round((4 * height - 1) * (1 - share)) for share in shares(values, 2 * width)]  # from the top
    cells = [[0] * ((len(dots) + 1) // 2) for _ in range(height)]
    for x, (before, at) in enumerate(pairwise([*dots[:1], *dots])):
        # From beside the dot before, so that a steep line has no holes.
        near = before + (1 if at > before else -1 if at < before else 0)
        for y in range(min(near, at), max(near, at) + 1):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in cells]
