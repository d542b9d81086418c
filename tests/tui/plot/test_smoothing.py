"""A smoothed curve that drifts from its definition, or keeps what a rewind has voided, misleads who steers by it."""

import numpy as np
import pytest

from descent.run.series import MinMaxPyramid
from tui.plot.smoothing import average


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


def _series(*pieces: np.ndarray) -> MinMaxPyramid:
    pyramid = MinMaxPyramid()
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
        smooth = average(series, smoothing, 1000).series
        np.testing.assert_allclose(smooth.values(), _plain(values[:done], smoothing), rtol=1e-4)
    assert smooth.values()[0] == pytest.approx(values[0])
    assert average(series, 0.0, 1000).series is series


def test_a_rewind_voids_the_average_too() -> None:
    first, second = np.random.default_rng(1).random((2, 300))
    series = _series(first)
    average(series, 0.9, 1000)
    series.truncate(120)
    series.append(second.astype(np.float32))
    expected = _plain(np.concatenate([first[:120], second]), 0.9)
    np.testing.assert_allclose(average(series, 0.9, 1000).series.values(), expected, rtol=1e-4)


@pytest.mark.parametrize("steps", [100_000, 500_000])
def test_a_long_run_looks_as_smooth_as_a_short_one(steps: int) -> None:
    noise = np.random.default_rng(2).normal(size=steps)
    short = average(_series(noise[:1000]), 0.9, 1000).series.values()[500:].std()
    long = average(_series(noise), 0.9, steps)
    assert long.unit > 1
    assert long.series.values()[len(long.series) // 2 :].std() < short


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "sparse"), [(30_000, False), (300_000, False), (30_000, True), (300_000, True)])
def test_a_long_run_smoothed_by_blocks_is_what_its_steps_would_give(steps: int, sparse: bool) -> None:
    """A curve that turns, which a blunder in where a block lies, or how much it weighs, would shift or flatten."""
    values = 1 + np.sin(np.arange(steps) * 4 * np.pi / steps)
    if sparse:
        values[np.arange(steps) % 10 > 0] = np.nan
    smooth = average(_series(values), 0.9, steps, sparse=sparse)
    factor = 0.9 ** (1000 / steps * (10 if sparse else 1))
    exact = _plain(values[~np.isnan(values)], factor)
    ends = (np.arange(1, len(smooth.series) + 1) * smooth.unit - 1) // (10 if sparse else 1)
    np.testing.assert_allclose(smooth.series.values(), exact[ends], atol=0.02)
    assert smooth.latest == pytest.approx(exact[-1], abs=0.01)


def test_what_is_rarely_measured_in_a_long_run_is_not_smoothed_away() -> None:
    values = np.full(500_000, np.nan)
    values[::5000] = np.arange(100) % 2  # a hundred points, as coarse as a short run's
    smooth = average(_series(values), 0.5, len(values), sparse=True).series.values()
    measured = smooth[np.isfinite(smooth)]
    np.testing.assert_allclose(measured, _plain(np.arange(100) % 2, 0.5), rtol=1e-4)


@pytest.mark.slow
def test_the_average_of_a_long_run_still_moves_where_its_rows_come_one_by_one() -> None:
    before, single, total, level, rise = 600_000, 6000, 1_000_000, 1.2, 0.004
    series = _series(np.full(before, level))
    for _ in range(single):
        series.append(np.full(1, level + rise, np.float32))
        smooth = average(series, 0.99, total)
    factor = 0.99 ** (1000 / total)
    expected = level + rise * (1 - factor**single) / (1 - factor ** (before + single))
    assert smooth.latest == pytest.approx(expected, rel=5e-5)


def test_numbers_measured_now_and_then_are_smoothed_by_measurement() -> None:
    measured = np.random.default_rng(3).random(50)
    values = np.full(50 * 200, np.nan)
    values[::200] = measured
    smooth = average(_series(values), 0.9, len(values), sparse=True).series.values()
    np.testing.assert_allclose(smooth[::200], _plain(measured, 0.9), rtol=1e-4)
    assert np.isnan(smooth[1:200]).all()
