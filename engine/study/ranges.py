"""Ranges of numbers in a word: 1..12, 0..1+0.25, 100..60000*2."""

import re

MOST = 10_000
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:([+*])({_NUMBER}))?")
_SLACK = 1e-9  # of a step: 0.1 + 0.2 is a little more than 0.3


def expand(text: str) -> list[int | float] | str:
    """The numbers from LOW to HIGH: LOW..HIGH by 1, LOW..HIGH+STEP, LOW..HIGH*FACTOR; HIGH too where it is met.

    The text itself where it is no range. ValueError, with what is wrong, where it is one without numbers.
    """
    found = _RANGE.fullmatch(text.replace(" ", ""))
    if found is None:
        return text
    low, high = _number(found[1]), _number(found[2])
    by, step = found[3] or "+", _number(found[4] or "1")
    if found[4] is None and not (isinstance(low, int) and isinstance(high, int)):
        raise ValueError(f"{text}: say by what it goes up, as in {text}+0.1 or {text}*10")
    if low > high:
        raise ValueError(f"{text}: is empty; a range goes from the lower number to the higher one")
    if by == "+" and step <= 0:
        raise ValueError(f"{text}: the step after + must be more than 0")
    if by == "*" and (step <= 1 or low <= 0):
        raise ValueError(f"{text}: the factor after * must be more than 1, and the first number more than 0")
    values: list[int | float] = []
    value: int | float = low
    while value <= high * (1 + _SLACK) if by == "*" else value <= high + step * _SLACK:
        if len(values) == MOST:
            raise ValueError(f"{text}: are more than {MOST:,} values")
        values.append(value)
        # From the first one each time: what rounding adds does not add up.
        value = _plain(low + len(values) * step if by == "+" else low * step ** len(values))
    return values


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _plain(value: int | float) -> int | float:
    """Without the last digits that rounding has left: 0.3, not 0.30000000000000004."""
    return value if isinstance(value, int) else float(f"{value:.12g}")
