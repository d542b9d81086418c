"""`--vary section.key=[…]`, or a range: reading it, and the grid of points that it spans."""

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine import overrides
from engine.errors import DescentError
from engine.study import ranges
from engine.texts import show

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
Values = Mapping[str, Any]  # a point of the grid: what each varied key is there


@dataclass(frozen=True)
class Axis:
    """A key that varies, and the values that it takes."""

    key: str
    values: tuple[Any, ...]


def axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """What each "section.key=[value, …]", or "section.key=1..12", varies. DescentError with a line for each that is
    wrong."""
    found: dict[str, Axis] = {}
    problems: list[str] = []
    for text in texts:
        parsed, wrong = overrides.parse([text])
        if wrong:
            problems.append(f"--vary {show(text)}: must have the form section.key=[value, value …]")
            continue
        [(path, values)] = parsed
        key = ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in path)
        try:
            values = ranges.expand(values) if isinstance(values, str) else values
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
    """What is wrong with a list of values; empty where nothing is."""
    if key in before:
        return "is given twice; put all its values into one list"
    if not isinstance(values, list):
        wanted = (
            "must be a range, as in 1..12 or 100..60000*2, or a list of TOML values, as in [0.1, 0.01], "
            '[[64], [64, 64]] or ["relu", "tanh"]'
        )
        return f"{wanted}; given {show(values)}"
    if not values:
        return "is an empty list; give at least one value"
    twice = [value for at, value in enumerate(values) if any(_same(value, other) for other in values[:at])]
    return f"has {show(twice[0])} twice; for several seeds of each point give --repeats" if twice else ""


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def grid(varied: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination; the last key varies fastest. One point without values where nothing varies."""
    keys = [axis.key for axis in varied]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in varied))]


def toml(value: Any) -> str:
    """A value as TOML reads it, whole and on one line."""
    match value:
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            return repr(value)  # nan, inf, -inf: TOML's own words
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list() | tuple():
            return f"[{', '.join(toml(item) for item in value)}]"
        case dict():
            return f"{{ {', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())} }}"
        case _:
            raise TypeError(f"no TOML value: {value!r}")


def settings(values: Values) -> list[str]:
    """The point as words of --set."""
    return [f"{key}={toml(value)}" for key, value in values.items()]


def label(values: Values) -> str:
    """The point in a few words: widths=[64] lr=0.1."""
    return " ".join(f"{name}={word(values[key])}" for key, name in short_names(list(values)).items())


def word(value: Any) -> str:
    """A value for a table: shortened, and a large or small number with its exponent."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else show(value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each key by its last part where that is enough to tell it from the others."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: key if last.count(name) > 1 else name for key, name in zip(keys, last, strict=True)}
