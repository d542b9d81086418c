"""Signs beyond ASCII, what a terminal without UTF-8 shows instead of them, and bars made of them."""

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS = " ▁▂▃▄▅▆▇█"  # a cell that is filled by so many eighths
_SIGNS = {
    "─━╸│┃┆┅┄┈╌┌┐└┘├┤┬┴┼": "-=-||::..-+++++++++",
    BLOCKS: " _.-=+*#@",
    "░▒▓▀": '.%#"',
    "●○•▲△▼▽▾■□▦▬◆◇★☆▸▶▷◂◀‹›‖⏸": "*o.^^vvv##%-++**>>:<<<>==",
    "✓✗×÷·…→←↑↓↖↗↘↙≥≤±−–—′λ∂∞√°²₁ᵀ╭╮╰╯": "vxx/.~><^v^^vv><+---'ld8V'21T++++",
}
# Each sign as one of the same width, for what is laid out in cells.
_CELLS = str.maketrans("".join(_SIGNS), "".join(_SIGNS.values()))
# In running text a sign may become longer, and then says more.
_TEXT = _CELLS | str.maketrans(
    {
        "…": "...",
        "→": "->",
        "←": "<-",
        "↑": "up",
        "↓": "down",
        "≥": ">=",
        "≤": "<=",
        "±": "+-",
        "•": "*",
        "·": "*",
        "∞": "inf",
        "√": "sqrt ",
        "²": "^2",
        "₁": "1",
        "ᵀ": "^T",
        "°": " deg ",
    }
)
# A run's state, and how far a learner is in a lab, in one cell each.
STATES = {"starting": "▷", "running": "▶", "paused": "‖", "finished": "✓", "stopped": "■", "failed": "✗",
          "lost": "?", "damaged": "!"}  # fmt: skip
LAB_STATES = {"new": " ", "started": "▸", "passed": "✓", "broken": "✗"}
_STEEP = 10.0  # a falling quantity that spans more than this ratio shows its shape on a logarithmic scale


def spelled_out(text: str) -> str:
    """`text` without the signs of this module; it may become longer. Other characters stay."""
    return text.translate(_TEXT)


def ascii_text(text: str) -> str:
    """`text` in ASCII alone; it may become longer. Characters that are no signs of this module become ?."""
    return spelled_out(text).encode("ascii", "replace").decode("ascii")


def ascii_cells(text: str) -> str:
    """`text` in as many cells, without the signs of this module. Other characters stay. "± 2" becomes "+-2"."""
    return text.replace("± ", "+-").translate(_CELLS)


def level(share: float) -> str:
    """A bar in one cell, for 0 to 1. It does not reach the top, or those of two lines would run into each other."""
    return BLOCKS[1 + round(6 * max(0.0, min(1.0, share)))]


def sparkline(values: Sequence[float], width: int, among: Sequence[float] = ()) -> str:
    """A curve as bars in at most `width` cells. Non-finite values are left out. among: as shares takes it."""
    return "".join(map(level, shares(values, width, among)))


def progress_bar(share: float, width: int) -> tuple[str, str]:
    """What is done and what is left, in `width` cells together, to half a cell."""
    halves = round(max(0.0, min(1.0, share)) * 2 * width)
    done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return done, "─" * (width - len(done))


def shares(values: Sequence[float], width: int, among: Sequence[float] = ()) -> list[float]:
    """At most `width` points from 0, the lowest, to 1; logarithmically where they span much.

    among: values of other curves that are to have the same scale.
    """
    points = _averaged([value for value in values if math.isfinite(value)], width)
    scale = [*points, *(value for value in among if math.isfinite(value))]
    if points and min(scale) > 0 and max(scale) / min(scale) > _STEEP:
        points, scale = [math.log(point) for point in points], [math.log(value) for value in scale]
    low, high = min(scale, default=0.0), max(scale, default=0.0)
    return [(point - low) / (high - low) if high > low else 0.5 for point in points]


def _averaged(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values, each the mean of its share."""
    if len(values) <= width:
        return list(values)
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
