"""Settings as text, "section.key=value", and as dotted keys: {"optimizer.lr": 0.1} for {"optimizer": {"lr": 0.1}}."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any, NamedTuple

from descent.common.i18n import _
from descent.common.text import show

# TOML wants digits on both sides of the point, but people also type .1 and 1.
_LOOSE_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every value of nested tables by its dotted key, in their order. An empty table gives no key."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


class Override(NamedTuple):
    """A value and the keys that lead to it: ("train", "batch_size")."""

    path: tuple[str, ...]
    value: Any


def parse(texts: Sequence[str], option: str = "--set ") -> tuple[list[Override], list[str]]:
    """Return the overrides, and a message for each text that is not an override.

    option: what the texts were given by, with a space.
    """
    found: list[Override] = []
    problems: list[str] = []
    for text in texts:
        pair = pair_of(text)
        path = _path(pair[0]) if pair is not None else None
        if pair is None or path is None:
            problems.append(
                option
                + _("{given}: must have the form section.key=value, such as optimizer.lr=0.1", given=show(text))
            )
        elif _DECIMAL_COMMA.fullmatch(pair[1]):
            problems.append(
                option
                + _(
                    "{given}: a number has a decimal point ({point}), a list has brackets ({listed})",
                    given=text,
                    point=pair[1].replace(",", "."),
                    listed=f"[{pair[1]}]",
                )
            )
        elif any("\ud800" <= c <= "\udfff" for c in text):
            problems.append(option + _("{given}: is not valid UTF-8", given=show(text)))
        else:
            found.append(Override(_sweep_path(path), _value(pair[1])))
    return found, problems


def pair_of(text: str) -> tuple[str, str] | None:
    """Key and value of "section.key=value" as texts; None where there is no "="."""
    key, equals, value = text.partition("=")
    return (key.strip(), value.strip()) if equals else None


def key_of(text: str) -> str:
    """Return the key of "section.key=value"."""
    return text.partition("=")[0].strip()


def _sweep_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Join the last parts of members.sweep.optimizer.lr, which means members.sweep."optimizer.lr".

    The keys of a sweep are dotted themselves.
    """
    if path[:2] == ("members", "sweep") and len(path) > 3 and "." not in path[2]:
        return (*path[:2], ".".join(path[2:4]), *path[4:])
    return path


def _path(key: str) -> tuple[str, ...] | None:
    """Return the parts of a dotted key, quoted parts included, or None if it is not a TOML key."""
    if not key or "\n" in key:
        return None
    try:
        table = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return None
    path: list[str] = []
    while isinstance(table, dict):
        [(part, table)] = table.items()
        path.append(part)
    return tuple(path)


def _value(text: str) -> Any:
    """Return the value as TOML reads it. Text that is not TOML is a string. So is a date, which no key takes."""
    if _LOOSE_NUMBER.fullmatch(text):
        return float(text)
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table["value"]
    return text if len(table) > 1 or isinstance(value, date | time) else value
