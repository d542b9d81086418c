"""A folder to hand in: what was graded, what came out, and what the learner did on the way there."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common import paths, stdio
from descent.common.arrays import mean_over_members
from descent.common.errors import DescentError
from descent.common.files import write_atomically, write_json
from descent.common.text import clean
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.labs import page
from engine.labs.grading import last_graded
from engine.labs.library import Lab, find_lab
from engine.labs.submission import Submission, is_of, of_learner
from engine.preset.loading import load_preset

Floats = NDArray[np.float64]


def binned(steps: Floats, values: Floats, points: int) -> tuple[Floats, Floats]:
    """steps (n,), values (n, M) -> at most `points` of both: means over as many rows each, at the step of the last.

    nan where a model has no number among those rows.
    """
    parts = np.array_split(np.arange(len(steps)), min(points, len(steps)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows of which none was measured
        means = np.array([np.nanmean(values[rows], axis=0) for rows in parts])
    return np.array([steps[rows[-1]] for rows in parts]), means


def mean_curve(metrics: Metrics, name: str, points: int) -> tuple[Floats, Floats]:
    """Of a column: steps and means over the members, (points,) each."""
    assert metrics.layout is not None
    rows: NDArray[Any] = metrics.rows()[:, :, metrics.layout.columns.index(name)]
    steps, means = binned(np.arange(1.0, len(rows) + 1), np.asarray(rows, np.float64), points)
    return steps, mean_over_members(means)


FORMAT = 1
MANIFEST = "handin.json"
_MOST_RUNS = 100  # of the learner's own, whose edits are listed
_MOST_ROWS = 500  # of the graded run's metrics


def command(lab_id: str, folder: Path | None) -> int:
    """Write the folder and say where it is; the exit code."""
    lab = find_lab(lab_id)
    written = write(lab, folder or Path.cwd() / f"{lab.id}-report")
    stdio.say(str(written))
    return 0


def write(lab: Lab, folder: Path) -> Path:
    """The hand-in of the last `lab check`. DescentError where there was none, or the files have changed since."""
    work, place = of_learner(lab), last_graded(lab.id)
    if place is None:
        raise DescentError(f"{lab.id} was not graded yet: descent lab check {lab.id}")
    verdict = json.loads((place / "verdict.json").read_text(encoding="utf-8"))
    files = _files(work)
    _check_graded(work, place, lab)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise DescentError(f"{clean(str(folder))} is here already; name another folder") from None
    except OSError as error:
        raise DescentError(f"{clean(str(folder))} can't be made: {error.strerror}") from None
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
    """What is handed in is what was graded."""
    again = f"{lab.id}: {{}} was edited since it was graded; have it graded again: descent lab check {lab.id}"
    if work.code is not None and work.code.read_bytes() != (place / "code" / work.code.name).read_bytes():
        raise DescentError(again.format(work.code.name))
    for part in work.parts():
        graded = place / f"{part or 'main'}.toml"
        if graded.is_file() and load_preset(graded).settings != work.graded(part, work.preset(part), ()).settings:
            raise DescentError(again.format(work.file(part).name))


def lab_hash(lab: Lab) -> str:
    """Of the lab's own file: another version of a lab asks for something else."""
    return hashlib.sha256((lab.folder / "lab.toml").read_bytes()).hexdigest()


# --- what the learner did ---


def learners_edits(lab_id: str) -> list[dict[str, Any]]:
    """The learner's own runs of the lab, the latest first, each with the commands that changed it and their steps."""
    found: list[dict[str, Any]] = []
    for run in map(RunFolder, find.known_runs(paths.runs_dir(None))):
        if len(found) == _MOST_RUNS:
            break
        if (entry := _edits(run, lab_id)) is not None:
            found.append(entry)
    return found


def _edits(run: RunFolder, lab_id: str) -> dict[str, Any] | None:
    """None where it is no run of this lab."""
    if not is_of(run, lab_id):
        return None
    try:
        commands = [event for event in run.events() if event.get("event") == "command"]
        return {"run": run.id, "state": run.state(), "commands": commands}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a run that is being deleted, or of another version


# --- what came out ---


def _metrics(run: Path, folder: Path) -> dict[str, tuple[Any, Any]]:
    """Keep the mean curves of the graded run as metrics.csv; them, by name, as (steps, values)."""
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
