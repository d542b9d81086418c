"""Where a learner stands in a lab: read from its files and the learner's progress, for the screens to show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.labs import flow, grading, progress
from engine.labs.format import Check, Language
from engine.labs.library import Lab, find_lab
from engine.labs.progress import Record
from tui.labs.words import word


@dataclass(frozen=True)
class Standing:
    """step: what comes next. outcomes: of the latest attempt, by the check's id: value, passed.

    trained: whether there was a run of it. verdict: the whole of the latest attempt, where it is still there.
    """

    lab: Lab
    language: Language
    record: Record
    step: flow.Step
    outcomes: Mapping[str, tuple[Any, bool]]
    trained: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> dict[str, str]:
        """Why a criterion could not be met, by the check's id; a reason that several share is said once."""
        found: dict[str, str] = {}
        for check in self.verdict.get("checks", ()):
            error = str(check.get("error") or "")
            if error and error not in found.values():
                found[str(check["id"])] = error
        return found

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
        names = [f"{self.lab.id}.toml", *(f"{self.lab.id}-{part}.toml" for part in self.lab.model.parts)]
        names += [f"{self.lab.id}.py"] if self.lab.start_file is not None else []
        return [self.folder / name for name in names]

    @property
    def presets(self) -> list[Path]:
        """Those that can be trained, the lab's own first."""
        return [path for path in self.files if path.suffix == ".toml"]

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
    trained = trained or bool(record.attempts)
    return Standing(
        lab, language, record, flow.step(lab, known), outcomes, trained, _verdict(lab_id) if latest else {}
    )


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
        return f"{100 * value:.1f} %" if check.show == "percent" else f"{float(value):.4g}"
    return str(value)


def threshold(check: Check) -> str:
    """≥ 95.0 %, ≤ 0.05, or nothing for what must be true."""
    limits = (("≥", check.least), ("≤", check.most))
    return " ".join(f"{sign} {shown(check, limit)}" for sign, limit in limits if isinstance(limit, int | float))


def next_words(standing: Standing) -> str:
    """What enter does next."""
    key = {"start": "files", "predict": "predict", "run": "run", "explain": "why", "done": "next lab"}[standing.step]
    if standing.step == "run" and standing.trained:
        key = "check"
    return word(key, standing.language)
