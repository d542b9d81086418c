"""Where a learner stands in a lab: read from its files and the learner's progress, for the screens to show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.errors import ExitCode
from engine.labs import flow, grading, progress
from engine.labs.format import Check, Language
from engine.labs.library import Lab, find_lab
from engine.labs.progress import Record
from engine.labs.verdict import instead
from engine.labs.work import Work, content
from tui.labs.words import word
from tui.numbers import percent

Next = Literal["start", "predict", "run", "check", "write", "explain", "done"]


@dataclass(frozen=True)
class Standing:
    """step: how far it is. outcomes: of the latest attempt, by the check's id: value, passed.

    trained: whether there was a run of it. verdict: the whole of the latest grading, where it is still there.
    unchanged: whether the learner's files are as they were then.
    """

    lab: Lab
    language: Language
    record: Record
    step: flow.Step
    outcomes: Mapping[str, tuple[Any, bool]]
    trained: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)
    unchanged: bool = False

    @property
    def next(self) -> Next:
        """What the learner does next. What was graded and is as it was is not graded again: it is to be mended."""
        if self.step != "run":
            return self.step
        if self.unchanged and self.verdict.get("exit_code") != ExitCode.DATA_MISSING:
            return "write"
        return "check" if self.trained or self.record.attempts else "run"

    @property
    def problem(self) -> str:
        """Why the files could not be graded as they are."""
        return str(self.verdict.get("problem") or "") if self.unchanged else ""

    @property
    def errors(self) -> dict[str, str]:
        """Why a criterion could not be met, by the check's id; a reason that several share is said once."""
        found: dict[str, str] = {}
        for check in self._checks:
            error = str(check.get("error") or "")
            if error and error not in found.values():
                found[str(check["id"])] = error
        return found

    @property
    def instead(self) -> dict[str, str]:
        """What was reached and what is wanted, by the check's id, where a criterion is about their distance."""
        return {str(check["id"]): instead(check, self.language) for check in self._checks}

    @property
    def _checks(self) -> list[Mapping[str, Any]]:
        """The verdict's, where they are those of the latest attempt."""
        return list(self.verdict.get("checks", ())) if self.outcomes else []

    @property
    def results(self) -> dict[str, Any]:
        """What came out of the predictions, by id, where it is known."""
        return {str(one["id"]): one.get("result") for one in self.verdict.get("predictions", ())}

    @property
    def title(self) -> str:
        return self.lab.text("title", self.language)

    @property
    def folder(self) -> Path:
        """Where the learner's files are, or will be."""
        return Path(self.record.folder) if self.record.folder else Path.cwd()

    @property
    def files(self) -> list[Path]:
        """The learner's files: presets first, then the code."""
        return Work(self.lab, self.folder, {}).files()

    @property
    def presets(self) -> list[tuple[Path, str]]:
        """Those that can be trained, each with its title, in the order in which the tasks speak of them."""
        titles = [self.title, *(part.title.of(self.language) for part in self.lab.model.parts.values())]
        presets = [path for path in self.files if path.suffix == ".toml"]
        tasks = " ".join(task.text.en for task in self.lab.model.tasks)
        named = {path.name: tasks.find(path.name) for path in presets}
        found = list(zip(presets, titles, strict=True))
        return sorted(found, key=lambda one: (named[one[0].name] < 0, named[one[0].name]))

    @property
    def met(self) -> tuple[int, int]:
        """How many of the criteria, the bonus left out, the latest attempt met."""
        wanted = [check for check in self.lab.model.checks if not check.bonus]
        return sum(self.outcomes.get(check.id, (None, False))[1] for check in wanted), len(wanted)


def look(lab_id: str, language: Language, *, trained: bool = False) -> Standing:
    """Read it anew. DescentError where there is no such lab, or where progress can't be read."""
    lab, known = find_lab(lab_id), progress.load()
    record = known.of(lab_id)
    latest = record.attempts[-1].checks if record.attempts else ()
    outcomes = {one.id: (one.value, one.passed) for one in latest}
    standing = Standing(lab, language, record, flow.step(lab, known), outcomes, trained)
    verdict = _verdict(lab_id) if record.started is not None else {}
    unchanged = bool(verdict) and verdict.get("files") == content(standing.files)
    return Standing(lab, language, record, standing.step, outcomes, trained, verdict, unchanged)


def _verdict(lab_id: str) -> dict[str, Any]:
    folder = grading.last_graded(lab_id)
    try:
        found = json.loads((folder / "verdict.json").read_bytes()) if folder is not None else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def shown(check: Check, value: Any) -> str:
    """A check's value as a person reads it."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return percent(value) if check.show == "percent" else f"{float(value):.4g}"
    return str(value)


def threshold(check: Check) -> str:
    """≥ 95.0%, ≤ 0.05, or nothing for what must be true."""
    limits = (("≥", check.least), ("≤", check.most))
    return " ".join(f"{sign} {shown(check, limit)}" for sign, limit in limits if isinstance(limit, int | float))


_NEXT = {
    "start": "files", "predict": "predict", "run": "run", "write": "write", "check": "check", "explain": "why",
    "done": "next lab",
}  # fmt: skip


def next_words(standing: Standing) -> str:
    """What enter does next."""
    return word(_NEXT[standing.next], standing.language)
