"""A learner's work on a lab: the files, the runs, and the changes of the lab's preset."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.files import open_regular
from descent.common.i18n import _
from descent.common.settings import parse
from descent.common.text import clean, show
from descent.run.folder import RunFolder
from engine.labs import progress
from engine.labs.format import Grade
from engine.labs.library import Lab
from engine.preset import consent, overrides
from engine.preset.loading import Preset, load_preset
from engine.preset.schema import PresetModel

_OURS = ("title", "topic", "reaches", "lab")  # words about the preset, which do not change the training
_LOOKED_AT = ("train.statistics_every", "train.checkpoint_every", "train.keep")  # these do not change it either
_CODE_KEYS = tuple(f"{section}.code" for section in overrides.CODE_TABLES)
_FILE_KEYS = tuple(".".join(pair) for pair in overrides.FILES)
_OWN_FILES = ("start.py", "solution.py")  # names in the lab's folder; the learner has ID.py
NOTHING = "—"

Change = tuple[Any, Any]  # as the lab has it, as the learner has it
_PRESETS_TOP = 4096  # characters; `lab` is one of the first keys
Part = str | None


def changes(lab_id: str, start: Preset, theirs: Preset) -> dict[str, Change]:
    """Return every key that differs, with both values. A key that only one preset has is "—" in the other."""
    ours, given = settings(lab_id, start), settings(lab_id, theirs)
    keys = dict.fromkeys([*ours, *given])
    pairs = {key: (ours.get(key, NOTHING), given.get(key, NOTHING)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def refused(found: Mapping[str, Change], allowed: Sequence[str], fixed: Sequence[str], file: str) -> list[str]:
    """Return a sentence for each change that the lab does not allow.

    fixed: overrides of the preset for grading. A change of their keys has no effect, so it is allowed.
    """
    given = parse(fixed)[0]
    free = [*allowed, *_LOOKED_AT, *(".".join(one.path) for one in given)]
    return [
        _(
            "{file}: {key} = {given}: this lab leaves it at {own}; what you may change: {allowed}",
            file=clean(file),
            key=key,
            given=_shown(theirs),
            own=_shown(ours),
            allowed=", ".join(allowed) or NOTHING,
        )
        for key, (ours, theirs) in found.items()
        if not _is_among(key, free)
    ]


def _is_among(key: str, named: Sequence[str]) -> bool:
    """Return whether the key is one of these, or in one of these sections."""
    return any(key == one or key.startswith(f"{one}.") for one in named)


def not_to_be_chosen(found: Mapping[str, Change], own_code: str | None, file: str) -> list[str]:
    """Return a sentence for each changed key that names code, a file or a run other than the lab's.

    A lab's `changes` never allow that: sections have such keys too, and whoever grades would run and read what others
    chose. own_code: the name of the learner's file of code, if the lab has one.
    """
    complaints = []
    for key, (_ours, theirs) in found.items():
        if theirs == NOTHING or key not in _CODE_KEYS + _FILE_KEYS:
            continue
        given = {"file": clean(file), "key": key, "given": _shown(theirs)}
        if key in _FILE_KEYS:
            complaints.append(
                _("{file}: {key} = {given}: a lab has no other files or runs; remove this line", **given)
            )
        elif own_code is None:
            complaints.append(_("{file}: {key} = {given}: this lab takes no code; remove this line", **given))
        elif not theirs.startswith(f"{own_code}:"):
            complaints.append(
                _("{file}: {key} = {given}: this lab takes code from {own} only", own=own_code, **given)
            )
    return complaints


def _shown(value: Any) -> str:
    return NOTHING if value == NOTHING else show(value)


def settings(lab_id: str, preset: Preset) -> dict[str, Any]:
    """Return all settings by dotted key. Code and data beside the preset are given by their file name only."""
    tables = preset.settings.model_dump(by_alias=True, exclude_none=True, exclude=set(_OURS), mode="json")
    return {key: _named(lab_id, preset.path, key, value) for key, value in _flat(tables, "")}


def _flat(tables: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _named(lab_id: str, preset: Path | None, key: str, value: Any) -> Any:
    """Return the name that a file beside the preset has for both, the lab and the learner, else `value` itself."""
    if not isinstance(value, str) or not key.endswith((".code", ".path")) or preset is None:
        return value
    file, colon, name = value.rpartition(":") if key.endswith(".code") else (value, "", "")
    if Path(file).parent != preset.parent:
        return value
    own = f"{lab_id}.py" if Path(file).name in _OWN_FILES else Path(file).name
    return f"{own}{colon}{name}"


def is_of(run: RunFolder, lab_id: str) -> bool:
    """Return whether a run's preset names the lab. It does not if it can't be read."""
    try:
        with run.preset.open(encoding="utf-8") as file:
            return f"lab = {json.dumps(lab_id)}" in file.read(_PRESETS_TOP)
    except (OSError, ValueError):
        return False


def any_of(runs: Iterable[Path], lab_id: str) -> bool:
    """Return whether one of the run folders belongs to the lab, by the folder's name and by its preset."""
    return any(run.name.startswith(f"{lab_id}-") and is_of(RunFolder(run), lab_id) for run in runs)


def is_changed_run(lab: Lab, part: Part, run: RunFolder) -> bool:
    """Return whether the run trained with another value of what the learner may change than the lab begins with.

    The learner's code does not count: a run keeps it under another name. Raises DescentError if the run's preset is
    broken.
    """
    allowed = lab.model.changes if part is None else lab.model.parts[part].changes
    found = changes(lab.id, lab.preset(part), load_preset(run.preset))
    return any(_is_among(key, allowed) and key not in _CODE_KEYS for key in found)


@dataclass(frozen=True)
class Submission:
    """A learner's work. folder: of ID.toml, ID-PART.toml and ID.py. predictions: the answers by id."""

    lab: Lab
    folder: Path
    predictions: Mapping[str, Any]

    def file(self, part: Part = None) -> Path:
        return self.folder / (f"{self.lab.id}.toml" if part is None else f"{self.lab.id}-{part}.toml")

    @property
    def code(self) -> Path | None:
        """The learner's file of code, or None if the lab has none or the learner has removed it."""
        path = self.folder / f"{self.lab.id}.py"
        return path if self.lab.start_file is not None and path.is_file() else None

    def files(self) -> list[Path]:
        """Return all files for the learner to edit, even missing ones: the lab's preset, those of parts, the code."""
        presets = [self.file(part) for part in (None, *self.lab.model.parts)]
        return [*presets, *([self.folder / f"{self.lab.id}.py"] if self.lab.start_file is not None else [])]

    def parts(self) -> list[Part]:
        """Return the parts whose presets are trained for grading."""
        return [part for part in (None, *self.lab.model.parts) if self.grade(part) is not None]

    def grade(self, part: Part) -> Grade | None:
        return self.lab.model.grade if part is None else self.lab.model.parts[part].grade

    def allowed(self, part: Part) -> Sequence[str]:
        return self.lab.model.changes if part is None else self.lab.model.parts[part].changes

    def preset(self, part: Part) -> Preset:
        """Return the learner's preset. Raises DescentError if it is missing, PresetError if it is wrong."""
        path = self.file(part)
        if not path.is_file():
            shown = clean(str(path))
            raise DescentError(
                _("{file}: no such file; `descent lab start {id}` writes it", file=shown, id=self.lab.id)
            )
        return load_preset(path)

    def changed(self, part: Part, preset: Preset) -> dict[str, Change]:
        return changes(self.lab.id, self.lab.preset(part), preset)

    def complaints(self, part: Part, changed: Mapping[str, Change]) -> list[str]:
        """Return a sentence for each change that the lab does not allow."""
        grade, name = self.grade(part), self.file(part).name
        own_code = f"{self.lab.id}.py" if self.lab.start_file is not None else None
        foreign = not_to_be_chosen(changed, own_code, name)
        return foreign or refused(changed, self.allowed(part), grade.set if grade is not None else (), name)

    def graded(self, part: Part, preset: Preset, further: Sequence[str], code: Path | None) -> Preset:
        """Return the preset to grade: with the overrides that fix the seeds, and without the lab's id.

        code: the copy of the learner's file that it names in place of the file.
        """
        grade = self.grade(part)
        texts = [*(grade.set if grade is not None else ()), *further]
        fixed = preset.changed(texts) if texts else preset
        settings = on_the_cpu(fixed.settings.model_copy(update={"lab": None}))
        for section, spec in fixed.code.items():
            file, _colon, name = spec.rpartition(":")
            if code is not None and Path(file).name == code.name:
                of_copy = getattr(settings, section).model_copy(update={"code": f"{code}:{name}"})
                settings = settings.model_copy(update={section: of_copy})
        return Preset(settings, fixed.name, fixed.path)


def on_the_cpu(settings: PresetModel) -> PresetModel:
    """Return the settings with the device on which thresholds are calibrated, unless they name another one."""
    if settings.train.device != "auto":
        return settings
    return settings.model_copy(update={"train": settings.train.model_copy(update={"device": "cpu"})})


def of_learner(lab: Lab) -> Submission:
    """Return the work of this machine's learner, in the folder that `lab start` wrote into, else in the current one.

    Raises DescentError if there are no files, or code that the learner has not agreed to run.
    """
    record = progress.load().of(lab.id)
    folders = [Path(record.folder)] if record.folder is not None else []
    for folder in (*folders, Path.cwd()):
        work = Submission(lab, folder, record.predictions)
        if work.file().is_file():
            if work.code is not None:  # what `lab start` wrote was agreed to by its path
                consent.check_consent(f"{work.code.absolute()}:", False, key="lab")
            return work
    raise DescentError(_("{id}: not started; `descent lab start {id}` writes {id}.toml for you to edit", id=lab.id))


def content(files: Sequence[Path]) -> str:
    """Return a hash of the files' contents. A missing file counts as empty: some editors remove a file to save it."""
    digest = hashlib.sha256()
    for path in files:
        try:
            with open_regular(path) as file:
                data = file.read()
        except OSError:
            data = b""
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
