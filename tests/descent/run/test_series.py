"""A spike that the pyramid lost would never be seen on a chart, and a stale one would be seen after a rewind."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from descent.run.series import KEPT, MOST_BREAKS, MinMaxPyramid, search, take

LENGTHS = (0, 1, 15, 16, 17, 255, 256, 4097, 70_001)


def _filled(values: np.ndarray, pieces: int = 7) -> MinMaxPyramid:
    pyramid = MinMaxPyramid()
    for piece in np.array_split(values, pieces):
        pyramid.append(piece)
    return pyramid


def _slow(values: np.ndarray, edges: np.ndarray) -> tuple[list[float], list[float]]:
    buckets = [values[max(0, a) : max(0, b)] for a, b in pairwise(edges)]
    finite = [bucket[np.isfinite(bucket)] for bucket in buckets]
    return [b.min() if len(b) else np.nan for b in finite], [b.max() if len(b) else np.nan for b in finite]


def _check(pyramid: MinMaxPyramid, values: np.ndarray, edges: np.ndarray) -> None:
    low, high = pyramid.envelope(edges)
    slow_low, slow_high = _slow(values, edges)
    np.testing.assert_array_equal(low, np.array(slow_low, np.float32))
    np.testing.assert_array_equal(high, np.array(slow_high, np.float32))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("sparse", [False, True])
def test_extremes_are_those_of_the_values(length: int, sparse: bool) -> None:
    rng = np.random.default_rng(length)
    values = rng.normal(size=length).astype(np.float32)
    if sparse:
        values[rng.random(length) < 0.95] = np.nan
        values[rng.random(length) < 0.01] = np.inf
    pyramid = _filled(values)
    assert len(pyramid) == length
    np.testing.assert_array_equal(pyramid.values(), values)
    for buckets in (1, 2, 33, 260):
        _check(pyramid, values, np.linspace(0, length, buckets + 1).astype(np.int64))
        _check(pyramid, values, np.sort(rng.integers(-5, length + 9, buckets + 1)))


def test_one_spike_in_a_million_is_in_its_bucket() -> None:
    values = np.ones(1_000_000, np.float32)
    values[654_321] = 99
    edges = np.linspace(0, len(values), 301).astype(np.int64)
    _, high = _filled(values, 150).envelope(edges)
    assert np.flatnonzero(high == 99).tolist() == [int(np.searchsorted(edges, 654_321, side="right")) - 1]


def test_what_a_rewind_voided_is_gone() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=9000).astype(np.float32)
    pyramid = _filled(values)
    for length in (8999, 4096, 4095, 17, 0):
        pyramid.truncate(length)
        _check(pyramid, values[:length], np.linspace(0, 9000, 40).astype(np.int64))
        new = rng.normal(size=300).astype(np.float32)
        pyramid.append(new)
        _check(pyramid, np.concatenate([values[:length], new]), np.linspace(0, length + 300, 40).astype(np.int64))
        pyramid.truncate(length)
    assert pyramid.voided == 10
    pyramid.truncate(5)
    assert pyramid.voided == 10  # nothing was there to void


def test_the_latest_number_is_found_however_long_ago_it_was_measured() -> None:
    pyramid = MinMaxPyramid()
    assert pyramid.latest() is None
    pyramid.append(np.full(10, np.nan, np.float32))
    assert pyramid.latest() is None
    pyramid.append(np.array([2.5], np.float32))
    pyramid.append(np.full(50_000, np.nan, np.float32))
    assert pyramid.latest() == 2.5
    pyramid.append(np.array([np.inf, np.nan], np.float32))
    assert pyramid.latest() == np.inf


def test_values_given_out_do_not_change_later() -> None:
    pyramid = _filled(np.arange(10, dtype=np.float32))
    kept = pyramid.values(2, 5)
    pyramid.truncate(0)
    pyramid.append(np.zeros(10, np.float32))
    assert kept.tolist() == [2, 3, 4]


def test_breaks_begin_where_numbers_cease_to_be_finite() -> None:
    values = np.ones(20, np.float32)
    values[[3, 4, 5, 9, 19]] = np.nan, np.inf, np.nan, -np.inf, np.nan
    pyramid = MinMaxPyramid()
    pyramid.append(values[:5])
    pyramid.append(values[5:])
    assert pyramid.breaks == [3, 9, 19]
    pyramid.append(np.array([np.nan, 1, np.nan], np.float32))
    assert pyramid.breaks == [3, 9, 19, 22]
    pyramid.truncate(10)
    assert pyramid.breaks == [3, 9]
    pyramid.append(np.tile(np.array([1, np.nan], np.float32), 5000))
    assert len(pyramid.breaks) == MOST_BREAKS


# --- long series, of which the beginning is read again ---------------------------------------------------


class Remembered:
    """A series that keeps little of what it was given, and how many values it has asked for again."""

    def __init__(self, values: np.ndarray, pieces: int = 7) -> None:
        self.given, self.asked = values, 0
        self.series = MinMaxPyramid(self._past)
        for piece in np.array_split(values, pieces):
            self.series.append(piece)

    def _past(self, first: int, last: int) -> np.ndarray:
        self.asked += last - first
        return self.given[first:last].copy()


def test_values_that_were_let_go_are_read_again_once() -> None:
    long = Remembered(np.random.default_rng(0).normal(size=200_000).astype(np.float32), pieces=90)
    for first, last in ((0, 9), (100, 900), (7, 4000), (199_000, 200_000), (150_000, 170_000)):
        np.testing.assert_array_equal(long.series.values(first, last), long.given[first:last])
    asked = long.asked
    long.series.values(150_100, 169_999)
    assert long.asked == asked


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 13, 4000])
@pytest.mark.parametrize(
    "span", [(0, 900_000), (3, 250_000), (600_001, 899_000), (100_000, 110_000), (895_000, 900_000)]
)
def test_no_extreme_of_a_long_series_is_lost_or_counted_twice(span: tuple[int, int], pieces: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=900_000).astype(np.float32)
    values[rng.random(len(values)) < 0.3] = np.nan
    edges = np.linspace(*span, 101).astype(np.int64)
    values[(edges[:-1] + edges[1:]) // 2] = 100 + np.arange(100)
    _, high = Remembered(values, pieces).series.envelope(edges)
    assert high.tolist() == list(range(100, 200))
    values[edges[2:-2:2]] = 1000 + np.arange(2, 99, 2)  # which of its two neighbours has it may depend on blocks
    _, high = Remembered(values, pieces).series.envelope(edges)
    assert [(high == 1000 + edge).sum() for edge in range(2, 99, 2)] == [1] * 49
    assert all(high[edge] == 1000 + edge or high[edge - 1] == 1000 + edge for edge in range(2, 99, 2))


def test_one_bin_may_hold_all_and_a_hundred_none() -> None:
    """As on the axis of a run that has only begun, where each bin's width taken for the widest would fill memory."""
    values = np.random.default_rng(5).normal(size=40_000).astype(np.float32)
    values[10_007] = np.inf
    series = Remembered(values, pieces=400).series
    tracemalloc.start()
    low, high = series.envelope(np.linspace(10_000, 1e9, 301).astype(np.int64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (low[0], high[0]) == (values[10_000:].min(), np.sort(values[10_000:])[-2])
    assert np.isnan(low[1:]).all()
    assert peak < 2_000_000


def test_a_long_series_that_goes_back_and_on_is_as_one_that_never_did() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=400_000).astype(np.float32)
    long = Remembered(values, pieces=50)
    for length in (399_999, 390_003, 120_000, 119_999, 70_000, 16, 3, 0):
        long.series.truncate(length)
        new = rng.normal(size=2500).astype(np.float32)
        long.given = np.concatenate([values[:length], new])
        long.series.append(new)
        expected = Remembered(long.given, pieces=3).series
        assert len(long.series) == len(expected) == length + 2500
        np.testing.assert_array_equal(long.series.values(), long.given)
        edges = np.linspace(0, length + 2500, 30).astype(np.int64)
        exact = _filled(long.given)
        assert np.nanmax(long.series.envelope(edges)[1]) == np.nanmax(exact.envelope(edges)[1])
        assert long.series.latest() == new[-1]
        np.testing.assert_allclose(long.series.means(256, 0), expected.means(256, 0), rtol=1e-5)


@pytest.mark.parametrize("length", [0, 3, 20, 70_000, 600_000])
@pytest.mark.parametrize("total", [100, 100_000, 1_000_000, 10**9])
def test_means_of_points_for_any_length_and_plan(length: int, total: int) -> None:
    """A run that has only begun may have a long plan, and one that is long a short one."""
    values = np.random.default_rng(6).random(length).astype(np.float32)
    series = Remembered(values, pieces=9).series
    unit = series.unit(max(total, length))
    assert max(total, length) / unit <= KEPT
    whole = values[: length // unit * unit].astype(np.float64).reshape(-1, unit).mean(axis=1)
    np.testing.assert_allclose(series.means(unit, 0), whole, rtol=1e-4)


def test_the_latest_number_is_found_in_what_was_let_go() -> None:
    values = np.full(300_000, np.nan, np.float32)
    values[[50, 200_000]] = 1, 2
    long = Remembered(values)
    assert long.series.latest() == 2
    long.series.truncate(150_000)
    assert long.series.latest() == 1


def test_a_long_series_takes_little_memory() -> None:
    steps, piece = 4_000_000, np.random.default_rng(3).normal(size=50_000).astype(np.float32)
    series = MinMaxPyramid(lambda first, last: np.zeros(last - first, np.float32))
    held = []
    for _ in range(steps // len(piece)):
        series.append(piece)
        held.append(sum(level._room[1].nbytes for level in series._levels))
    assert held[-1] - held[len(held) // 4] < 0.25 * steps * 3 / 4  # 4 bytes a step would be all of it
    assert held[-1] < 1_500_000


# --- a series that never falls ---------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 300, 20_000, 500_000])
def test_steps_and_values_of_a_series_that_never_falls(steps: int) -> None:
    seconds = np.cumsum(np.random.default_rng(4).random(steps)).astype(np.float32)
    series = Remembered(seconds).series
    near = np.arange(max(0, steps // 3), min(steps, steps // 3 + 300))
    np.testing.assert_array_equal(take(series, near), seconds[near])
    np.testing.assert_array_equal(
        search(series, seconds[near].astype(np.float64)), np.searchsorted(seconds, seconds[near])
    )
    far = np.linspace(0, steps + 10, 50).astype(np.int64)
    if steps:
        np.testing.assert_allclose(take(series, far), seconds[np.clip(far, 0, steps - 1)], atol=20)
        wanted = np.linspace(-1, float(seconds[-1]) + 1, 50)
        np.testing.assert_allclose(
            search(series, wanted), np.searchsorted(seconds, wanted.astype(np.float32)), atol=40
        )
        assert search(series, wanted)[-1] == steps
    else:
        assert np.isnan(take(series, far)).all()
        assert search(series, np.array([1.0])).tolist() == [0]
