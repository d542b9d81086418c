"""Numbers and durations as a person reads them."""

from typing import Any

from descent.common.text import show


def number(value: float | None) -> str:
    """Three significant digits, or a whole number of thousands; an en dash where there is none yet."""
    if value is None:
        return "–"
    if 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds as 0:05, 12:34 or 1:02:03."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_taken(seconds: float) -> str:
    """Seconds as 0.46 s, 12:34 or 1:02:03."""
    return f"{number(seconds)} s" if seconds < 60 else duration(seconds)


def word(value: Any) -> str:
    """A value for a table: shortened, and a large or small number with its exponent."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else show(value)
