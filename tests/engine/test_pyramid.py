"""A spike that the pyramid lost would never be seen on a chart, and a stale one would be seen after a rewind."""

from itertools import pairwise

import numpy as np
import pytest

from engine.pyramid import Pyramid

LENGTHS = (0, 1, 15, 16, 17, 255, 256, 4097, 70_001)


def _filled(values: np.ndarray, pieces: int = 7) -> Pyramid:
    pyramid = Pyramid()
    for piece in np.array_split(values, pieces):
        pyramid.append(piece)
    return pyramid


def _slow(values: np.ndarray, edges: np.ndarray) -> tuple[list[float], list[float]]:
    buckets = [values[max(0, a) : max(0, b)] for a, b in pairwise(edges)]
    finite = [bucket[np.isfinite(bucket)] for bucket in buckets]
    return [b.min() if len(b) else np.nan for b in finite], [b.max() if len(b) else np.nan for b in finite]


def _check(pyramid: Pyramid, values: np.ndarray, edges: np.ndarray) -> None:
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
    pyramid = Pyramid()
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
