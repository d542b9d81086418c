"""A run's curve in few points, for a page or a reference."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.metrics import Metrics

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return steps, np.nanmean(means, axis=1)
