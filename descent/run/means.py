"""Means of a run's rows: over the samples of an epoch, over the members at each step, over groups of steps."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Floats, Singles, mean_over_members
from descent.run.epochs import RECENT, epochs_before, epochs_since
from descent.run.metrics import Metrics
from descent.run.not_given import is_given


def means_of_last_epoch(
    stored: Metrics, name: str, ends: Sequence[int], events: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> list[float | None]:
    """Return each member's mean of a column over the last epoch that it trained. ends: the steps that each has made.

    events, facts: of the run; a live batch size changes how many steps an epoch has. None for a member without rows,
    and for a fork that has not begun, whose epochs are not known.
    """
    changes = [event for event in events if event["event"] == "batch_size"]
    known = {end: epochs_before(end, changes, facts) for end in set(ends)}
    unknown = RECENT if facts else None  # without epochs, the last steps stand for one
    lengths = {end: unknown if epochs is None else epochs.per_epoch for end, epochs in known.items()}
    found = {
        end: means_of_steps(stored, name, max(0, end - length), end, changes, facts)
        for end, length in lengths.items()
        if length is not None
    }
    return [found[end][member] if end in found else None for member, end in enumerate(ends)]


def was_given(stored: Metrics, name: str, end: int) -> bool:
    """Return whether one of the last steps before `end` has a number in a column, NaN or not."""
    assert stored.layout is not None
    column = stored.layout.columns.index(name)
    return any(is_given(rows[:, :, column]).any() for rows in stored.pieces(max(0, end - RECENT), end))


def means_of_steps(
    stored: Metrics,
    name: str,
    first: int,
    end: int,
    changes: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> list[float | None]:
    """Return each member's mean of a column over the samples of the steps from `first` to before `end`.

    changes: the events of kind batch_size. facts: run.json. A short last batch counts for its samples, except in the
    files of an older Descent, where each step counts alike.
    """
    assert stored.layout is not None
    column = stored.layout.columns.index(name)
    values = np.concatenate(
        [np.empty((0, len(stored.layout.members)), np.float32)]
        + [rows[:, :, column] for rows in stored.pieces(first, end)]
    )
    return mean_over_samples(values, samples_of_batches(first, first + len(values), changes, facts))


def mean_over_samples(values: Singles, samples: NDArray[np.int64] | None) -> list[float | None]:
    """Return each member's mean of `values`, (steps, M), weighted by `samples`, (steps,). None if it is not finite.

    A frozen member has rows of NaN, which are left out. The NaN of a run's only model is its loss, unless the script
    of a loop of one's own has given none.
    """
    means: list[float | None] = []
    for own in values.T:
        kept = np.isfinite(own) if values.shape[1] > 1 else is_given(own)
        weights = None if samples is None else samples[kept]
        mean = float(np.average(own[kept].astype(np.float64), weights=weights)) if kept.any() else math.nan
        means.append(mean if math.isfinite(mean) else None)
    return means


def samples_of_batches(
    first: int, end: int, changes: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> NDArray[np.int64] | None:
    """Return the samples in the batch of each step from `first` to before `end`. None if they are not known."""
    steps = np.arange(first, end)
    samples = np.zeros(len(steps), np.int64)
    for change in (None, *changes):
        epochs = epochs_since(change, facts)
        if epochs is not None:
            ends = (steps + 1 - epochs.since) % epochs.per_epoch == 0
            of_these = np.where(ends, epochs.last or 0, epochs.size or 0)
            samples = np.where(steps >= epochs.since, of_these, samples)
    return samples if samples.all() else None


def mean_curves(stored: Metrics, names: Sequence[str], members: Sequence[int] | None = None) -> dict[str, Singles]:
    """Return the mean over the members, (steps,), for each of the columns `names` that the run has.

    members: those that count; all if None.
    """
    layout = stored.layout
    if layout is None:
        return {}
    places = {name: layout.columns.index(name) for name in names if name in layout.columns}
    curves: dict[str, list[Singles]] = {name: [] for name in places}
    for rows in stored.pieces():
        for name, place in places.items():
            own = rows[:, :, place] if members is None else rows[:, members, place]
            curves[name].append(mean_over_members(own))
    return {name: np.concatenate(pieces) if pieces else np.empty(0, np.float32) for name, pieces in curves.items()}


def binned(steps: Floats, values: Floats, points: int) -> tuple[Floats, Floats]:
    """Average rows in groups of equal size. steps (n,), values (n, M) -> at most `points` of both.

    Each mean stands at the step of its last row. It is nan for a model without a number among those rows.
    """
    parts = np.array_split(np.arange(len(steps)), min(points, len(steps)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows of which none was measured
        means = np.array([np.nanmean(values[rows], axis=0) for rows in parts])
    return np.array([steps[rows[-1]] for rows in parts]), means


def mean_curve(metrics: Metrics, name: str, points: int) -> tuple[Floats, Floats]:
    """Return the steps and the means over the members of a column, (points,) each."""
    assert metrics.layout is not None
    place = metrics.layout.columns.index(name)
    pieces = [rows[:, :, place].astype(np.float64) for rows in metrics.pieces()]
    values = np.concatenate([np.empty((0, len(metrics.layout.members))), *pieces])
    steps, means = binned(np.arange(1.0, len(values) + 1), values, points)
    return steps, mean_over_members(means)
