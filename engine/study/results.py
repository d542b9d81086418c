"""Results of a study so far, read from the run folders: each job's state and numbers, each point's means."""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from descent.common.mean import mean_of_finite
from descent.common.text import why_damaged
from descent.run.find import is_run
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.means import means_of_last_epoch
from descent.run.metrics import Metrics
from descent.run.result_metrics import MetricName, Numbers, names_in
from descent.run.results import RunResult, result_of
from descent.run.state import ALIVE
from engine.study.folder import Job, Study


@dataclass(frozen=True)
class Outcome:
    """A job's result. state: waiting, damaged, or one of a run's states. metrics: those that it has."""

    job: Job
    state: str
    reason: str | None = None
    step: int = 0
    epoch: int = 0
    seconds: float = 0.0
    parameters: int | None = None
    metrics: Numbers = field(default_factory=dict)
    diverged: bool = False  # training it again would end the same

    @property
    def is_over(self) -> bool:
        """Return whether training it again would change nothing."""
        return self.state == "finished" or self.diverged


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over the n repeats of a point. std is None for one repeat."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Point:
    """A point of the grid. metrics: over its finished repeats only."""

    index: int
    values: dict[str, Any]
    states: Counter[str]
    parameters: int | None
    metrics: dict[MetricName, Spread]


def outcomes(study: Study) -> list[Outcome]:
    """Return the result of each job so far."""
    return [outcome(study, job) for job in study.jobs]


def outcome(study: Study, job: Job) -> Outcome:
    """Return the result of one job so far."""
    run = study.run(job)
    if not is_run(run.path):
        return _without_run(study, job)
    try:
        return _of_run(study, job, run)
    except Exception as error:  # the files may hold anything, and one damaged run must not hide the others
        return Outcome(job, "damaged", why_damaged(error))


def _without_run(study: Study, job: Job) -> Outcome:
    if worker_pid(study.process(job)) is not None:
        return Outcome(job, "starting")
    # A run that fails before its first step leaves no folder, so that its id is free.
    error = complaint(study, job)
    return Outcome(job, "failed", error) if error else Outcome(job, "waiting")


def _of_run(study: Study, job: Job, run: RunFolder) -> Outcome:
    found, facts = result_of(run), run.facts()
    state: str = found.state
    reason: str | None = None
    if state == "failed":
        states = [event for event in run.events() if event.get("event") == "state"]
        reason = states[-1].get("reason") if states else None
    elif state not in (*ALIVE, "finished"):
        error = complaint(study, job)
        state, reason = ("failed", error) if error else (state, None)
    return Outcome(
        job,
        state,
        reason,
        step=found.step,
        epoch=found.epoch,
        seconds=found.seconds,
        parameters=facts.get("parameters"),
        metrics=found.metrics | _train_accuracy(run, found, facts),
        diverged=state == "failed" and run.last("anomaly") is not None,
    )


def _train_accuracy(run: RunFolder, found: RunResult, facts: Mapping[str, Any]) -> Numbers:
    """Return the mean of the last epoch's rows, as for `train_loss`."""
    stored = Metrics(run.path)
    if stored.layout is None or "accuracy" not in stored.layout.columns or not found.step:
        return {}
    ends = [entry.step for entry in found.members]
    means = means_of_last_epoch(stored, "accuracy", ends, run.events(), facts)
    kept = [mean for mean, entry in zip(means, found.members, strict=True) if entry.state != "diverged"]
    return {"train_accuracy": mean_of_finite(kept)}


def complaint(study: Study, job: Job) -> str | None:
    """Return the error of the job's process, from the JSON on the last line of its log."""
    try:
        lines = study.log(job).read_text(encoding="utf-8", errors="replace").splitlines()
        found = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return None
    error = found.get("error") if isinstance(found, dict) else None
    return str(error) if error else None


# --- points ---


def points(found: Sequence[Outcome]) -> list[Point]:
    """Return the points of the grid, each with the means over its finished repeats."""
    by_point: dict[int, list[Outcome]] = {}
    for one in found:
        by_point.setdefault(one.job.point, []).append(one)
    return [_point(index, repeats) for index, repeats in sorted(by_point.items())]


def _point(index: int, repeats: list[Outcome]) -> Point:
    finished = [one for one in repeats if one.state == "finished"]
    names = names_in(one.metrics for one in finished)
    spreads = {name: _spread([one.metrics.get(name) for one in finished]) for name in names}
    sizes = [one.parameters for one in repeats if one.parameters is not None]
    return Point(
        index,
        repeats[0].job.values,
        Counter(one.state for one in repeats),
        sizes[0] if sizes else None,
        {name: spread for name, spread in spreads.items() if spread is not None},
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    measured = [value for value in values if value is not None]
    if not measured:
        return None
    std = statistics.stdev(measured) if len(measured) > 1 else None
    return Spread(statistics.fmean(measured), std, len(measured))
