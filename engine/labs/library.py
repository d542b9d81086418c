"""Where labs are found, and what a lab is once it has been read."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import language
from engine.labs.checks import evaluator
from engine.labs.format import LabModel, Solution
from engine.labs.messages import no_lab
from engine.preset import find
from engine.preset.find import path_shown, read_tables, read_text
from engine.preset.loading import Preset, checked
from engine.preset.messages import validated

LAB_FILE = "lab.toml"
SOLUTION_FILE = "solution.toml"
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Lab:
    """A lab and its folder. Its presets were checked when it was read."""

    id: str
    folder: Path
    origin: str  # "shipped", "yours" or "current folder"
    model: LabModel
    presets: dict[str | None, Preset] = field(repr=False)  # by part; None: the lab's own

    def preset(self, part: str | None = None) -> Preset:
        """What is trained, as the lab gives it to the learner; code is taken from start.py."""
        return self.presets[part]

    @property
    def start_file(self) -> Path | None:
        """The code that the learner is to fill, where there is some."""
        return self._there("start.py")

    def start_code(self) -> Path | None:
        """The same in the current language: start.ko.py for Korean, where there is one."""
        return (self._there("start.ko.py") if language() == "ko" else None) or self.start_file

    @property
    def solution_code(self) -> Path | None:
        """The same, filled."""
        return self._there("solution.py")

    def solution(self) -> Solution:
        """What solution.toml says. PresetError where there is none, or a broken one."""
        path = self.folder / SOLUTION_FILE
        return validated(Solution, read_tables(path), path_shown(path))

    def _there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None


@dataclass(frozen=True)
class BrokenLab:
    """A lab that can't be done: `error` says what is wrong with its files."""

    id: str
    folder: Path
    error: str


def labs() -> list[Lab]:
    """The labs that were found, in the order of the course."""
    return [found for found in all_labs() if isinstance(found, Lab)]


def all_labs() -> list[Lab | BrokenLab]:
    """The labs in the order of the course, then the broken ones."""
    found = [_read(name, folder, origin) for name, (folder, origin) in _folders().items()]
    whole = sorted((one for one in found if isinstance(one, Lab)), key=lambda lab: (lab.model.order, lab.id))
    return [*whole, *sorted((one for one in found if isinstance(one, BrokenLab)), key=lambda lab: lab.id)]


def find_lab(word: str) -> Lab:
    """The lab of that id; the nearest folder wins. DescentError where there is none, PresetError for a broken one."""
    folders = _folders()
    if word not in folders:
        raise DescentError(no_lab(word, folders))
    found = _read(word, *folders[word])
    if isinstance(found, BrokenLab):
        raise PresetError(found.error)
    return found


def is_known(word: str) -> bool:
    """Whether there is a lab of that id, broken or not."""
    return word in _folders()


def load_lab(folder: Path, origin: str = "current folder") -> Lab:
    """The lab in that folder. PresetError with all that is wrong."""
    path = folder / LAB_FILE
    shown = path_shown(path)
    tables = read_tables(path)
    if not isinstance(tables.get("lab"), dict):
        raise PresetError(f"{shown}: lab: missing; must be the table [lab], at the end of the file")
    model = validated(LabModel, tables.pop("lab"), shown, "lab.")
    _check_sources(model, shown)
    _check_ends_with_lab(path, tables, shown)
    presets: dict[str | None, Preset] = {None: _preset(folder, path, tables)}
    for name, part in model.parts.items():
        file = folder / part.preset
        tables = read_tables(file)
        if "lab" in tables:
            raise PresetError(f"{path_shown(file)}: lab: is put in when the lab is started; leave it out")
        presets[name] = _preset(folder, file, tables)
    return Lab(folder.name, folder, origin, model, presets)


def _read(name: str, folder: Path, origin: str) -> Lab | BrokenLab:
    try:
        return load_lab(folder, origin)
    except PresetError as error:
        return BrokenLab(name, folder, str(error))


def _preset(folder: Path, path: Path, tables: dict[str, Any]) -> Preset:
    """The preset of a lab's file; what is the learner's ID.py elsewhere is start.py here."""
    learners = f"{folder.name}.py:"
    for table in tables.values():
        code = table.get("code") if isinstance(table, dict) else None
        if isinstance(code, str) and code.startswith(learners):
            table["code"] = f"start.py:{code.removeprefix(learners)}"
    return checked({"lab": folder.name, **tables}, path)


def _check_sources(model: LabModel, shown: str) -> None:
    """Every expression is read once, so that a slip shows in the list and not when a learner is graded."""
    sources: list[tuple[str, Any]] = [(f"predictions.{one.id}.result", one.result) for one in model.predictions]
    for check in model.checks:
        sources += [(f"checks.{check.id}.{key}", getattr(check, key)) for key in ("value", "spread", "least", "most")]
        sources += [(f"checks.{check.id}.prepare", source) for source in check.prepare]
    problems: list[str] = []
    for key, source in sources:
        if isinstance(source, str):
            try:
                evaluator.parse(source)
            except evaluator.ExpressionError as error:
                problems.append(f"{shown}: lab.{key}: {error}")
    if problems:
        raise PresetError("\n".join(problems))


def _check_ends_with_lab(path: Path, tables: dict[str, Any], shown: str) -> None:
    """What the learner gets is the file up to its [lab] tables: no other table may follow them."""
    head, _ = split(read_text(path))
    try:
        is_whole = tomllib.loads(head) == tables
    except tomllib.TOMLDecodeError:
        is_whole = False
    if not is_whole:
        raise PresetError(f"{shown}: the tables [lab] and [lab.…] must come last, and stand nowhere else in the file")


def split(text: str) -> tuple[str, str]:
    """A lab's file as the preset, without the comment at its top, and the [lab] tables, which end it."""
    lines = text.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if re.match(r"\s*\[\[?\s*lab\s*[\].]", line)), len(lines))
    begin = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[begin:first]).strip("\n") + "\n", "".join(lines[first:])


def _folders() -> dict[str, tuple[Path, str]]:
    """Every lab's folder and origin by its id, which is the folder's name; the nearest wins."""
    here = Path.cwd()
    places = [(folder / "labs", origin) for folder, origin in find.preset_folders()]
    places += [(here / "labs", "current folder"), (here, "current folder")]
    found = {lab.name: (lab, origin) for place, origin in places for lab in _labs_in(place.absolute())}
    if (here / LAB_FILE).is_file() and _ID.fullmatch(here.name):  # in the lab's own folder
        found[here.name] = (here, "current folder")
    return found


def _labs_in(place: Path) -> list[Path]:
    try:
        return [lab for lab in place.iterdir() if _ID.fullmatch(lab.name) and (lab / LAB_FILE).is_file()]
    except OSError:
        return []
