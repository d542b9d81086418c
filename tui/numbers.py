"""Numbers as a person reads them: three significant digits, in a width that does not jump from frame to frame."""

import math
from collections.abc import Sequence

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
