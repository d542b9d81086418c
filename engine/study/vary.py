"""`--vary section.key=[…]` or a range such as 1..12, 0..1+0.25, 100..60000*2, and the grid that it spans."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.numbers import setting
from descent.common.settings import parse
from descent.common.text import short_names, show
from engine.preset.overrides import toml

MOST = 10_000
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:([+*])({_NUMBER}))?")
_SLACK = 1e-9  # of a step: 0.1 + 0.2 is a little more than 0.3
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
Values = Mapping[str, Any]  # a point of the grid: what each varied key is there


def expand(text: str) -> list[int | float] | str:
    """Return the numbers from LOW to HIGH: LOW..HIGH by 1, LOW..HIGH+STEP, LOW..HIGH*FACTOR, with HIGH if it is met.

    A text that is no range is returned as it is. Raises ValueError with the reason for a range without numbers.
    """
    found = _RANGE.fullmatch(text.replace(" ", ""))
    if found is None:
        return text
    low, high = _number(found[1]), _number(found[2])
    by, step = found[3] or "+", _number(found[4] or "1")
    if found[4] is None and not (isinstance(low, int) and isinstance(high, int)):
        raise ValueError(_("{range}: needs a step or a factor, such as {range}+0.1 or {range}*10", range=text))
    if low > high:
        raise ValueError(_("{range}: is empty; a range goes from the lower number to the higher one", range=text))
    if by == "+" and step <= 0:
        raise ValueError(_("{range}: the step after + must be more than 0", range=text))
    if by == "*" and (step <= 1 or low <= 0):
        raise ValueError(
            _("{range}: the factor after * must be more than 1, and the first number more than 0", range=text)
        )
    values: list[int | float] = []
    value: int | float = low
    while value <= high * (1 + _SLACK) if by == "*" else value <= high + step * _SLACK:
        if len(values) == MOST:
            raise ValueError(_("{range}: has more than {most:,} values", range=text, most=MOST))
        values.append(value)
        # From the first one each time: what rounding adds does not add up.
        value = _plain(low + len(values) * step if by == "+" else low * step ** len(values))
    return values


def _number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _plain(value: int | float) -> int | float:
    """Return the number without rounding errors: 0.3, not 0.30000000000000004."""
    return value if isinstance(value, int) else float(f"{value:.12g}")


@dataclass(frozen=True)
class Axis:
    """A key that varies, and the values that it takes."""

    key: str
    values: tuple[Any, ...]


def axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Return the axes of texts such as "section.key=[value, …]" or "section.key=1..12".

    Raises DescentError with a line for each wrong text.
    """
    found: dict[str, Axis] = {}
    problems: list[str] = []
    for text in texts:
        parsed, wrong = parse([text])
        if wrong:
            problems.append(_("--vary {given}: must have the form section.key=[value, value …]", given=show(text)))
            continue
        [(path, values)] = parsed
        key = ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in path)
        try:
            values = expand(values) if isinstance(values, str) else values
        except ValueError as error:
            problems.append(f"--vary {key}: {error}")
            continue
        problem = _problem(key, values, found)
        if problem:
            problems.append(f"--vary {key}: {problem}")
        else:
            found[key] = Axis(key, tuple(values))
    if problems:
        raise DescentError("\n".join(problems))
    return tuple(found.values())


def _problem(key: str, values: Any, before: Mapping[str, Axis]) -> str:
    """Return the problem of a list of values, empty if it has none."""
    if key in before:
        return _("is given twice; put all its values into one list")
    if not isinstance(values, list):
        return _(
            "must be a range, such as 1..12 or 100..60000*2, or a list of TOML values, such as [0.1, 0.01], "
            '[[64], [64, 64]] or ["relu", "tanh"]; given {given}',
            given=show(values),
        )
    if not values:
        return _("is an empty list; give at least one value")
    twice = [value for at, value in enumerate(values) if any(_same(value, other) for other in values[:at])]
    return _("has {value} twice; for several seeds use --repeats", value=show(twice[0])) if twice else ""


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def grid(varied: Sequence[Axis]) -> list[dict[str, Any]]:
    """Return every combination, the last key varying fastest. One point without values if nothing varies."""
    keys = [axis.key for axis in varied]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in varied))]


def settings(values: Values) -> list[str]:
    """Return the point as words of --set."""
    return [f"{key}={toml(value)}" for key, value in values.items()]


def label(values: Values) -> str:
    """Return the point in a few words: widths=[64] lr=0.1."""
    return " ".join(f"{name}={setting(values[key])}" for key, name in short_names(list(values)).items())
