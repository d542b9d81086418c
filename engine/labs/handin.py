"""The zip to hand in, LAB-STUDENT.zip: who, when, the graded work, the verdict, attempts, edits, and a page."""

import getpass
import hashlib
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.files import json_bytes, replacing
from descent.common.i18n import _
from descent.common.text import clean, shorten, show, unwritable
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.means import mean_curve
from descent.run.metrics import Metrics
from descent.run.schema import ShapeError
from engine.labs import page, progress
from engine.labs.grading import copy_of_code, last_graded
from engine.labs.handed_in import FORMATS, MANIFEST, PAGE, manifest_of
from engine.labs.library import Lab
from engine.labs.progress import Record
from engine.labs.submission import Submission, is_of, of_learner, on_the_cpu
from engine.labs.verdict import read_verdict
from engine.preset.loading import load_preset

STUDENT = "DESCENT_STUDENT"  # the variable that says who works here, as an administrator sets it
LONGEST_NAME = 64
_MOST_RUNS = 100  # of the learner's own, whose edits are listed
_MOST_ROWS = 500  # of the graded run's metrics
_READABLE = 0o640  # by the group too: whoever grades is another user


@dataclass(frozen=True)
class Written:
    """A hand-in that was written. replaced: one of the same name, of the same lab, is gone."""

    path: Path
    student: str
    replaced: bool


def login() -> str:
    """Return the user's login, or "student" if the system knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "student"


def student_named(given: str) -> str:
    """Return a student's name or number as it is kept. Raises DescentError if it is empty or too long."""
    name = " ".join(clean(given).split())
    if not name or len(name) > LONGEST_NAME:
        raise DescentError(
            _(
                "{given}: a student's name or number has 1 to {most} characters",
                given=show(given),
                most=LONGEST_NAME,
            )
        )
    return name


def known_student() -> str | None:
    """Return who works here: $DESCENT_STUDENT, else what was said before, or None."""
    named = os.environ.get(STUDENT, "").strip()
    return student_named(named) if named else progress.load().student


def write(lab: Lab, to: Path, student: str) -> Written:
    """Write the hand-in of the last `lab check`, and return where.

    to: a file that ends with .zip, or a folder for LAB-STUDENT.zip. An earlier hand-in of theirs is replaced.
    Raises DescentError if there was no `lab check`, if the files have changed since, or if the file can't be written.
    """
    work, place = of_learner(lab), last_graded(lab.id)
    if place is None:
        raise DescentError(_("{id}: nothing to hand in yet; have it graded first: descent lab check {id}", id=lab.id))
    try:
        verdict = read_verdict(place)
    except (OSError, ShapeError) as error:
        raise DescentError(
            _(
                "{file} is damaged: {what}; have the lab graded again: descent lab check {id}",
                file=clean(str(place / "verdict.json")),
                what=shorten(clean(str(error)), 200),
                id=lab.id,
            )
        ) from None
    files = {file.name: file.read_bytes() for file in _files(work)}
    _check_graded(work, place, lab)
    edits, curves = learners_edits(lab.id), _curves(place / "runs" / "main")
    files |= {"verdict.json": json_bytes(verdict), "predictions.json": json_bytes(dict(work.predictions))}
    files |= {"edits.json": json_bytes(edits)} | ({"metrics.csv": _csv(curves).encode()} if curves else {})
    about = _about(lab, student, progress.load().of(lab.id))
    files[PAGE] = page.handed_in(lab, about, verdict, edits, curves, _code(work)).encode()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    files[MANIFEST] = json_bytes({**about, "sha256": hashes})
    path = to if to.suffix.lower() == ".zip" else to / file_name(lab.id, student)
    replaced = os.path.lexists(path)
    if replaced and not is_mine(path, about):
        raise DescentError(
            _(
                "{file} exists already, and is not what {student} has handed in for {id}; give another name",
                file=clean(str(path)),
                student=student,
                id=lab.id,
            )
        )
    write_zip(path, files)
    return Written(path, student, replaced)


def file_name(lab_id: str, student: str) -> str:
    """Return "LAB-STUDENT.zip". What a file system or a shell might not like in a name becomes "_"."""
    named = re.sub(r"[^\w.-]+", "_", student).strip("._") or "student"
    return f"{lab_id}-{named}.zip"


def is_mine(path: Path, about: Mapping[str, Any]) -> bool:
    """Return whether a zip is an earlier hand-in of the same lab, student and login."""
    there = manifest_of(path)
    return all(there.get(key) == about[key] for key in ("lab", "student", "login"))


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip that the group may read. Raises DescentError if it can't be written."""
    umask = os.umask(0)
    os.umask(umask)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path, _READABLE | (0o666 & ~umask)) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, content in files.items():
                archive.writestr(name, content)
    except OSError as error:
        raise unwritable(path, error) from None


def _about(lab: Lab, student: str, record: Record) -> dict[str, Any]:
    """Return who hands in what, when, and after which attempts and hints. Times are in UTC."""
    return {
        "format": max(FORMATS),
        "lab": lab.id,
        "lab_sha256": lab_hash(lab),
        "student": student,
        "login": login(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "started": record.started,
        "passed": record.passed,
        "attempts": record.count,
        "history": [attempt.model_dump(mode="json") for attempt in record.attempts],
        "hints": record.seen or ({"": record.hints} if record.hints else {}),
    }


def _code(work: Submission) -> str | None:
    return work.code.read_text(encoding="utf-8", errors="replace") if work.code is not None else None


def _files(work: Submission) -> list[Path]:
    presets = [work.file(part) for part in (None, *work.lab.model.parts)]
    return [path for path in [*presets, work.code] if path is not None and path.is_file()]


def _check_graded(work: Submission, place: Path, lab: Lab) -> None:
    """Raise DescentError if a file has changed since it was graded."""
    if work.code is not None and work.code.read_bytes() != copy_of_code(place, work.code).read_bytes():
        raise _edited_since(lab, work.code)
    for part in work.parts():
        graded = place / f"{part or 'main'}.toml"
        if not graded.is_file():
            continue
        code = copy_of_code(place, work.code) if work.code is not None else None
        if on_the_cpu(load_preset(graded).settings) != work.graded(part, work.preset(part), (), code).settings:
            raise _edited_since(lab, work.file(part))


def _edited_since(lab: Lab, file: Path) -> DescentError:
    return DescentError(
        _(
            "{id}: {file} was edited after grading; have it graded again: descent lab check {id}",
            id=lab.id,
            file=file.name,
        )
    )


def lab_hash(lab: Lab) -> str:
    """Return the SHA-256 of the lab's own file. Another version of a lab may ask for something else."""
    return hashlib.sha256((lab.folder / "lab.toml").read_bytes()).hexdigest()


# --- what the learner did ---


def learners_edits(lab_id: str) -> list[dict[str, Any]]:
    """Return the learner's own runs of the lab, the latest first, each with the live edits and their steps."""
    found: list[dict[str, Any]] = []
    for run in map(RunFolder, find.known_runs(paths.runs_dir(None))):
        if len(found) == _MOST_RUNS:
            break
        if (entry := _edits(run, lab_id)) is not None:
            found.append(entry)
    return found


def _edits(run: RunFolder, lab_id: str) -> dict[str, Any] | None:
    """Return a run's id, state and commands, or None if it is not a run of this lab."""
    if not is_of(run, lab_id):
        return None
    try:
        commands = [event for event in run.events() if event.get("event") == "command"]
        return {"run": run.id, "state": run.state(), "commands": commands}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a run that is being deleted, or of another version


# --- what came out ---


def _curves(run: Path) -> dict[str, tuple[Any, Any]]:
    """Return the mean curves of the graded run by name, as (steps, values). Without a run there are none."""
    metrics = Metrics(run) if run.is_dir() else None
    if metrics is None or metrics.layout is None or not len(metrics):
        return {}
    names = [name for name in ("loss", "accuracy", "lr", "grad_norm") if name in metrics.layout.columns]
    return {name: mean_curve(metrics, name, _MOST_ROWS) for name in names}


def _csv(curves: Mapping[str, tuple[Any, Any]]) -> str:
    steps = next(iter(curves.values()))[0]
    rows = np.column_stack([steps, *(values for _steps, values in curves.values())])
    lines = [",".join(["step", *curves])]
    lines += [",".join("" if not np.isfinite(value) else f"{value:.6g}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"
