"""Numbers in three significant digits that keep their width, signs of a state, and small curves of characters."""

import math
from collections.abc import Sequence
from itertools import pairwise

NONE = "–"
INFINITE = "∞"
WIDTH = 8  # cells that hold any `number`, its sign included
_ASCII = str.maketrans(
    {
        NONE: "-",
        "—": "-",
        INFINITE: "inf",
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


def number(value: float | None, width: int = 0) -> str:
    """Three significant digits, zeros at the end included: 0.0412, 2.30, 41.2, 1,214, 1.10e-4.

    From a thousand on the whole number, from a million on a power of ten; NaN, ∞, and – where there is none.
    Padded on the left to `width`.
    """
    return _number(value).rjust(width)


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value) or value == 0:
        return _special(value)
    rounded = float(f"{value:.2e}")  # 9.996 is 10.0, not 10.00
    size = abs(rounded)
    if size < 1e-3 or size >= 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{rounded:.{2 - math.floor(math.log10(size))}f}"


def _special(value: float | None) -> str:
    if value is None:
        return NONE
    if math.isnan(value):
        return "NaN"
    return "0" if value == 0 else INFINITE if value > 0 else f"-{INFINITE}"


def count(value: float | None, width: int = 0) -> str:
    """A whole number with separators: 1,214."""
    finite = value is not None and math.isfinite(value)
    return (f"{round(value):,}" if finite and value is not None else _number(value)).rjust(width)


def percent(share: float | None, digits: int = 1, width: int = 0) -> str:
    """A share of 1 as 56.5%."""
    if share is None or not math.isfinite(share):
        return _number(share).rjust(width)
    return f"{100 * share:.{digits}f}%".rjust(width)


def duration(seconds: float | None) -> str:
    """Seconds as 0:18, 12:34, 1:02:03 or 2 d 03:04."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if math.isinf(seconds):
        return INFINITE
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(per_second: float | None, unit: str = "step") -> str:
    """Steps a second as 812 step/s; of slow ones the time that one takes, 4.00 s/step."""
    if per_second is not None and 0 < per_second < 0.5:
        return f"{number(1 / per_second)} s/{unit}"
    return f"{number(per_second)} {unit}/s"


def aligned(values: Sequence[float | None]) -> list[str]:
    """The numbers of one column, all as wide, with their decimal points below each other."""
    return align([number(value) for value in values])


def align(texts: Sequence[str]) -> list[str]:
    """Pad numbers that are written already so that their decimal points lie below each other."""
    places = [_point(text) for text in texts]
    left = max(places, default=0)
    right = max((len(text) - place for text, place in zip(texts, places, strict=True)), default=0)
    return [(" " * (left - place) + text).ljust(left + right) for text, place in zip(texts, places, strict=True)]


def _point(text: str) -> int:
    """Where the decimal point is, or would be."""
    if "." in text:
        return text.index(".")
    return next((i for i, sign in enumerate(text) if sign in "e%"), len(text))


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


def short_number(value: float | None) -> str:
    """Three significant digits in at most seven cells."""
    if value is None or abs(value) < 99_999.5 or not math.isfinite(value):
        return number(value)
    return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


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
