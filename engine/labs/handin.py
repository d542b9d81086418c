"""A folder to hand in: the graded files, the verdict, and the live edits of the learner's own runs."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from descent.common import paths, stdio
from descent.common.errors import DescentError
from descent.common.files import write_atomically, write_json
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.means import mean_curve
from descent.run.metrics import Metrics
from descent.run.schema import ShapeError
from engine.labs import page
from engine.labs.grading import copy_of_code, last_graded
from engine.labs.library import Lab, find_lab
from engine.labs.submission import Submission, is_of, of_learner
from engine.labs.verdict import read_verdict
from engine.preset.loading import load_preset

FORMAT = 1
MANIFEST = "handin.json"
_MOST_RUNS = 100  # of the learner's own, whose edits are listed
_MOST_ROWS = 500  # of the graded run's metrics


def command(lab_id: str, folder: Path | None) -> int:
    """Write the folder, print its path, and return the exit code."""
    lab = find_lab(lab_id)
    written = write(lab, folder or Path.cwd() / f"{lab.id}-report")
    stdio.say(str(written))
    return 0


def write(lab: Lab, folder: Path) -> Path:
    """Write the hand-in of the last `lab check`, and return its folder.

    Raises DescentError if there was no `lab check`, if the files have changed since, or if the folder can't be made.
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
    files = _files(work)
    _check_graded(work, place, lab)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise DescentError(_("{folder} exists already; give another folder", folder=clean(str(folder)))) from None
    except OSError as error:
        shown = clean(str(folder))
        raise DescentError(_("{folder}: can't be made: {error}", folder=shown, error=error.strerror)) from None
    for file in files:
        shutil.copyfile(file, folder / file.name)
    write_json(folder / "verdict.json", verdict)
    write_json(folder / "predictions.json", dict(work.predictions))
    edits = learners_edits(lab.id)
    write_json(folder / "edits.json", edits)
    curves = _metrics(place / "runs" / "main", folder)
    page.write(folder, lab, verdict, edits, curves)
    names = sorted(path.name for path in folder.iterdir())
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    write_json(folder / MANIFEST, {"format": FORMAT, "lab": lab.id, "lab_sha256": lab_hash(lab), "sha256": hashes})
    return folder


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
        if load_preset(graded).settings != work.graded(part, work.preset(part), (), code).settings:
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


def _metrics(run: Path, folder: Path) -> dict[str, tuple[Any, Any]]:
    """Write the mean curves of the graded run to metrics.csv. Return them by name, as (steps, values)."""
    metrics = Metrics(run) if run.is_dir() else None
    if metrics is None or metrics.layout is None or not len(metrics):
        return {}
    names: list[str] = [name for name in ("loss", "accuracy", "lr", "grad_norm") if name in metrics.layout.columns]
    curves: dict[str, tuple[Any, Any]] = {name: mean_curve(metrics, name, _MOST_ROWS) for name in names}
    steps = next(iter(curves.values()))[0]
    write_atomically(folder / "metrics.csv", _csv(names, steps, [curves[name][1] for name in names]).encode())
    return curves


def _csv(names: Sequence[str], steps: Any, columns: Sequence[Any]) -> str:
    rows = np.column_stack([steps, *columns])
    lines = [",".join(["step", *names])]
    lines += [",".join("" if not np.isfinite(value) else f"{value:.6g}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"
