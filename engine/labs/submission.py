"""A learner's work on a lab: its files, its runs, and what was changed of the lab's preset."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.settings import parse
from descent.common.text import clean, show
from descent.run.folder import RunFolder
from engine.labs import progress
from engine.labs.format import Grade
from engine.labs.library import Lab
from engine.preset import consent
from engine.preset.loading import Preset, load_preset

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


def refused(found: Mapping[str, Change], allowed: Sequence[str], fixed: Sequence[str], file: str) -> list[str]:
    """A sentence for each change that the lab does not leave to the learner.

    fixed: what is laid over the preset for the grade, so that a change of it has no effect.
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


_PRESETS_TOP = 4096  # characters; `lab` is one of the first keys


def is_of(run: RunFolder, lab_id: str) -> bool:
    """Whether its preset names the lab; not where it can't be read."""
    try:
        with run.preset.open(encoding="utf-8") as file:
            return f"lab = {json.dumps(lab_id)}" in file.read(_PRESETS_TOP)
    except (OSError, ValueError):
        return False


def any_of(runs: Iterable[Path], lab_id: str) -> bool:
    """Whether one of the run folders is of the lab, by the name that Descent gives it and by its preset."""
    return any(run.name.startswith(f"{lab_id}-") and is_of(RunFolder(run), lab_id) for run in runs)


Part = str | None


@dataclass(frozen=True)
class Submission:
    """folder: where ID.toml, ID-PART.toml and ID.py are. predictions: as they were made."""

    lab: Lab
    folder: Path
    predictions: Mapping[str, Any]

    def file(self, part: Part = None) -> Path:
        return self.folder / (f"{self.lab.id}.toml" if part is None else f"{self.lab.id}-{part}.toml")

    @property
    def code(self) -> Path | None:
        """The learner's file of code, where it is there."""
        path = self.folder / f"{self.lab.id}.py"
        return path if self.lab.start_file is not None and path.is_file() else None

    def files(self) -> list[Path]:
        """All that are the learner's to edit, whether they are there or not: the presets, the lab's own first, and
        the code."""
        presets = [self.file(part) for part in (None, *self.lab.model.parts)]
        return [*presets, *([self.folder / f"{self.lab.id}.py"] if self.lab.start_file is not None else [])]

    def parts(self) -> list[Part]:
        """The presets that are trained for the grade."""
        return [part for part in (None, *self.lab.model.parts) if self.grade(part) is not None]

    def grade(self, part: Part) -> Grade | None:
        return self.lab.model.grade if part is None else self.lab.model.parts[part].grade

    def allowed(self, part: Part) -> Sequence[str]:
        return self.lab.model.changes if part is None else self.lab.model.parts[part].changes

    def preset(self, part: Part) -> Preset:
        """As the learner has it. PresetError."""
        path = self.file(part)
        if not path.is_file():
            raise DescentError(f"{clean(str(path))}: no such file; `descent lab start {self.lab.id}` writes it")
        return load_preset(path)

    def changed(self, part: Part, preset: Preset) -> dict[str, Change]:
        return changes(self.lab.id, self.lab.preset(part), preset)

    def complaints(self, part: Part, changed: Mapping[str, Change]) -> list[str]:
        """What the lab does not leave to the learner."""
        grade = self.grade(part)
        return refused(changed, self.allowed(part), grade.set if grade is not None else (), self.file(part).name)

    def graded(self, part: Part, preset: Preset, further: Sequence[str]) -> Preset:
        """The preset that is graded: with what fixes the seeds laid over it, and no longer the lab's."""
        grade = self.grade(part)
        texts = [*(grade.set if grade is not None else ()), *further]
        fixed = preset.changed(texts) if texts else preset
        return Preset(fixed.settings.model_copy(update={"lab": None}), fixed.name, fixed.path)


def of_learner(lab: Lab) -> Submission:
    """What the learner of this machine has done: in the folder that `lab start` wrote into, else in this one.

    DescentError where there is nothing, or code that nobody has agreed to run.
    """
    record = progress.load().of(lab.id)
    folders = [Path(record.folder)] if record.folder is not None else []
    for folder in (*folders, Path.cwd()):
        work = Submission(lab, folder, record.predictions)
        if work.file().is_file():
            if work.code is not None:  # what `lab start` wrote was agreed to by its path
                consent.check_consent(f"{work.code.absolute()}:", False, key="lab")
            return work
    raise DescentError(f"{lab.id} is not started: `descent lab start {lab.id}` writes {lab.id}.toml for you to edit")


def content(files: Sequence[Path]) -> str:
    """Changes when a file's content does; a file that is missing counts as empty, as it is for a moment in some
    editors' saves."""
    digest = hashlib.sha256()
    for path in files:
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
