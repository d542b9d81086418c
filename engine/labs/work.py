"""A learner's work on a lab: where its files are, and what is graded of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import consent
from engine.errors import DescentError
from engine.labs import progress
from engine.labs.changes import Change, changes, refused
from engine.labs.format import Grade, Language
from engine.labs.library import Lab
from engine.labs.said import Said
from engine.preset import Preset, load_preset
from engine.texts import clean

Part = str | None


@dataclass(frozen=True)
class Work:
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

    def complaints(self, part: Part, changed: Mapping[str, Change]) -> list[Said]:
        """What the lab does not leave to the learner."""
        grade = self.grade(part)
        return refused(changed, self.allowed(part), grade.set if grade is not None else (), self.file(part).name)

    def graded(self, part: Part, preset: Preset, further: Sequence[str]) -> Preset:
        """The preset that is graded: with what fixes the seeds laid over it, and no longer the lab's."""
        grade = self.grade(part)
        texts = [*(grade.set if grade is not None else ()), *further]
        fixed = preset.changed(texts) if texts else preset
        return Preset(fixed.settings.model_copy(update={"lab": None}), fixed.name, fixed.path)


def of_learner(lab: Lab, *, allow_code: bool = False) -> Work:
    """What the learner of this machine has done: in the folder that `lab start` wrote into, else in this one.

    DescentError where there is nothing, or code that nobody has agreed to run.
    """
    record = progress.load().of(lab.id)
    folders = [Path(record.folder)] if record.folder is not None else []
    for folder in (*folders, Path.cwd()):
        work = Work(lab, folder, record.predictions)
        if work.file().is_file():
            if work.code is not None:  # what `lab start` wrote was agreed to by its path
                consent.check_consent(f"{work.code.absolute()}:", allow_code, key="lab")
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


def in_words(complaints: Sequence[Said], language: Language) -> str:
    return "\n".join(one.in_(language) for one in complaints)
