"""A lab as its screens show it: where its learner stands, and grading in its own process."""

import ast
import asyncio
import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from descent.common.arrays import mean_over_members
from descent.common.errors import NOT_PYTHON, ExitCode
from descent.common.i18n import N_, _
from descent.common.stages import Tell
from descent.common.text import clean, unmarked
from descent.run.find import known_runs
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.schema import ShapeError
from engine.labs import flow, grading, progress
from engine.labs.checks import catalogue, criterion
from engine.labs.explanation import UNFILLED
from engine.labs.format import Check
from engine.labs.grader import Grader
from engine.labs.library import Lab, find_lab
from engine.labs.messages import line_named
from engine.labs.progress import Record
from engine.labs.submission import Submission, content
from engine.labs.verdict import formed, instead, read_verdict
from engine.preset import code_copy
from tui.data import editing


async def grade(lab_id: str, folder: Path, tell: Tell) -> dict[str, Any]:
    """Return the verdict as `descent lab check --json` prints it. Raises DescentError if there is none.

    Cancelled, or when the app ends, the grader ends too: an attempt that nobody waits for counts nothing.
    """
    here = asyncio.get_running_loop()

    def tell_here(stage: str, name: str) -> None:
        here.call_soon_threadsafe(tell, stage, name)

    grader = Grader(lab_id, folder=folder, tell=tell_here)
    try:
        return await asyncio.to_thread(grader.wait)
    finally:
        await asyncio.to_thread(grader.end)


async def draw(lab_id: str, folder: Path) -> dict[str, Any]:
    """What the lab draws of the learner's saved code: see engine.labs.grading.draw. DescentError where that fails."""
    grader = Grader(lab_id, folder=folder, draw=True)
    try:
        return await asyncio.to_thread(grader.wait)
    finally:
        await asyncio.to_thread(grader.end)


def reached(record: Record) -> str:
    """How far the latest attempt came, and the best one where that came further; nothing before the first."""
    if not record.attempts:
        return ""
    latest = record.attempts[-1]
    best = round((record.best or 0.0) * latest.of)
    if best > latest.met:
        return _("{met} of {of} met, best {best}", met=latest.met, of=latest.of, best=best)
    return _("{met} of {of} met", met=latest.met, of=latest.of)


Next = Literal["start", "predict", "run", "check", "write", "explain", "done"]


@dataclass(frozen=True)
class LabStatus:
    """step: how far it is. outcomes: of the latest attempt, by the check's id: value, passed.

    trained: whether there was a run of it. verdict: the whole of the latest grading, where it is still there.
    unchanged: whether the learner's files are as they were then. to_write: the name of the code that the preset
    trains with, as long as it is not written.
    """

    lab: Lab
    record: Record
    step: flow.Step
    outcomes: Mapping[str, tuple[Any, bool]]
    trained: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)
    unchanged: bool = False
    to_write: str = ""

    @property
    def reached(self) -> str:
        """Return how far the latest grading came, in words."""
        return reached(self.record)

    @property
    def next(self) -> Next:
        """What the learner does next. Files that have not changed since they were graded are to be edited."""
        if self.step not in ("run", "predict"):
            return self.step
        if self.missing:
            return "start"
        if self.step == "predict":
            return "predict"
        if self.to_write:
            return "write"
        if self.unchanged and self.verdict.get("exit_code") != ExitCode.DATA_MISSING:
            return "write"
        return "check" if self.trained or self.record.attempts else "run"

    @property
    def has_begun(self) -> bool:
        """Whether anything was trained, graded or looked at: the introduction was read then."""
        return self.trained or bool(self.record.attempts or self.record.deeds)

    @property
    def has_to_predict(self) -> bool:
        """Whether a question is open: what the lab asks for may give its answer away."""
        return not self.outcomes and any(one.id not in self.record.predictions for one in self.lab.model.predictions)

    @property
    def is_outdated(self) -> bool:
        """Whether the files were changed since they were graded."""
        return bool(self.outcomes and self.verdict) and not self.unchanged

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
    def explanations(self) -> dict[str, str]:
        """The mistake behind a criterion that is not met, by the check's id; one that several share is said once."""
        found: dict[str, str] = {}
        for check in self._checks:
            text = str((check.get("explanation") or {}).get("text") or "")
            if text and text not in found.values():
                found[str(check["id"])] = text
        return found

    @property
    def unwritten(self) -> set[str]:
        """The ids of the checks whose function the learner has not written yet."""
        return {str(one["id"]) for one in self._checks if (one.get("explanation") or {}).get("id") == UNFILLED}

    @property
    def instead(self) -> dict[str, str]:
        """What was reached and what is wanted, by the check's id, where a criterion is about their distance."""
        return {str(check["id"]): instead(check) for check in self._checks}

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
        return str(self.lab.model.title)

    @property
    def folder(self) -> Path:
        """Where the learner's files are, or will be."""
        return Path(self.record.folder) if self.record.folder else Path.cwd()

    @property
    def files(self) -> list[Path]:
        """The learner's files: presets first, then the code."""
        return Submission(self.lab, self.folder, {}).files()

    @property
    def missing(self) -> list[Path]:
        """Those of the learner's files that are not there any more; none before they were put there."""
        return [path for path in self.files if not path.exists()] if self.record.started is not None else []

    @property
    def presets(self) -> list[tuple[Path, str]]:
        """Those that can be trained, each with its title, in the order in which the tasks speak of them."""
        titles = [self.title, *(str(part.title) for part in self.lab.model.parts.values())]
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


def unmet(status: LabStatus) -> list[Check]:
    """Return the criteria that the latest grading did not find met.

    Those whose function is still to be written are left out, unless there are no others.
    """
    outcomes = status.outcomes
    found = [
        one for one in status.lab.model.checks if not one.bonus and outcomes.get(one.id, (None, True))[1] is False
    ]
    return [check for check in found if check.id not in status.unwritten] or found


def first_unmet(status: LabStatus, file: Path) -> str:
    """Return the first criterion that the latest grading did not find met, with its reason; "" if there is none.

    Those of `file`, one of the learner's, come before the others.
    """
    for check in sorted(unmet(status), key=lambda check: not _is_of(check, file, status.lab.id)):
        return _told(status, check)
    return ""


def problems_of(status: LabStatus, file: Path) -> list[editing.Problem]:
    """Return what the latest grading said of lines of `file`, one of the learner's.

    An error is at its line, a function that returns something wrong at its first statement.
    """
    found = list[editing.Problem]()
    text = file.read_text(encoding="utf-8", errors="replace")
    for check in unmet(status):
        error = " → ".join(filter(None, [status.errors.get(check.id), status.explanations.get(check.id)]))
        line = line_named(error, file.name)
        if line is not None:
            found.append(editing.Problem(clean(error), line))
        elif file.suffix == ".py" and status.errors.get(check.id) is None:
            names = [name for source in criterion.sources(check) for name in catalogue.functions_asked(source)]
            line = next(filter(None, (editing.where_it_begins(text, name) for name in names)), None)
            found += [editing.Problem(_told(status, check), line)] if line is not None else []
    return found


def _told(status: LabStatus, check: Check) -> str:
    why = status.explanations.get(check.id) or status.errors.get(check.id) or status.instead.get(check.id)
    return clean(": ".join(filter(None, [unmarked(str(check.text)), why])))


def _is_of(check: Check, file: Path, lab_id: str) -> bool:
    """Return whether a check looks at this file: at the code, or at the run of a preset."""
    if any(catalogue.asks_code(source) for source in criterion.sources(check)):
        return file.suffix == ".py"
    return file.name == "-".join(filter(None, [lab_id, check.part])) + ".toml"


def changed_since(run: RunFolder, standing: LabStatus) -> list[str]:
    """Return the names of the learner's files that this run was trained with and that were written since it began."""
    presets = [path for path in standing.files if path.suffix == ".toml" and run.id.startswith(f"{path.stem}-")]
    trained = sorted(presets, key=lambda path: len(path.stem))[-1:]
    code = [Path(file).name for file in code_copy.changed_since(run.path)] if trained else []
    with contextlib.suppress(OSError):
        began = run.preset.stat().st_mtime_ns
        return [path.name for path in trained if path.is_file() and path.stat().st_mtime_ns > began] + code
    return []


def look_at_lab(lab_id: str, *, trained: bool = False) -> LabStatus:
    """Read it anew. Raises DescentError where there is no such lab, or where progress can't be read."""
    lab, known = find_lab(lab_id), progress.load()
    record = known.of(lab_id)
    latest = record.attempts[-1].checks if record.attempts else ()
    outcomes = {one.id: (one.value, one.passed) for one in latest}
    standing = LabStatus(lab, record, flow.step(lab, known), outcomes, trained)
    verdict = _verdict(lab_id) if record.started is not None else {}
    unchanged = bool(verdict) and verdict.get("files") == content(standing.files)
    return LabStatus(lab, record, standing.step, outcomes, trained, verdict, unchanged, _to_write(standing.files))


def _to_write(files: Sequence[Path]) -> str:
    """Return the name of the code in which a function that a preset trains with only raises NotImplementedError."""
    presets = "".join(_text(file) for file in files if file.suffix == ".toml")
    for file in files:
        wanted = re.findall(rf'"{re.escape(file.name)}:(\w+)"', presets)
        with contextlib.suppress(*NOT_PYTHON):  # the editor says what is wrong in it
            for function in ast.parse(_text(file)).body if wanted else []:
                if isinstance(function, ast.FunctionDef) and function.name in wanted:
                    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
                    if statements and "NotImplementedError" in ast.unparse(statements[0]):
                        return file.name
    return ""


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _verdict(lab_id: str) -> dict[str, Any]:
    folder = grading.last_graded(lab_id)
    try:
        return read_verdict(folder) if folder is not None else {}
    except (OSError, ShapeError):
        return {}


def shown(check: Check, value: Any) -> str:
    """A check's value as a person reads it."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int | float):
        return formed(value, check.show)
    return str(value)


def threshold(check: Check) -> str:
    """≥ 95.0%, ≤ 0.05, or nothing for what must be true."""
    limits = (("≥", check.least), ("≤", check.most))
    return " ".join(f"{sign} {shown(check, limit)}" for sign, limit in limits if isinstance(limit, int | float))


_NEXT: dict[Next, str] = {
    "start": N_("get files"),
    "predict": N_("predict"),
    "run": N_("train and watch"),
    "write": N_("edit files"),
    "check": N_("check"),
    "explain": N_("explanation"),
    "done": N_("next lab"),
}


def next_words(standing: LabStatus) -> str:
    """What enter does next."""
    return _(_NEXT[standing.next])


_RUN_ID = re.compile(r"(?P<preset>.+)-(?P<started>\d{6}-\d{6})-[a-z0-9]{4}")
BEFORE = 5  # runs at most that are looked at for one that has trained
DIVERGED = 10.0  # times the loss of its first step: a run that ends there has diverged


def run_before(run: RunFolder, runs_dir: Path) -> RunFolder | None:
    """Return the run of the same preset that was started before this one and has trained, if there is one.

    A run that has diverged is passed over: beside its curve, all others are flat.
    """
    mine = _RUN_ID.fullmatch(run.id)
    if mine is None:
        return None
    found = []
    for path in known_runs(runs_dir):
        other = _RUN_ID.fullmatch(path.name)
        if other is not None and other["preset"] == mine["preset"] and other["started"] < mine["started"]:
            found.append((other["started"], path))
    folders = (RunFolder(path) for _started, path in sorted(found, reverse=True)[:BEFORE])
    return next((folder for folder in folders if _has_trained(folder)), None)


def _has_trained(run: RunFolder) -> bool:
    """Return whether the run has made steps, and its loss has not grown out of bounds."""
    stored = Metrics(run.path)
    if stored.layout is None or "loss" not in stored.layout.columns or len(stored) < 2:
        return False
    column = stored.layout.columns.index("loss")
    first, last = (mean_over_members(stored.rows(at, at + 1)[:, :, column])[0] for at in (0, len(stored) - 1))
    return math.isfinite(last) and not last > DIVERGED * abs(first)
