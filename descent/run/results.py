"""The result of a run, read from its folder alone: of each member, and of all together."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from descent.common.files import json_safe
from descent.common.mean import mean_of_finite
from descent.common.settings import key_of
from descent.run.best_by import BestBy, best_by
from descent.run.epochs import epochs_since
from descent.run.events import Evaluation, MemberEnd, evaluation_of, member_end_of
from descent.run.folder import RunFolder, problem_with
from descent.run.health import Broken, Health
from descent.run.layout import Layout
from descent.run.live_settings import member_named
from descent.run.means import means_of_last_epoch, was_given
from descent.run.metrics import Metrics
from descent.run.result_metrics import MetricName, Numbers, metric_of, names_in
from descent.run.scalars import Latest, latest
from descent.run.state import State
from descent.run.sweep import name_of

MemberState = State | Literal["diverged", "stopped early"]
Spreads = dict[MetricName, "Spread"]


@dataclass(frozen=True)
class Spread:
    """The spread of a metric over n models: sample standard deviation and standard error, None for one model."""

    std: float | None
    stderr: float | None
    n: int


@dataclass(frozen=True)
class LiveEdit:
    """Settings that were changed while a run trained, as "key=value" texts, and the step."""

    step: int
    set: list[str]


@dataclass(frozen=True)
class MemberResult:
    """The result of one member. values: those of a sweep, by key. fold: None without folds.

    edits: the live ones that were for it alone. state: the run's, or "diverged" or "stopped early", at its last step.
    """

    member: int
    seed: int
    values: Mapping[str, Any]
    fold: int | None
    edits: tuple[LiveEdit, ...]
    state: MemberState
    step: int
    metrics: Numbers

    def to_json(self) -> dict[str, Any]:
        return {
            "member": self.member,
            "seed": self.seed,
            "values": self.values,
            **({} if self.fold is None else {"fold": self.fold}),
            **({"edits": [asdict(edit) for edit in self.edits]} if self.edits else {}),
            "state": self.state,
            "step": self.step,
            "metrics": self.metrics,
        }


@dataclass(frozen=True)
class Candidate:
    """One point of a sweep: its values, its members, those of them that diverged, and means over the others.

    name: what it is called by, such as "lr 0.1".
    """

    name: str
    values: Mapping[str, Any]
    members: list[int]
    diverged: list[int]
    metrics: Numbers
    spread: Spreads


@dataclass(frozen=True)
class Winner:
    """The candidate of a sweep that was chosen, at `step`, for its `score` in the metric `by`."""

    step: int
    members: list[int]
    values: Mapping[str, Any]
    by: str
    score: float
    metrics: Numbers
    spread: Spreads


@dataclass(frozen=True)
class Ensemble:
    """The result of the members' mean prediction."""

    step: int
    metrics: Numbers


@dataclass(frozen=True)
class BestModel:
    """The model that early stopping has chosen, and that was tested.

    step: of the model; None if each of several members has its own. checkpoint: the file that holds it.
    """

    step: int | None
    checkpoint: Path

    def problem(self) -> str | None:
        """Return why the file can't be used: it is gone or damaged."""
        return problem_with(self.checkpoint)

    def to_json(self) -> dict[str, Any]:
        problem = self.problem()
        return {"step": self.step, "checkpoint": str(self.checkpoint), **({"problem": problem} if problem else {})}


@dataclass(frozen=True)
class RunResult:
    """The result of a run so far. seconds: of training, without pauses and evaluations.

    members: one each model; none before their number is known. With several, `metrics` are means over those that did
    not diverge, with their `spread`. candidates: of a sweep, the best first. winner, ensemble: once they are known.
    scalars: the last value of each name that a loop gives.
    broken: how its model is, if it is.
    device, threads: None before a worker has chosen them. best: None without early stopping, and before the test.
    """

    run: str
    dir: Path
    state: State
    step: int
    epoch: int
    seconds: float
    metrics: Numbers
    device: str | None
    threads: int | None
    members: tuple[MemberResult, ...] = ()
    spread: Spreads = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    winner: Winner | None = None
    ensemble: Ensemble | None = None
    best: BestModel | None = None
    scalars: Mapping[str, Latest] = field(default_factory=dict)
    broken: Broken | None = None

    @property
    def has_members(self) -> bool:
        """Return whether it is of several models."""
        return len(self.members) > 1

    @property
    def final_metrics(self) -> Numbers:
        """Return the metrics of a sweep's winner, before that of its best candidate so far, or of any other run."""
        if self.winner is not None:
            return self.winner.metrics
        return self.candidates[0].metrics if self.candidates else self.metrics

    @property
    def best_candidate(self) -> Candidate | None:
        """Return the winner of a sweep, or the candidate that is the best so far."""
        return self.candidates[0] if self.candidates else None

    @property
    def diverged(self) -> list[int]:
        """Return the members that have diverged."""
        return [entry.member for entry in self.members if entry.state == "diverged"]

    def to_json(self) -> dict[str, Any]:
        """Return the object that `descent run --json` prints."""
        found: dict[str, Any] = {
            "run": self.run,
            "dir": str(self.dir),
            "state": self.state,
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "metrics": self.metrics,
            "device": self.device,
            "threads": self.threads,
        }
        if self.broken is not None:
            found["verdict"] = self.broken.to_json()
        if self.best is not None:
            found["best"] = self.best.to_json()
        if self.scalars:
            found["scalars"] = {name: json_safe(each._asdict()) for name, each in self.scalars.items()}
        if self.has_members:
            found["spread"] = {name: asdict(spread) for name, spread in self.spread.items()}
            found["members"] = [entry.to_json() for entry in self.members]
        if self.candidates:
            found["candidates"] = [asdict(candidate) for candidate in self.candidates]
        if self.winner is not None:
            found["winner"] = asdict(self.winner)
        if self.ensemble is not None:
            found["ensemble"] = {"step": self.ensemble.step, **self.ensemble.metrics}
        return found


def result_of(
    run: RunFolder, state: State | None = None, events: Sequence[dict[str, Any]] | None = None
) -> RunResult:
    """Return the result of a run by now. state: if the caller knows it, as the worker itself does.

    events: those that are valid, or those that an events.EventIndex kept of them, of who has read them already: a
    long log is not read again.

    Of a run that early stopping has ended, validation and test are of the same models: the best ones.
    """
    facts, stored = run.facts(), Metrics(run.path)
    events = run.events() if events is None else events
    layout, step = stored.layout, len(stored)
    found = RunResult(
        run.id, run.path, state or run.state(), step, 0, 0.0, {}, facts.get("device"), facts.get("threads")
    )
    if layout is None:
        evaluations = [evaluation_of(event) for event in events if event["event"] == "evaluation"]
        return replace(found, metrics=_evaluated(evaluations))
    members = _members(found.state, stored, layout, events, facts)
    health = Health()
    health.take(events, 0)
    is_finite = any(each.metrics.get("train_loss", 0.0) is not None for each in members)
    found = replace(
        found,
        members=members,
        metrics=members[0].metrics,
        best=_best(run, events),
        scalars=latest(run.path),
        broken=health.broken(found.state, is_finite=is_finite),
    )
    if step:
        found = replace(found, epoch=_epochs(events, step, facts), seconds=round(_seconds(stored, layout, step), 4))
    return found if len(members) == 1 else _with_means(found, events)


def _members(
    state: State, stored: Metrics, layout: Layout, events: Sequence[dict[str, Any]], facts: Mapping[str, Any]
) -> tuple[MemberResult, ...]:
    """What each model has come to. state: the run's."""
    step = len(stored)
    ends = [member_end_of(event) for event in events if event["event"] == "member"]
    ended: dict[int, MemberEnd] = {end.member: end for end in ends}
    steps = [ended[m].step if m in ended else step for m in range(len(layout.members))]
    losses: Sequence[float | None] = []
    if step:
        losses = means_of_last_epoch(stored, "loss", [min(step, end) for end in steps], events, facts)
        if losses == [None] and not was_given(stored, "loss", step):
            losses = []  # else None would say that it is NaN
    chosen = dict(enumerate((_last(events, "best") or {}).get("steps", ())))
    edits = _edits_of_one(events)
    evaluations: dict[int, list[Evaluation]] = {}
    for event in events:
        if event["event"] == "evaluation":
            evaluation = evaluation_of(event)
            evaluations.setdefault(evaluation.member, []).append(evaluation)
    found = []
    for m, entry in enumerate(layout.members):
        trained: Numbers = {"train_loss": losses[m]} if losses else {}
        found.append(
            MemberResult(
                m,
                entry["seed"],
                entry["values"],
                entry.get("fold"),
                tuple(edits.get(m, ())),
                ended[m].state if m in ended else state,
                steps[m],
                trained | _evaluated(evaluations.get(m, []), chosen.get(m)),
            )
        )
    return tuple(found)


def _best(run: RunFolder, events: Sequence[dict[str, Any]]) -> BestModel | None:
    chosen = _last(events, "best")
    if chosen is None:
        return None
    alone = len(chosen["steps"]) == 1
    step = chosen["steps"][0] if alone else None
    path = run.checkpoint(chosen["step"] if step is None else step)  # the last one holds each member's best
    return BestModel(step, path)


def _edits_of_one(events: Sequence[Mapping[str, Any]]) -> dict[int, list[LiveEdit]]:
    """By member, the live edits that were for it alone."""
    found: dict[int, list[LiveEdit]] = {}
    for event in events:
        if event["event"] != "command" or event["command"] != "set":
            continue
        edits = [str(text) for text in event["arguments"]["edits"]]
        named = member_named(edits)
        if named is not None and named.isdigit():
            given = LiveEdit(event["step"], [text for text in edits if key_of(text) != "member"])
            found.setdefault(int(named), []).append(given)
    return found


# --- several members ---


def _with_means(found: RunResult, events: Sequence[dict[str, Any]]) -> RunResult:
    """With means over the members, candidates, winner and ensemble."""
    metrics, spread = _together(found.members)
    won, tested = _last(events, "winner"), _last(events, "ensemble")
    winner = None
    if won is not None:
        of_winner = _together([found.members[member] for member in won["members"]])
        winner = Winner(won["step"], won["members"], won["values"], won["by"], won["score"], *of_winner)
    is_sweep = any(entry.values for entry in found.members)
    return replace(
        found,
        metrics=metrics,
        spread=spread,
        candidates=tuple(_candidates(found.members, winner, best_by(RunFolder(found.dir)))) if is_sweep else (),
        winner=winner,
        ensemble=None if tested is None else Ensemble(tested["step"], _evaluated([evaluation_of(tested)])),
    )


def _candidates(members: Sequence[MemberResult], winner: Winner | None, by: BestBy) -> list[Candidate]:
    """What the sweep compares, the best first, and what diverged, though in part, last."""
    of_values: dict[str, list[MemberResult]] = {}
    for entry in members:
        of_values.setdefault(repr(entry.values), []).append(entry)
    candidates = [
        Candidate(
            name_of(entries[0].values),
            entries[0].values,
            [entry.member for entry in entries],
            [entry.member for entry in entries if entry.state == "diverged"],
            *_together(entries),
        )
        for entries in of_values.values()
    ]
    if not any(by.metric in each.metrics for each in candidates):
        by = BestBy("train_loss")

    def rank(candidate: Candidate) -> tuple[bool, bool, float]:
        won = winner is not None and candidate.members == winner.members
        return not won, bool(candidate.diverged), by.rank(candidate.metrics)

    return sorted(candidates, key=rank)


def _together(members: Sequence[MemberResult]) -> tuple[Numbers, Spreads]:
    """The mean of each metric over the members that did not diverge and that have it, and its spread."""
    kept = [entry.metrics for entry in members if entry.state != "diverged"]
    metrics: Numbers = {}
    spreads: Spreads = {}
    for name in names_in(kept):
        values = [value for numbers in kept if (value := numbers.get(name)) is not None]
        mean, n = mean_of_finite(values), len(values)
        if mean is not None:
            metrics[name] = mean
            std = statistics.stdev(values) if n > 1 else None
            spreads[name] = Spread(std, None if std is None else std / math.sqrt(n), n)
    return metrics, spreads


def _last(events: Sequence[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    return next((event for event in reversed(events) if event["event"] == kind), None)


# --- numbers ---------------------------------------------------------------------------------------------


def _evaluated(evaluations: Sequence[Evaluation], chosen: int | None = None) -> Numbers:
    """The last of each split, by the names of metrics.

    chosen: the step of the model that was tested, where that was not the last one.
    """
    last = {each.split: each for each in evaluations}
    of_chosen = [each for each in evaluations if each.split == "validation" and each.step == chosen]
    if of_chosen:
        last["validation"] = of_chosen[-1]
    found = {
        f"{'val' if split == 'validation' else split}_{column}": value
        for split, each in last.items()
        for column, value in each.values.items()
    }
    return {name: found[name] for name in names_in([found]) if metric_of(name).split != "train"}


def _seconds(stored: Metrics, layout: Layout, step: int) -> float:
    """Of training, until the last row."""
    times = stored.rows(step - 1)[-1, :, layout.columns.index("time")]
    return float(np.max(times, initial=0.0, where=np.isfinite(times)))


def _epochs(events: Sequence[dict[str, Any]], step: int, facts: Mapping[str, Any]) -> int:
    """Epochs completed at `step`, counted from the last event that told: not every epoch writes one."""
    told = [event for event in events if event["event"] in ("epoch", "batch_size")]
    epoch, since = (int(told[-1]["epoch"]), int(told[-1]["step"])) if told else (0, 0)
    epochs = epochs_since(_last(told, "batch_size"), facts)
    return epoch if epochs is None else epoch + max(0, step - since) // epochs.per_epoch
