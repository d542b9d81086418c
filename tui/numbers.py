"""Numbers in three significant digits that keep their width, signs of a state, and small curves of characters."""

import math
from collections.abc import Sequence
from itertools import pairwise

_ASCII = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "×": "x",
        "…": "...",
        "✗": "x",
        "✓": "v",
        "·": "|",
        "▾": "v",
        "≥": ">=",
        "≤": "<=",
        "→": "->",
        "′": "'",
    }
)


def ascii_only(text: str) -> str:
    """The signs of this module and of the charts for a terminal that shows ASCII alone; others become ?."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()


_SIGNS = {
    "starting": "▷",
    "running": "▶",
    "paused": "‖",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "lost": "?",
    "damaged": "!",
}
_ASCII_SIGNS = {"starting": ":", "running": ">", "paused": "=", "finished": "v", "stopped": "#", "failed": "x"}
_LAB_SIGNS = {"passed": "✓", "started": "▸", "new": " "}
_ASCII_LAB_SIGNS = {"passed": "v", "started": ">", "new": " "}
# The style of each in widgets.lines.STYLES.
STATE_STYLES = {
    "starting": "train",
    "running": "train",
    "paused": "planned",
    "finished": "good",
    "stopped": "quiet",
    "failed": "trouble",
    "lost": "trouble",
    "damaged": "trouble",
}
_BARS = " ▁▂▃▄▅▆▇█"
_ASCII_BARS = " __..--##"
_DOTS = ((1, 2, 4, 64), (8, 16, 32, 128))  # braille: the dots of a cell, left and right, from the top
_STEEP = 10.0  # a falling quantity that spans more than this ratio shows its shape on a logarithmic scale


def sign(state: str, *, unicode: bool = True) -> str:
    """One cell for a run's state."""
    return _SIGNS.get(state, "?") if unicode else _ASCII_SIGNS.get(state, _SIGNS.get(state, "?"))


def lab_sign(state: str, *, unicode: bool = True) -> str:
    """One cell for how far a learner is in a lab."""
    return (_LAB_SIGNS if unicode else _ASCII_LAB_SIGNS)[state]


def bars(values: Sequence[float], width: int, height: int = 1, *, unicode: bool = True) -> list[str]:
    """A curve as `height` rows of at most `width` cells, the top one first. Non-finite values are left out."""
    # Not to the very top: full blocks of two lists' lines, one below the other, would run into each other.
    eighths = [1 + round((8 * height - 2) * share) for share in _shares(values, width)]
    blocks = _BARS if unicode else _ASCII_BARS
    return ["".join(blocks[min(8, max(0, e - 8 * row))] for e in eighths) for row in reversed(range(height))]


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """A curve as a line of braille dots, in `height` rows of at most `width` cells."""
    dots = [round((4 * height - 1) * (1 - share)) for share in _shares(values, 2 * width)]  # from the top
    cells = [[0] * ((len(dots) + 1) // 2) for _ in range(height)]
    for x, (before, at) in enumerate(pairwise([*dots[:1], *dots])):
        # From beside the dot before, so that a steep line has no holes.
        near = before + (1 if at > before else -1 if at < before else 0)
        for y in range(min(near, at), max(near, at) + 1):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in row) for row in cells]


def _shares(values: Sequence[float], width: int) -> list[float]:
    """At most `width` points from 0, the lowest, to 1; logarithmically where they span much."""
    points = _averaged([value for value in values if math.isfinite(value)], width)
    if points and min(points) > 0 and max(points) / min(points) > _STEEP:
        points = [math.log(point) for point in points]
    low, high = min(points, default=0.0), max(points, default=0.0)
    return [(point - low) / (high - low) if high > low else 0.5 for point in points]


def _averaged(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values, each the mean of its share."""
    if len(values) <= width:
        return list(values)
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
