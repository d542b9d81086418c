"""`--set section.key=value`: reading it, and laying it over what a preset's file says."""

import re
import tomllib
from collections.abc import Sequence
from datetime import date, time
from typing import Any, NamedTuple

from engine import allowed
from engine.texts import clean, show

# TOML wants digits on both sides of the point; people type .1 and 1. all the same.
_LOOSE_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
CODE_SECTIONS = ("data", "model", "loss")  # whose kind `code` is the user's own
CODE_TABLES = (*CODE_SECTIONS, "train")  # that can name code
_EITHER = (("train", "epochs", "steps"), ("members", "repeats", "folds"))  # of which a preset has one


class Override(NamedTuple):
    """One value, and the keys that lead to it: ("train", "batch_size")."""

    path: tuple[str, ...]
    value: Any


def parse(texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides, and a line for each text that is none."""
    found: list[Override] = []
    problems: list[str] = []
    for text in texts:
        key, equals, value = text.partition("=")
        path = _path(key.strip())
        if not equals or path is None:
            problems.append(f"--set {show(text)}: must have the form section.key=value, such as optimizer.lr=0.1")
        elif any("\ud800" <= c <= "\udfff" for c in text):
            problems.append(f"--set {show(text)}: is not valid UTF-8")
        else:
            found.append(Override(_sweep_path(path), _value(value.strip())))
    return found, problems


def key_of(text: str) -> str:
    """The key of "section.key=value"."""
    return text.partition("=")[0].strip()


def _sweep_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """members.sweep.optimizer.lr is members.sweep."optimizer.lr": the keys of a sweep are dotted themselves."""
    if path[:2] == ("members", "sweep") and len(path) > 3 and "." not in path[2]:
        return (*path[:2], ".".join(path[2:4]), *path[4:])
    return path


def _path(key: str) -> tuple[str, ...] | None:
    """The parts of a dotted key, quoted parts included; None where it is not a TOML key."""
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
    """The value as TOML reads it; what is not TOML is a string, and so is a date, which no key takes."""
    if _LOOSE_NUMBER.fullmatch(text):
        return float(text)
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = table["value"]
    return text if len(table) > 1 or isinstance(value, date | time) else value


def apply(settings: dict[str, Any], overrides: Sequence[Override]) -> list[str]:
    """Lay `overrides` over `settings`, in place. Returns notes on what of the file no longer applies."""
    notes = [note for section, name in _new_names(overrides).items() for note in _rename(settings, section, name)]
    given = {override.path for override in overrides}
    for section, one, other in _EITHER:
        for key, gives_way in ((one, other), (other, one)):
            table = settings.get(section)
            if isinstance(table, dict) and (section, key) in given:
                table.pop(gives_way, None)
    for override in overrides:
        _put(settings, override)
    return notes


def _new_names(overrides: Sequence[Override]) -> dict[str, Any]:
    """The kind that the overrides ask of each section; the user's own code asks for the kind `code`."""
    names: dict[str, Any] = {o.path[0]: "code" for o in overrides if o.path[1:] == ("code",)}
    names = {section: name for section, name in names.items() if section in CODE_SECTIONS}
    return names | {o.path[0]: o.value for o in overrides if o.path[1:] == ("name",)}


def _rename(settings: dict[str, Any], section: str, name: Any) -> list[str]:
    """Make `section` one of kind `name`; keys that only its old kind had go, each with a note."""
    table = settings.setdefault(section, {})
    kinds = allowed.kinds(section)
    if not isinstance(table, dict) or not isinstance(name, str) or name not in kinds:
        return []
    old = table.get("name")
    old_keys = allowed.keys(kinds[old]) if isinstance(old, str) and old in kinds else list(table)
    table["name"] = name
    lost = [key for key in table if key in old_keys and key not in allowed.keys(kinds[name])]
    left_out = f"of the preset does not apply to {name} and was left out"
    return [f"{section}.{clean(key)} = {show(table.pop(key))} {left_out}" for key in lost]


def _put(settings: dict[str, Any], override: Override) -> None:
    table = settings
    for depth, part in enumerate(override.path[:-1]):
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            if depth == 0:
                return  # `data = 3` in the file is an error of its own, which must not be hidden
            inner = table[part] = {}  # checkpoint_every = 1 gives way to checkpoint_every.steps
        table = inner
    table[override.path[-1]] = override.value
