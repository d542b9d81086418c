"""A smoothed curve that drifts from its definition, or keeps what a rewind has voided, misleads who steers by it."""

import numpy as np
import pytest

from engine.pyramid import Pyramid
from tui.charts.smoothing import average, gaps


def _plain(values: np.ndarray, factor: float) -> np.ndarray:
    """The definition, a value at a time."""
    total = weight = 0.0
    smooth = []
    for value in values:
        total, weight = factor * total, factor * weight
        if np.isfinite(value):
            total, weight = total + value, weight + 1
        smooth.append(total / weight if np.isfinite(value) else np.nan)
    return np.array(smooth)


def _series(*pieces: np.ndarray) -> Pyramid:
    pyramid = Pyramid()
    for piece in pieces:
        pyramid.append(piece.astype(np.float32))
    return pyramid


@pytest.mark.parametrize("smoothing", [0.6, 0.99])
def test_the_average_is_debiased_and_grows_with_the_series(smoothing: float) -> None:
    values = np.random.default_rng(0).random(700)
    values[100:103], values[300] = np.nan, np.inf
    series = _series()
    done = 0
    for size in (1, 2, 63, 64, 65, 200, 305):
        series.append(values[done : done + size].astype(np.float32))
        done += size
        smooth = average(series, smoothing, 1000)
        np.testing.assert_allclose(smooth.values(), _plain(values[:done], smoothing), rtol=1e-4)
    assert smooth.values()[0] == pytest.approx(values[0])
    assert average(series, 0.0, 1000) is series


def test_a_rewind_voids_the_average_too() -> None:
    first, second = np.random.default_rng(1).random((2, 300))
    series = _series(first)
    average(series, 0.9, 1000)
    series.truncate(120)
    series.append(second.astype(np.float32))
    expected = _plain(np.concatenate([first[:120], second]), 0.9)
    np.testing.assert_allclose(average(series, 0.9, 1000).values(), expected, rtol=1e-4)


def test_a_long_run_looks_as_smooth_as_a_short_one() -> None:
    noise = np.random.default_rng(2).normal(size=100_000)
    short = average(_series(noise[:1000]), 0.9, 1000).values()[500:].std()
    long = average(_series(noise), 0.9, 100_000).values()[::100][500:].std()
    assert long < short


def test_the_average_of_a_long_run_still_moves_where_its_rows_come_one_by_one() -> None:
    before, single, total, level, rise = 600_000, 6000, 1_000_000, 1.2, 0.004
    series = _series(np.full(before, level))
    smooth = average(series, 0.99, total)
    for _ in range(single):
        series.append(np.full(1, level + rise, np.float32))
        average(series, 0.99, total)
    factor = 0.99 ** (1000 / total)
    expected = level + rise * (1 - factor**single) / (1 - factor ** (before + single))
    assert smooth.latest() == pytest.approx(expected, rel=5e-5)


def test_numbers_measured_now_and_then_are_smoothed_by_measurement() -> None:
    measured = np.random.default_rng(3).random(50)
    values = np.full(50 * 200, np.nan)
    values[::200] = measured
    smooth = average(_series(values), 0.9, len(values), sparse=True).values()
    np.testing.assert_allclose(smooth[::200], _plain(measured, 0.9), rtol=1e-4)
    assert np.isnan(smooth[1:200]).all()


def test_gaps_begin_where_numbers_cease_to_be_finite() -> None:
    values = np.ones(20)
    values[[3, 4, 5, 9, 19]] = np.nan, np.inf, np.nan, -np.inf, np.nan
    series = _series(values[:5], values[5:])
    assert gaps(series) == [3, 9, 19]
    series.append(np.array([np.nan, 1, np.nan], np.float32))
    assert gaps(series) == [3, 9, 19, 22]
    series.truncate(10)
    assert gaps(series) == [3, 9]
