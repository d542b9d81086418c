"""The knobs of a lab: the few settings that it is about, and turning one in the learner's file.

The file is the truth. It is read before each turn, and only the text of the setting that is turned is replaced.
"""

import math
import stat
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError, PresetError
from descent.common.files import write_atomically
from descent.common.numbers import setting
from descent.common.settings import flatten
from descent.common.text import clean, unwritable
from engine.labs.format import MOST_KNOBS, Knob
from engine.labs.library import Lab
from engine.preset.changes import IMPLIED
from engine.preset.find import path_shown, read_tables, read_text
from engine.preset.loading import checked
from engine.preset.schema import describe

SMALLEST = 1e-5  # of a number that may be 0: the step above 0
FARTHEST = 1e6  # numbers that have no bounds are turned no farther
_DECADE = (1, 2, 5, 10)


@dataclass(frozen=True)
class Setting:
    """A knob as it stands. name: what the panel calls it.

    value: None if the preset has no such setting, as `delta` of a loss other than Huber's. less, more: the values a
    turn to the left and to the right gives; None at an end.
    """

    key: str
    name: str
    value: Any = None
    less: Any = None
    more: Any = None


@dataclass(frozen=True)
class Knobs:
    """The knobs of one of the learner's presets. problem: what is wrong with the file; "" if it can be trained."""

    path: Path
    settings: tuple[Setting, ...] = ()
    problem: str = ""


def knobs_of(lab: Lab, part: str | None = None) -> tuple[Knob, ...]:
    """Return what the lab names as its knobs, or else the first keys that the learner may change."""
    model = lab.model if part is None else lab.model.parts[part]
    keys = [key for key in model.changes if "." in key]
    return model.knobs or tuple(Knob(key=key) for key in keys[:MOST_KNOBS])


def read(lab: Lab, part: str | None, path: Path) -> Knobs:
    """Return the knobs as they stand in the learner's file at `path`."""
    knobs = knobs_of(lab, part)
    try:
        tables = read_tables(path)
    except PresetError as error:
        return Knobs(path, tuple(Setting(knob.key, _name(knob.key)) for knob in knobs), str(error))
    values, problem = IMPLIED | flatten(tables), ""
    try:
        values |= checked(deepcopy(tables), path).flat()
    except PresetError as error:
        problem = str(error)
    return Knobs(path, tuple(_setting(knob, values, tables) for knob in knobs), problem)


def turn(lab: Lab, part: str | None, path: Path, key: str, by: int) -> Knobs:
    """Turn a knob to its value on the left (by < 0) or on the right, in the learner's file. Return how all stand.

    At an end nothing is written. Raises DescentError if the file can't be read or written.
    """
    before = read(lab, part, path)
    one = next(one for one in before.settings if one.key == key)
    value = one.more if by > 0 else one.less
    if value is None:
        if before.problem and one.value is None:
            raise DescentError(before.problem)
        return before
    write(path, {key: value})
    return read(lab, part, path)


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write settings, by dotted key, into a preset's file. Its comments and its layout stay.

    A kind's own keys go when `SECTION.name` becomes another kind. Raises DescentError if that is not possible.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = read_text(path)
    try:
        document = tomlkit.parse(text)
        for key, value in values.items():
            section, _dot, name = key.partition(".")
            table = document.setdefault(section, tomlkit.table())
            if name == "name":
                _leave_out_keys_of_others(section, table, value)
            table[name] = value
        path, mode = path.resolve(), stat.S_IMODE(path.stat().st_mode)
        write_atomically(path, tomlkit.dumps(document).encode(), mode)
    except TOMLKitError as error:
        raise DescentError(f"{path_shown(path)}: {clean(str(error))}") from None
    except OSError as error:
        raise unwritable(path, error) from None


def _leave_out_keys_of_others(section: str, table: Any, name: str) -> None:
    node = describe.kinds(section).get(name)
    if node is not None:
        for key in [key for key in table if key not in describe.keys(node)]:
            del table[key]


# --- a knob's values ---


def _name(key: str) -> str:
    """Return a short name: `lr` for optimizer.lr, `loss` for loss.name."""
    section, _dot, name = key.rpartition(".")
    return section if name == "name" else name


def _setting(knob: Knob, values: Mapping[str, Any], tables: Mapping[str, Any]) -> Setting:
    node = describe.node_of(knob.key, tables)
    value = values.get(knob.key)
    if node is None or (value is None and not knob.choices):
        return Setting(knob.key, _name(knob.key))
    less, more = (_beside(knob, node, value, by) for by in (-1, 1))
    return Setting(knob.key, _name(knob.key), value, less, more)


def _beside(knob: Knob, node: describe.Node, value: Any, by: int) -> Any:
    """Return the next value in a direction, or None at an end."""
    if knob.choices:
        return _next_of([_plain(choice) for choice in knob.choices], value, by)
    if node.get("type") == "boolean":
        return _next_of([False, True], value, by)
    words = describe.literals(node)
    if isinstance(value, str) and words:
        return _next_of(words, value, by)
    if isinstance(value, list | tuple):
        return _next_of_equal(node, value, by)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    bounds = next((one for one in node.get("anyOf", ()) if one.get("type") in ("integer", "number")), node)
    return _next_number(describe.resolved(bounds), value, by, by_one=knob.key.endswith("seed"))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _next_of(choices: Sequence[Any], value: Any, by: int) -> Any:
    value = _plain(value)
    if value is None:  # the file does not have it yet
        return choices[0] if by > 0 else None
    if value in choices:
        at = choices.index(value) + by
        return choices[at] if 0 <= at < len(choices) else None
    if _is_number(value) and all(map(_is_number, choices)):
        there = [choice for choice in choices if (choice > value if by > 0 else choice < value)]
        return (min if by > 0 else max)(there, default=None)
    return choices[0 if by > 0 else -1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _next_of_equal(node: describe.Node, values: Sequence[Any], by: int) -> Any:
    """Turn all numbers of a list at once, where they are equal: the widths of all layers."""
    if not values or not _is_number(values[0]) or any(one != values[0] for one in values):
        return None
    items = describe.resolved(node.get("items", {}))
    found = _next_number(items, values[0], by)
    return [found] * len(values) if found is not None else None


def _next_number(node: describe.Node, value: float, by: int, *, by_one: bool = False) -> int | float | None:
    """Return the next value, within the bounds of the schema, or None."""
    if node.get("type") == "integer":
        small = value <= 0 or 1 <= min(value, value + by) <= max(value, value + by) <= 10
        found: int | float = int(value) + by if by_one or small else round(_next_in_decade(value, by))
    elif _is_share(node):
        found = round((math.floor(value * 10 + 1e-9) if by > 0 else math.ceil(value * 10 - 1e-9)) + by) / 10
    elif value > SMALLEST or (value == SMALLEST and (by > 0 or "minimum" not in node)):
        found = _next_in_decade(value, by)
    elif "minimum" in node or "exclusiveMinimum" in node:
        found = SMALLEST if by > 0 else 0.0
    else:
        found = value + by / 2
    is_allowed = _is_allowed(node, found) and found != value and abs(found) <= FARTHEST
    return found if is_allowed else None


def _is_share(node: describe.Node) -> bool:
    """Return whether a number lies between 0 and 1, as momentum and dropout do."""
    low, high = (node.get(limit, node.get(f"exclusive{limit.capitalize()}")) for limit in ("minimum", "maximum"))
    return low == 0 and high is not None and high <= 1


def _next_in_decade(value: float, by: int) -> float:
    """Return the next of … 0.1, 0.2, 0.5, 1, 2, 5, 10 …"""
    decade = math.floor(math.log10(value))
    steps = [float(f"{step}e{ten}") for ten in (decade - 1, decade) for step in _DECADE]
    if by > 0:
        return min(step for step in steps if step > value * (1 + 1e-9))
    return max(step for step in steps if step < value * (1 - 1e-9))


def _is_allowed(node: describe.Node, value: float) -> bool:
    low, above = node.get("minimum", -math.inf), node.get("exclusiveMinimum", -math.inf)
    high, below = node.get("maximum", math.inf), node.get("exclusiveMaximum", math.inf)
    return bool(low <= value <= high and above < value < below)


def shown(value: Any) -> str:
    """Return a knob's value as a person reads it: 0.05, tanh, true, 64 × 7."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return " ".join(shown(one) for one in value) or "–"
    return setting(value)
