"""Loading a preset: a TOML file, overrides laid over it, the result checked as a whole and frozen."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from engine import allowed, library, members, overrides, schema
from engine.complaints import Complaints
from engine.errors import PresetError
from engine.flat import flat
from engine.texts import clean

LARGEST_FILE = 1 << 20  # bytes; a preset has a few hundred, /dev/zero has no end


@dataclass(frozen=True)
class Preset:
    """What to train. `path` is the file it came from; `notes` are what the user should be told once."""

    settings: schema.PresetModel
    name: str
    path: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.settings.title

    @property
    def data(self) -> schema.AnyData:
        return self.settings.data

    @property
    def model(self) -> schema.AnyModel:
        return self.settings.model

    @property
    def loss(self) -> schema.AnyLoss:
        return self.settings.loss

    @property
    def optimizer(self) -> schema.AnyOptimizer:
        return self.settings.optimizer

    @property
    def schedule(self) -> schema.AnySchedule:
        return self.settings.schedule

    @property
    def train(self) -> schema.Train:
        return self.settings.train

    @property
    def members(self) -> schema.Members:
        return self.settings.members

    @property
    def code(self) -> dict[str, str]:
        """The "file.py:name" of the user's own code, by the section that names it."""
        settings = self.settings
        named = {name: getattr(getattr(settings, name), "code", None) for name in overrides.CODE_TABLES}
        return {name: spec for name, spec in named.items() if spec is not None}

    def flat(self) -> dict[str, Any]:
        """Every setting by its dotted key."""
        return flat(self.settings.model_dump(by_alias=True, exclude_none=True))

    def changed(self, texts: Sequence[str]) -> "Preset":
        """The same with overrides such as "optimizer.lr=0.1". PresetError where the result is not a preset."""
        assert self.path is not None
        settings = self.settings.model_dump(by_alias=True, exclude_none=True)
        return replace(checked(settings, self.path, texts), name=self.name)

    def to_toml(self) -> str:
        """The preset with every default written out; loading it gives the same settings again."""
        settings = self.settings.model_dump(by_alias=True, exclude_none=True)
        if self.members == schema.Members():
            del settings["members"]
        elif not self.members.sweep:
            del settings["members"]["sweep"]
        return _short_lists(tomli_w.dumps({key: _name_first(value) for key, value in settings.items()}))


def load_preset(source: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """Load a preset by its name or its file, with overrides such as "optimizer.lr=0.1" laid over it.

    Relative paths in the file are taken from the file's folder, those in overrides from the current folder.
    Raises PresetError, with a line for each thing that is wrong.
    """
    path = find(source)
    settings = read_tables(path)
    if not settings and not overrides:
        raise PresetError(f"{path_shown(path)}: is empty; a preset has {', '.join(allowed.sections())}")
    return checked(settings, path, overrides)


def read_tables(path: Path) -> dict[str, Any]:
    """What a TOML file says, unchecked. PresetError where it can't be read."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{path_shown(path)}: {_syntax(error, text)}") from None
    except (ValueError, RecursionError):
        raise PresetError(f"{path_shown(path)}: holds a number too long or lists too deep to read") from None


def checked(settings: dict[str, Any], path: Path, texts: Sequence[str] = ()) -> Preset:
    """The preset that the tables of the file at `path`, with overrides, make. It takes `settings` over.

    Raises PresetError, with a line for each thing that is wrong.
    """
    given, problems = overrides.parse(texts)
    complaints = Complaints(path_shown(path), given)
    notes = overrides.apply(settings, given)
    complaints.storable((), settings)
    complaints.tables(settings)
    _imply_names(settings)
    _join_sweep_keys(settings)
    _make_paths_absolute(settings, path.absolute().parent, given)
    try:
        model = schema.PresetModel.model_validate(settings, by_alias=True, by_name=False)
        model, wrong = members.checked(model, complaints)
        problems += wrong
    except ValidationError as error:
        complaints.schema(error, settings)
    problems += complaints.lines()
    if problems:
        raise PresetError("\n".join(problems))
    return Preset(model, path.stem, path.absolute(), tuple(notes))


def find(source: str | Path) -> Path:
    """A file by its path, or a preset by its name; a name wins over a file that happens to be called so."""
    text = os.path.expanduser(source)
    path = Path(text)
    if isinstance(source, Path) or os.sep in text or text.endswith(".toml"):
        return path
    try:
        return library.find_preset(text)
    except PresetError:
        if path.is_file():
            return path
        raise


def read_text(path: Path) -> str:
    """The text of a preset file; PresetError where there is none."""
    shown = path_shown(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        known = [entry.name for entry in library.presets() if entry.name == path.stem]
        hint = f"; the preset {known[0]} is run by its name, without .toml" if known else ""
        raise PresetError(f"{shown}: no such file{hint}") from None
    except IsADirectoryError:
        raise PresetError(f"{shown}: is a folder; name a preset's .toml file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PresetError(f"{shown}: can't be read: {reason}") from None
    if len(content) > LARGEST_FILE:
        raise PresetError(f"{shown}: is larger than {LARGEST_FILE >> 20} MiB; that is no preset")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PresetError(f"{shown}, line {line}: is not UTF-8 text") from None


def path_shown(path: Path) -> str:
    """The path as people write it: from the current folder where it lies below it."""
    try:
        return clean(str(path.absolute().relative_to(Path.cwd())))
    except (ValueError, OSError):
        return clean(str(path))


def _syntax(error: tomllib.TOMLDecodeError, text: str) -> str:
    """tomllib's message, with the place in front: 'line 3, column 5: …'."""
    reason, _, place = str(error).rpartition(" (at ")
    place = place.rstrip(")")
    if place == "end of document":
        place = f"line {text.count(chr(10)) + 1}"
    return clean(f"{place}: {reason}")


def _imply_names(settings: dict[str, Any]) -> None:
    """A section with the user's own code is of kind `code`; one that has a default kind may leave it out."""
    for section, node in allowed.json_schema()["properties"].items():
        table = settings.get(section)
        if not isinstance(table, dict) or "name" in table:
            continue
        if section in overrides.CODE_SECTIONS and "code" in table:
            table["name"] = "code"
        elif "name" in node.get("default", {}):
            table["name"] = node["default"]["name"]
    for section in allowed.json_schema()["required"]:
        settings.setdefault(section, {})  # so that the error says which of its keys are needed


def _join_sweep_keys(settings: dict[str, Any]) -> None:
    """sweep.optimizer.lr = […], which TOML reads as tables in tables, is sweep."optimizer.lr" = […]."""
    table = settings.get("members")
    sweep = table.get("sweep") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(sweep, dict):
        return
    joined: dict[str, Any] = {}
    for key, value in sweep.items():
        if key in allowed.sections() and isinstance(value, dict):
            joined.update({f"{key}.{inner}": choice for inner, choice in value.items()})
        else:
            joined[key] = value
    table["sweep"] = joined


def _make_paths_absolute(settings: dict[str, Any], folder: Path, given: Sequence[overrides.Override]) -> None:
    here = Path.cwd()
    for section, key in (
        ("data", "path"),
        ("model", "weights"),
        ("model", "from"),
        *((section, "code") for section in overrides.CODE_TABLES),
    ):
        table = settings.get(section)
        text = table.get(key) if isinstance(table, dict) else None
        if not isinstance(table, dict) or not isinstance(text, str) or not text:
            continue
        base = here if any((section, key)[: len(o.path)] == o.path for o in given) else folder
        file, colon, name = text.rpartition(":") if key == "code" else (text, "", "")
        absolute = os.path.abspath(base / os.path.expanduser(file))
        # `from` may name a run too: an id, or `last`.
        if file and (key != "from" or os.path.exists(absolute)):
            table[key] = absolute + colon + name


def _name_first(section: Any) -> Any:
    if isinstance(section, dict) and "name" in section:
        return {"name": section["name"], **section}
    return section


def _short_lists(toml: str) -> str:
    """tomli_w gives each item of a list a line of its own; a preset reads better with the list on one."""
    lines: list[str] = []
    items: list[str] | None = None
    for line in toml.splitlines():
        if items is None and line.endswith(" = ["):
            items = [line]
        elif items is None:
            lines.append(line)
        elif line == "]":
            lines.append(items[0] + " ".join(items[1:]).removesuffix(",") + "]")
            items = None
        else:
            items.append(line.strip())
    return "\n".join(lines) + "\n"
