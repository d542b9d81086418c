"""What a learner has changed of a lab's preset, and whether the lab leaves it to be changed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine import overrides
from engine.labs import said
from engine.labs.said import Said
from engine.preset import Preset
from engine.texts import clean, show

_OURS = ("title", "topic", "reaches", "lab")  # words about the preset, which train nothing
_LOOKED_AT = ("train.statistics_every", "train.checkpoint_every", "train.keep")  # the training is the same
_OWN_FILES = ("start.py", "solution.py")  # in the lab's folder, what is ID.py in the learner's
NOTHING = "—"

Change = tuple[Any, Any]  # as the lab has it, as the learner has it


def changes(lab_id: str, start: Preset, theirs: Preset) -> dict[str, Change]:
    """Every key that differs, with both values; a key that only one of them has stands against "—"."""
    ours, given = settings(lab_id, start), settings(lab_id, theirs)
    keys = dict.fromkeys([*ours, *given])
    pairs = {key: (ours.get(key, NOTHING), given.get(key, NOTHING)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def refused(found: Mapping[str, Change], allowed: Sequence[str], fixed: Sequence[str], file: str) -> list[Said]:
    """A sentence for each change that the lab does not leave to the learner.

    fixed: what is laid over the preset for the grade, so that a change of it has no effect.
    """
    given, _ = overrides.parse(fixed)
    free = [*allowed, *_LOOKED_AT, *(".".join(one.path) for one in given)]
    return [
        said.CHANGED.with_(
            file=clean(file), key=key, given=_shown(theirs), own=_shown(ours), allowed=", ".join(allowed) or NOTHING
        )
        for key, (ours, theirs) in found.items()
        if not any(key == one or key.startswith(f"{one}.") for one in free)
    ]


def _shown(value: Any) -> str:
    return NOTHING if value == NOTHING else show(value)


def settings(lab_id: str, preset: Preset) -> dict[str, Any]:
    """All settings by dotted key; code and data that lie beside the preset by their name alone."""
    tables = preset.settings.model_dump(by_alias=True, exclude_none=True, exclude=set(_OURS), mode="json")
    return {key: _named(lab_id, preset.path, key, value) for key, value in _flat(tables, "")}


def _flat(tables: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _named(lab_id: str, preset: Path | None, key: str, value: Any) -> Any:
    """The lab and the learner have code and data in folders of their own. What lies elsewhere is not the lab's."""
    if not isinstance(value, str) or not key.endswith((".code", ".path")) or preset is None:
        return value
    file, colon, name = value.rpartition(":") if key.endswith(".code") else (value, "", "")
    if Path(file).parent != preset.parent:
        return value
    own = f"{lab_id}.py" if Path(file).name in _OWN_FILES else Path(file).name
    return f"{own}{colon}{name}"
