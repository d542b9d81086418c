"""How numbers are written: a figure looks alike on a screen, in a table and in an SVG.

A minus is an ASCII hyphen, and what is not finite is NaN or inf, so that each text can be pasted where a number is
wanted. `--json` and files for other programs carry full numbers instead.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

from descent.common.i18n import N_, _
from descent.common.text import show

NONE = "–"  # for a number that there is not
_DIGITS = 3


def number(value: float | None) -> str:
    """A loss, a norm or any other measured number, in three significant digits.

    Batches make the fourth digit noise. Zeros at the end are written, so that a number keeps its width while it is
    redrawn: 0.0412, 2.30, 41.2, 1,214, 1.10e-4. From a million on and below a thousandth it has an exponent.
    """
    return _significant(value, _DIGITS)


def short_number(value: float | None) -> str:
    """As `number`, in at most seven cells: 8.9e-5 and 1.2e5 have two digits."""
    if value is None or value == 0 or not math.isfinite(value) or 1e-4 <= abs(value) < 99_999.5:
        return number(value)
    return scientific(value, 2)


def scientific(value: float, digits: int = _DIGITS) -> str:
    """A number in that many significant digits and a power of ten: 1.10e-4."""
    return _short_exponent(f"{value:.{digits - 1}e}")


def trimmed(value: float, digits: int = 4) -> str:
    """A number without zeros at its end: 0.95, 5, 1e-5, 12,345.

    For settings, and for results beside a limit. Four digits at most: in three, 0.9496 would look as if it reached
    0.95.
    """
    if math.isfinite(value) and 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return _short_exponent(f"{value:.{digits}g}").replace("nan", "NaN")


def setting(value: Any) -> str:
    """A setting's exact value for a table or a label: a number without zeros at its end, all else as in TOML."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return _short_exponent(f"{value:g}")
    return show(value)


def count(value: float | None, width: int = 0) -> str:
    """A whole number with separators: 1,214. Padded on the left to `width`."""
    return (_special(value) if value is None or not math.isfinite(value) else f"{round(value):,}").rjust(width)


def short_count(value: int) -> str:
    """A count in at most five cells: 9,999, 41.2k, 1.21M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            share = value / min(size, 1000) if letter == "k" else value / size
            return f"{share:.3g}{letter}" if share < 999.5 else f"{share:.0f}{letter}"
    return f"{value:,}"


def percent(share: float | None, digits: int = 1, width: int = 0) -> str:
    """A share of 1 as 56.5%. Padded on the left to `width`.

    One decimal: the standard error of an accuracy on 1,000 samples is about a percent, on 10,000 some tenths.
    """
    finite = share is not None and math.isfinite(share)
    return (f"{100 * share:.{digits}f}%" if finite and share is not None else _special(share)).rjust(width)


def metric(name: str, value: float | None) -> str:
    """The metric of that name, such as val_accuracy: an accuracy as a percentage, a loss as a number.

    The learning rate, lr, has no zeros at its end: it is looked for as it was set.
    """
    if name == "lr" and value is not None:
        return trimmed(value)
    return percent(value) if name.endswith("accuracy") else number(value)


def spread(name: str, value: float) -> str:
    """A standard deviation or error of the metric of that name. Two digits: it is an estimate itself."""
    return f"{_significant(100 * value, 2)}%" if name.endswith("accuracy") else _significant(value, 2)


def duration(seconds: float | None) -> str:
    """Seconds as a clock shows them, which stands still between two of them: 0:18, 12:34, 1:02:03 or 2 d 03:04."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if math.isinf(seconds):
        return _special(seconds)
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_taken(seconds: float) -> str:
    """A time that something took: 4.60 ms, 0.460 s, 46.0 s, and from a minute on as `duration` shows it."""
    if 0 < seconds < 0.09995:
        return f"{number(1000 * seconds)} ms"
    return f"{number(seconds)} s" if seconds < 59.95 else duration(seconds)


def ago(seconds: float) -> str:
    """Say how long ago it was, in one unit: "3 h ago"."""
    units = ((N_("{count} d ago"), 86400), (N_("{count} h ago"), 3600), (N_("{count} min ago"), 60))
    for text, length in units:
        if seconds >= length:
            return _(text, count=int(seconds // length))
    return _("just now")


_WEEKDAYS = (
    N_("Monday"), N_("Tuesday"), N_("Wednesday"), N_("Thursday"), N_("Friday"), N_("Saturday"), N_("Sunday"),
)  # fmt: skip


def midnight(moment: float) -> float:
    """Return when the local day of a moment began."""
    year, month, of_month, *_rest = time.localtime(moment)
    return time.mktime((year, month, of_month, 0, 0, 0, 0, 0, -1))


def day(moment: float, now: float) -> str:
    """Return the local day of a moment: today, yesterday, Friday for the days of a week, else 2026-09-18."""
    local = time.localtime(moment)
    days = round((midnight(now) - midnight(moment)) / 86400)  # rounded: a day may have 23 hours
    if not 0 <= days < 7:
        return time.strftime("%Y-%m-%d", local)
    return _("today") if days == 0 else _("yesterday") if days == 1 else _(_WEEKDAYS[local.tm_wday])


def rate(per_second: float | None) -> str:
    """Steps a second, in three significant digits: 4.13, 812, 12,300. More would only flicker."""
    if per_second is None or not math.isfinite(per_second) or abs(per_second) < 1000:
        return number(per_second)
    return f"{float(f'{per_second:.2e}'):,.0f}"


def size(total: float) -> str:
    """Bytes on a disk or a line, in powers of 1000 as disks and downloads are measured: 9.4 MB, 170 MB, 1.2 GB."""
    return _bytes(total, 1000, ("kB", "MB", "GB", "TB"))


def memory(total: float) -> str:
    """Bytes of memory, in powers of 1024 as PyTorch and nvidia-smi measure it: 512 MiB, 1.4 GiB."""
    return _bytes(total, 1024, ("KiB", "MiB", "GiB", "TiB"))


def align(texts: Sequence[str]) -> list[str]:
    """Pad written numbers to one width, with their decimal points below each other."""
    places = [_point(text) for text in texts]
    left = max(places, default=0)
    right = max((len(text) - place for text, place in zip(texts, places, strict=True)), default=0)
    return [(" " * (left - place) + text).ljust(left + right) for text, place in zip(texts, places, strict=True)]


def _point(text: str) -> int:
    """Where the decimal point is, or would be."""
    if "." in text:
        return text.index(".")
    return next((i for i, sign in enumerate(text) if sign in "e%"), len(text))


def _significant(value: float | None, digits: int) -> str:
    if value is None or value == 0 or not math.isfinite(value):
        return _special(value)
    rounded = float(f"{value:.{digits - 1}e}")  # 9.996 is 10.0, not 10.00
    size = abs(rounded)
    if size < 1e-3 or size >= 1e6:
        return scientific(value, digits)
    decimals = digits - 1 - math.floor(math.log10(size))
    return f"{rounded:.{decimals}f}" if decimals > 0 else f"{value:,.0f}"


def _special(value: float | None) -> str:
    if value is None:
        return NONE
    return "NaN" if math.isnan(value) else "0" if value == 0 else "inf" if value > 0 else "-inf"


def _short_exponent(text: str) -> str:
    """1e-4 instead of 1e-04."""
    mantissa, sign, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if sign else text


def _bytes(total: float, base: int, units: Sequence[str]) -> str:
    """In the largest unit of which there is one; below ten of them with a decimal."""
    power = 1
    while power < len(units) and total >= 0.9995 * base ** (power + 1):
        power += 1
    share = total / base**power
    return f"{share:.1f} {units[power - 1]}" if share < 9.95 else f"{share:.0f} {units[power - 1]}"
