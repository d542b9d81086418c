"""Presets as the user's files: show them in full, copy, check and list them, and give editors their schema."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from descent.common.errors import DescentError, PresetError
from descent.common.files import create_text
from descent.common.i18n import _
from descent.common.text import clean, unwritable
from engine.preset.find import _preset_files, find, read_text, shipped_presets

SCHEMA_FILE = "preset.schema.json"
_SCHEMA_LINE = "#:schema "


def schema_text() -> str:
    """Return the JSON Schema of presets, as it is shipped beside them."""
    from engine.preset.schema import describe

    return json.dumps(describe.json_schema(), indent=2, ensure_ascii=False) + "\n"


def resolved(source: str, overrides: Sequence[str]) -> str:
    """Return the preset with every default written out, below its file's header comment."""
    from engine.preset.loading import load_preset

    preset = load_preset(source, overrides)
    notes = [f"# {note}" for note in preset.notes]
    return "\n".join([*_header(read_text(find(source))), *notes, preset.to_toml()])


def _header(text: str) -> list[str]:
    """Return the comments at the top of a file, without the line for editors that names the schema."""
    header: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(_SCHEMA_LINE):
            header.append(clean(line))
    return header


def copy(source: str, destination: Path) -> Path:
    """Copy a preset into a folder, or to a file that does not exist yet. Return the new file.

    Raises DescentError if the file exists or can't be written.
    """
    file = find(source)
    target = destination.expanduser()
    if target.is_dir() or str(destination).endswith(os.sep):
        target = target / file.name
    elif target.suffix != ".toml":
        target = target.with_name(target.name + ".toml")
    first, newline, rest = read_text(file).partition("\n")
    if first.startswith(_SCHEMA_LINE):
        first = _SCHEMA_LINE + (shipped_presets() / SCHEMA_FILE).as_uri()
    try:
        create_text(target, first + newline + rest)
    except FileExistsError:
        raise DescentError(_("{file} exists already; give another name", file=clean(str(target)))) from None
    except OSError as error:
        raise unwritable(target, error) from None
    return target


def check_files(files: Sequence[Path]) -> None:
    """Print "ok" for each file that is a valid preset. Raises PresetError with every problem in any of them."""
    from engine.preset.loading import load_preset

    problems: list[str] = []
    for file in files:
        try:
            load_preset(file)
        except PresetError as error:
            problems.append(str(error))
        else:
            print(f"{clean(str(file))}: ok")
    if problems:
        raise PresetError("\n".join(problems))


@dataclass(frozen=True)
class Entry:
    """A preset that was found. `broken` says what is wrong with it; it is empty for a valid preset."""

    name: str
    path: Path
    origin: str  # one of the three in engine.preset.find
    topic: str = ""
    title: str = ""
    reaches: str = ""
    broken: str = ""
    lab: str = ""  # the id of the lab, if this is the learner's copy of it or of one of its parts


def presets(containing: str = "") -> list[Entry]:
    """Return the presets whose name, topic or title contains a text, sorted by topic. Broken ones come last."""
    entries = [_entry(name, path, origin) for name, (path, origin) in _preset_files().items()]
    word = containing.casefold()
    return sorted(
        (e for e in entries if word in f"{e.name}\n{e.topic}\n{e.title}".casefold()),
        key=lambda entry: (bool(entry.broken), bool(entry.lab), entry.topic == "yours", entry.topic, entry.name),
    )


def files() -> dict[str, Path]:
    """Return the files of all presets by name, broken ones too."""
    return {name: path for name, (path, _origin) in _preset_files().items()}


def _entry(name: str, path: Path, origin: str) -> Entry:
    from engine.preset.loading import load_preset

    try:
        settings = load_preset(path).settings
    except PresetError as error:
        return Entry(name, path, origin, broken=str(error))
    lab = clean(settings.lab or "")
    title = clean(settings.title) or (_("your copy of the lab {id}", id=lab) if lab else "")
    return Entry(name, path, origin, clean(settings.topic), title, clean(settings.reaches), lab=lab)
