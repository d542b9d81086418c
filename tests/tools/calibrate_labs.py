"""Measures how far a lab's thresholds are from what its solution, or its start, reaches.

    python -m tests.tools.calibrate_labs ID [--seeds 20] [--solution | --start] [--write]

Grades the lab once with its own seeds and then with others, all by the one grader, and prints for each check the
mean, standard deviation and range of its value, and the threshold's distance in standard deviations. --write keeps
the curve of the solution over all those seeds as the lab's reference.json.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.run.folder import RunFolder
from descent.run.means import binned
from descent.run.metrics import Metrics
from engine.labs.format import Goal
from engine.labs.graded_runs import Job, train
from engine.labs.grading import grade
from engine.labs.library import Lab, find_lab
from engine.labs.submission import Submission
from engine.labs.tryout import APART, solved, started
from engine.labs.verdict import Result, Verdict
from engine.preset import datasets
from tests.helpers.lab_solutions import on_data_at_hand

POINTS = 100
LONGEST = 60.0  # seconds of a run that no check looks at


class Curves(NamedTuple):
    """Of all members of a run. series: of which split. steps: (n,). values: (n, M)."""

    series: str
    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.calibrate_labs", description=__doc__.split("\n")[0])
    parser.add_argument("id")
    parser.add_argument("--seeds", type=int, default=20, help="gradings, the lab's own seeds first")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--solution", action="store_true", help="calibrate the reference solution (the default)")
    which.add_argument("--start", action="store_true", help="calibrate the unsolved start")
    parser.add_argument("--write", action="store_true", help="write reference.json")
    given = parser.parse_args(arguments)
    lab = find_lab(given.id)
    with tempfile.TemporaryDirectory(prefix="descent-calibrate-") as folder:
        work = (started if given.start else solved)(lab, Path(folder) / "work")
        on_data_at_hand(work, datasets.data_root(None))
        verdicts, curves = _graded(lab, work, Path(folder), given.seeds)
    print(f"{lab.id}, {'start' if given.start else 'solution'}, {len(verdicts)} gradings of other seeds each")
    for results in zip(*(verdict.checks for verdict in verdicts), strict=True):
        _say(results)
    times = [verdict.seconds for verdict in verdicts]
    print(f"passed {sum(verdict.passed for verdict in verdicts)} of {len(verdicts)}")
    print(f"seconds of a grading: {statistics.fmean(times):.1f}, {min(times):.1f} to {max(times):.1f}")
    if given.write and curves:
        _write(lab, curves)
    return 0


def _graded(lab: Lab, work: Submission, folder: Path, seeds: int) -> tuple[list[Verdict], list[Curves]]:
    """A verdict and the curves of each."""
    verdicts: list[Verdict] = []
    curves: list[Curves] = []
    goal = _goal(lab)
    for turn in range(seeds):
        place = folder / f"graded-{turn}"
        place.mkdir()
        own = work.graded(None, work.preset(None), (), None).train.seed
        further = [f"train.seed={own + APART * turn}"] if turn else []
        verdict = grade(work, place, further=further)
        verdicts.append(verdict)
        if verdict.problem is not None:
            print(verdict.problem)
            break
        run = place / "runs" / "main"
        if not run.is_dir() and work.grade(None) is not None:  # no check looks at it, but its curve is wanted
            job = Job("main", work.graded(None, work.preset(None), further, None), LONGEST)
            agreed = hashlib.sha256(work.code.read_bytes()).hexdigest() if work.code is not None else ""
            train([job], place, datasets.data_root(None), lambda _: None, agreed)
        if run.is_dir():
            curves.append(_curve(run, goal))
        marks = " ".join(f"{check.id}={_number(check)}{'' if check.passed else '!'}" for check in verdict.checks)
        print(f"{turn + 1:>3} {verdict.seconds:5.1f} s  {marks}", flush=True)
    return verdicts, curves


def _number(check: Result) -> str:
    return f"{check.value:.5g}" if isinstance(check.value, float) else str(check.value)


def _say(results: Sequence[Result]) -> None:
    """One check over all gradings."""
    first, met = results[0], sum(result.passed for result in results)
    line = f"{first.id:<20} met {met}/{len(results)}"
    values = [result.value for result in results if isinstance(result.value, float)]
    if values:
        mean, sd = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        line += f"  mean {mean:.5g}  sd {sd:.3g}  {min(values):.5g} to {max(values):.5g}"
        line += f"  {first.relation} {first.threshold}  margin {_margin(first, mean, sd)}"
    print(line)
    for error in dict.fromkeys(result.error for result in results if result.error):
        print(f"    {error}")


def _margin(result: Result, mean: float, sd: float) -> str:
    """How many standard deviations the mean is on the right side of the threshold."""
    limit = result.threshold
    if not isinstance(limit, float) or not np.isfinite(mean):
        return "—"
    distance = mean - limit if result.relation == "least" else limit - mean
    return f"{distance / sd:.1f} sd" if sd else ("no spread" if distance >= 0 else "no spread, missed")


def _goal(lab: Lab) -> Goal:
    """What the reference curve is of: the first goal of the lab's own preset."""
    goals = [check.goal for check in lab.model.checks if check.goal is not None and check.part is None]
    return goals[0] if goals else Goal(chart="loss", series="train")


def _curve(run: Path, goal: Goal) -> Curves:
    """Of the training rows; of the evaluations on the validation split where the goal is about another one. That of
    the test split is measured once, at the end."""
    metrics = Metrics(run)
    assert metrics.layout is not None
    events = [e for e in RunFolder(run).events() if e["event"] == "evaluation" and e["split"] == "validation"]
    if goal.series != "train" and events and goal.chart in ("loss", "accuracy"):
        steps = sorted({event["step"] for event in events})
        values = np.full((len(steps), len(metrics.layout.members)), np.nan)
        for event in events:
            if event.get(goal.chart) is not None:
                values[steps.index(event["step"]), event["member"]] = event[goal.chart]
        return Curves("validation", np.array(steps, np.float64), values)
    rows = metrics.rows()[:, :, metrics.layout.columns.index(goal.chart)]
    return Curves("train", np.arange(1.0, len(rows) + 1), np.asarray(rows, np.float64))


def _write(lab: Lab, curves: Sequence[Curves]) -> None:
    goal, length = _goal(lab), min(len(one.steps) for one in curves)
    series, steps, _ = curves[0]
    values = np.concatenate([one.values[:length] for one in curves], axis=1)
    at, means = binned(steps[:length], values, POINTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of members that have all diverged
        bands = {"mean": np.nanmean(means, 1), "low": np.nanmin(means, 1), "high": np.nanmax(means, 1)}
    found: dict[str, Any] = {"chart": goal.chart, "series": series, "step": at.astype(int).tolist()}
    found |= {name: [float(f"{value:.5g}") for value in band] for name, band in bands.items()}
    path = lab.folder / "reference.json"
    path.write_text(json.dumps(found) + "\n", encoding="utf-8")
    print(f"{path}: {len(at)} points of {values.shape[1]} models")


if __name__ == "__main__":
    sys.exit(main())
