"""Applies overrides, `--set section.key=value`, to the tables of a preset's file."""

import json
import math
from collections.abc import Sequence
from typing import Any

from descent.common.i18n import _
from descent.common.settings import Override
from descent.common.text import clean, show
from engine.preset.schema import describe

CODE_SECTIONS = ("data", "model", "loss")  # whose kind `code` is the user's own
CODE_TABLES = (*CODE_SECTIONS, "train", "metrics")  # that can name code
FILES = (("data", "path"), ("model", "weights"), ("model", "from"))  # keys that name a file, or a run
_EITHER = (("train", "epochs", "steps"), ("members", "repeats", "folds"))  # of which a preset has one


def apply(settings: dict[str, Any], overrides: Sequence[Override]) -> list[str]:
    """Apply `overrides` to `settings`, in place. Return a note on each setting of the file that no longer applies."""
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
    """Return the kind that the overrides ask for, by section. The user's own code asks for the kind `code`."""
    names: dict[str, Any] = {o.path[0]: "code" for o in overrides if o.path[1:] == ("code",)}
    names = {section: name for section, name in names.items() if section in CODE_SECTIONS}
    return names | {o.path[0]: o.value for o in overrides if o.path[1:] == ("name",)}


def _rename(settings: dict[str, Any], section: str, name: Any) -> list[str]:
    """Change the kind of `section` to `name`. Remove each key that only its old kind had, and return a note on it."""
    table = settings.setdefault(section, {})
    kinds = describe.kinds(section)
    if not isinstance(table, dict) or not isinstance(name, str) or name not in kinds:
        return []
    old = table.get("name")
    old_keys = describe.keys(kinds[old]) if isinstance(old, str) and old in kinds else list(table)
    table["name"] = name
    lost = [key for key in table if key in old_keys and key not in describe.keys(kinds[name])]
    return [
        _(
            "{key} = {given} of the preset does not apply to {kind} and was left out",
            key=f"{section}.{clean(key)}",
            given=show(table.pop(key)),
            kind=name,
        )
        for key in lost
    ]


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


def toml(value: Any) -> str:
    """Return a value as TOML, whole and on one line."""
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
