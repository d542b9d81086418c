"""Finding and reading labs."""

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _, language
from descent.common.text import clean, did_you_mean
from engine.labs.checks import catalogue, evaluator
from engine.labs.format import LabModel, Part, Solution
from engine.labs.messages import no_lab
from engine.preset import find
from engine.preset.find import CURRENT_FOLDER, path_shown, read_tables, read_text
from engine.preset.loading import Preset, checked
from engine.preset.messages import validated
from engine.preset.schema import describe

LAB_FILE = "lab.toml"
SOLUTION_FILE = "solution.toml"
INSTRUCTOR = "DESCENT_INSTRUCTOR"  # the variable that names the folder of what learners are not to have
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Lab:
    """A lab and its folder. Its presets were checked when it was read."""

    id: str
    folder: Path
    origin: str  # one of the three in engine.preset.find
    model: LabModel
    presets: dict[str | None, Preset] = field(repr=False)  # by part; None: the lab's own

    def preset(self, part: str | None = None) -> Preset:
        """Return the preset that the lab gives to the learner. Its code is start.py."""
        return self.presets[part]

    @property
    def start_file(self) -> Path | None:
        """The code that the learner is to complete, or None if the lab has none."""
        return self._there("start.py")

    def start_code(self) -> Path | None:
        """Return that file in the current language: start.ko.py for Korean, if there is one."""
        return (self._there("start.ko.py") if language() == "ko" else None) or self.start_file

    @property
    def solution_code(self) -> Path | None:
        """The completed code, or None if the lab has none."""
        return self._apart("solution.py")

    def solution(self) -> Solution:
        """Return what solution.toml says. Raises PresetError if there is none, or a broken one."""
        path = self._apart(SOLUTION_FILE)
        if path is None:
            raise PresetError(
                _(
                    "{id}: its solution is not beside it; who teaches it may have it elsewhere ($DESCENT_INSTRUCTOR)",
                    id=self.id,
                )
            )
        return validated(Solution, read_tables(path), path_shown(path))

    def _apart(self, name: str) -> Path | None:
        """Return a file of the solution: in the lab's folder, or in that of the instructor."""
        instructor = instructor_folder()
        path = instructor / self.id / name if instructor is not None else None
        return self._there(name) or (path if path is not None and path.is_file() else None)

    def _there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None


@dataclass(frozen=True)
class BrokenLab:
    """A lab with broken files. `error` says what is wrong with them."""

    id: str
    folder: Path
    error: str


def instructor_folder() -> Path | None:
    """Return the folder of what only the instructor has, ID/hidden.toml and solutions, or None."""
    named = os.environ.get(INSTRUCTOR, "").strip()
    return Path(named).expanduser().absolute() if named else None


def instructor_of(given: Path | None) -> Path | None:
    """Return the instructor's folder: the given one, else that of the variable.

    Raises DescentError if it is not there: a class would be graded without what is hidden, and nobody told.
    """
    folder = given or instructor_folder()
    if folder is not None and not folder.is_dir():
        raise DescentError(
            _(
                "{folder}: no such folder; {option} or ${variable} names that of ID/hidden.toml",
                folder=clean(str(folder)),
                option="--instructor",
                variable=INSTRUCTOR,
            )
        )
    return folder


def labs() -> list[Lab]:
    """Return the labs that were found, in the order of the course."""
    return [found for found in all_labs() if isinstance(found, Lab)]


def all_labs() -> list[Lab | BrokenLab]:
    """Return the labs in the order of the course, then the broken ones."""
    found = [_read(name, folder, origin) for name, (folder, origin) in _folders().items()]
    whole = sorted((one for one in found if isinstance(one, Lab)), key=lambda lab: (lab.model.order, lab.id))
    return [*whole, *sorted((one for one in found if isinstance(one, BrokenLab)), key=lambda lab: lab.id)]


def find_lab(word: str) -> Lab:
    """Return the lab of that id; the nearest folder wins.

    Raises DescentError if there is none, PresetError if it is broken.
    """
    folders = _folders()
    if word not in folders:
        raise DescentError(no_lab(word, folders))
    found = _read(word, *folders[word])
    if isinstance(found, BrokenLab):
        raise PresetError(found.error)
    return found


def is_known(word: str) -> bool:
    """Return whether there is a lab of that id, broken or not."""
    return word in _folders()


def load_lab(folder: Path, origin: str = CURRENT_FOLDER) -> Lab:
    """Return the lab in that folder. Raises PresetError with everything that is wrong with it."""
    path = folder / LAB_FILE
    shown = path_shown(path)
    tables = read_tables(path)
    if not isinstance(tables.get("lab"), dict):
        raise PresetError(_("{file}: lab: missing; must be the table [lab], at the end of the file", file=shown))
    if "hidden" in tables["lab"]:
        raise PresetError(
            _(
                "{file}: lab.hidden: learners read this file; put the table into {id}/hidden.toml in a folder of "
                "your own, and name that folder by $DESCENT_INSTRUCTOR or --instructor",
                file=shown,
                id=folder.name,
            )
        )
    model = validated(LabModel, tables.pop("lab"), shown, "lab.")
    check_sources(model, shown)
    _check_settings(model, shown)
    _check_ends_with_lab(path, tables, shown)
    presets: dict[str | None, Preset] = {None: _preset(folder, path, tables)}
    for name, part in model.parts.items():
        file = folder / part.preset
        tables = read_tables(file)
        if "lab" in tables:
            raise PresetError(_("{file}: lab: `descent lab start` adds this key; remove it", file=path_shown(file)))
        presets[name] = _preset(folder, file, tables)
    return Lab(folder.name, folder, origin, model, presets)


def _read(name: str, folder: Path, origin: str) -> Lab | BrokenLab:
    try:
        return load_lab(folder, origin)
    except PresetError as error:
        return BrokenLab(name, folder, str(error))


def _preset(folder: Path, path: Path, tables: dict[str, Any]) -> Preset:
    """Return the preset of a lab's file. The learner's ID.py is start.py in the lab's folder."""
    learners = f"{folder.name}.py:"
    for table in tables.values():
        code = table.get("code") if isinstance(table, dict) else None
        if isinstance(code, str) and code.startswith(learners):
            table["code"] = f"start.py:{code.removeprefix(learners)}"
    return checked({"lab": folder.name, **tables}, path)


def check_sources(model: LabModel, shown: str) -> None:
    """Read every expression once. A mistake then shows in the list of labs, not when a learner is graded.

    Raises PresetError with all that can't be read, and all names and functions that there are not.
    """
    sources: list[tuple[str, Any, Sequence[str]]] = []
    sources += [(f"predictions.{one.id}.result", one.result, ()) for one in model.predictions]
    for check in model.checks:
        place = f"checks.{check.id}"
        sources += [(f"{place}.{key}", getattr(check, key), ()) for key in ("value", "spread", "least", "most")]
        sources += [(f"{place}.prepare", source, ()) for source in check.prepare]
    for drawing in model.draw:
        place, walk, graph = f"draw.{drawing.id}", drawing.walk, drawing.graph
        if graph is not None:
            sources += [(f"{place}.graph.{key}", getattr(graph, key), ()) for key in ("nodes", "gradients", "right")]
        if walk is not None:
            given = {"loss": ("p",), "path": ("n",), "gradient": ("p",)}
            sources += [(f"{place}.walk.{key}", getattr(walk, key), names) for key, names in given.items()]
        for row in drawing.rows:
            sources += [(f"{place}.rows", source, ()) for source in (*row.prepare, row.yours, row.right)]
    found: list[str] = []
    for key, source, names in sources:
        if isinstance(source, str):
            try:
                found += [f"{shown}: lab.{key}: {problem}" for problem in catalogue.problems(source, names)]
            except evaluator.ExpressionError as error:
                found.append(f"{shown}: lab.{key}: {error}")
    if found:
        raise PresetError("\n".join(found))


def _check_settings(model: LabModel, shown: str) -> None:
    """Raise PresetError if a knob, or what may be changed, is no setting of a preset, or a knob may not be turned."""
    tables: list[tuple[str, LabModel | Part]] = [("lab", model)]
    tables += [(f"lab.parts.{name}", part) for name, part in model.parts.items()]
    no_setting = _("no preset has this setting")
    for place, table in tables:
        is_free = isinstance(table, Part) and table.grade is None
        for key in table.changes:
            setting = ".".join(key.split(".")[:2])  # it may name one within: "train.early_stopping.patience"
            if setting not in describe.sections() and not describe.is_known(setting):
                raise PresetError(f"{shown}: {place}.changes: {key}: {no_setting}{_meant(key)}")
        for knob in table.knobs:
            problem = ""
            if not describe.is_known(knob.key):
                problem = no_setting + _meant(knob.key)
            elif not is_free and not any(knob.key == one or knob.key.startswith(f"{one}.") for one in table.changes):
                problem = _("must be among `changes`, or the grader refuses what the learner turns it to")
            if problem:
                raise PresetError(f"{shown}: {place}.knobs: {knob.key}: {problem}")


def _meant(key: str) -> str:
    """Return which setting of a preset a key may have been meant for, in words."""
    section, dot, _name = key.partition(".")
    known = [f"{section}.{name}" for name in describe.names_in(section)] if dot else []
    return did_you_mean(key, known or describe.sections())


def _check_ends_with_lab(path: Path, tables: dict[str, Any], shown: str) -> None:
    """Raise PresetError unless the [lab] tables end the file. The learner gets the file up to them."""
    head = split(read_text(path))[0]
    try:
        is_whole = tomllib.loads(head) == tables
    except tomllib.TOMLDecodeError:
        is_whole = False
    if not is_whole:
        raise PresetError(_("{file}: the tables [lab] and [lab.…] must all be at the end of the file", file=shown))


def split(text: str) -> tuple[str, str]:
    """Split a lab's file into the preset, without the comment at its top, and the [lab] tables that end it."""
    lines = text.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if re.match(r"\s*\[\[?\s*lab\s*[\].]", line)), len(lines))
    begin = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[begin:first]).strip("\n") + "\n", "".join(lines[first:])


def _folders() -> dict[str, tuple[Path, str]]:
    """Return every lab's folder and origin by its id, which is the folder's name. The nearest wins."""
    here = Path.cwd()
    places = [(folder / "labs", origin) for folder, origin in find.preset_folders()]
    places += [(here / "labs", CURRENT_FOLDER), (here, CURRENT_FOLDER)]
    found = {lab.name: (lab, origin) for place, origin in places for lab in _labs_in(place.absolute())}
    if (here / LAB_FILE).is_file() and _ID.fullmatch(here.name):  # in the lab's own folder
        found[here.name] = (here, CURRENT_FOLDER)
    return found


def _labs_in(place: Path) -> list[Path]:
    try:
        return [lab for lab in place.iterdir() if _ID.fullmatch(lab.name) and (lab / LAB_FILE).is_file()]
    except OSError:
        return []
