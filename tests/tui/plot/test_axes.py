"""An axis with odd numbers can't be read, and one that jumps with every frame can't be watched."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tui.plot.axes import Axis, Stable, horizontal, limited, logarithmic, reach, vertical

RANGES = [
    *((0.0, 2.3), (0.04, 2.31), (88.1, 99.2), (2.1, 2.11), (1e-5, 5e-5), (0.0, 3e7), (-1.0, 1.0), (5.0, 5.0)),
    *((0.0, 0.0), (1e-300, 1e-299), (-1e12, 1e12), (0.1, 0.1 + 1e-9)),
]
LOG_RANGES = [(0.04, 2.31), (0.5, 0.7), (1e-6, 2), (2.1, 2.11), (1e-12, 1e9), (3, 3), (0.09, 0.35), (1e-40, 1e-38)]


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 12, 17, 40])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_linear_ticks_hold_the_data_and_lie_whole_rows_apart(low: float, high: float, rows: int) -> None:
    axis = vertical(low, high, rows)
    slack = 1e-6 * max(abs(low), abs(high), 1e-300)
    assert axis.low <= low + slack
    assert high <= axis.high + slack
    places = [axis.place(value) * (rows - 1) for value, _ in axis.ticks]
    assert len(places) >= 2
    gaps = [right - left for left, right in pairwise(places)]
    np.testing.assert_allclose(gaps, round(gaps[0]), atol=1e-4)
    labels = [label for _, label in axis.ticks]
    assert len(set(labels)) == len(labels)
    for value, label in axis.ticks:
        assert float(label.replace(",", "")) == pytest.approx(value, abs=1e-3 * (axis.high - axis.low))


@pytest.mark.parametrize("rows", [3, 5, 8, 12, 17, 40])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0.04, 2.31), (0.5, 0.7), (1e-6, 2), (2.1, 2.11), (1e-12, 1e9), (3, 3), (0.09, 0.35), (1e-40, 1e-38)],
)
def test_logarithmic_ticks(low: float, high: float, rows: int) -> None:
    axis = logarithmic(low, high, rows)
    assert axis.log
    assert 0 < axis.low <= low * (1 + 1e-6)
    assert high <= axis.high * (1 + 1e-6)
    assert len(axis.ticks) >= 2
    for value, label in axis.ticks:
        assert -1e-6 <= axis.place(value) <= 1 + 1e-6
        assert float(label.replace(",", "")) == pytest.approx(value, rel=1e-6)
    rows_of = [round(axis.place(value) * (rows - 1)) for value, _ in axis.ticks]
    assert len(set(rows_of)) == len(rows_of)


def test_the_axis_below() -> None:
    assert [label for _, label in horizontal(0, 2150, 60, "step").ticks] == ["0", "1,000", "2,000"]
    assert [label for _, label in horizontal(0, 3e6, 60, "step").ticks] == ["0", "1M", "2M", "3M"]
    assert [label for _, label in horizontal(0, 3700, 60, "time").ticks] == ["0:00", "30:00", "1:00:00"]
    assert next(iter(horizontal(0, 3, 30, "epoch").ticks)) == (0, "0")
    assert all(float(value).is_integer() for value, _ in horizontal(3, 7, 60, "step").ticks)  # no half steps
    assert horizontal(5, 5, 10, "step").high > 5
    for cells in (5, 20, 200):
        assert len(horizontal(0, 123_456, cells, "step").ticks) <= max(2, cells // 8)


def test_the_end_of_a_growing_axis() -> None:
    ends = [reach(float(step), 2150) for step in range(1, 2151)]
    assert all(end >= step for step, end in enumerate(ends, 1))
    assert ends == sorted(ends)
    assert ends[-1] == 2150
    assert len(set(ends)) < 40


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_bounds_change_at_most_once_a_second() -> None:
    clock = _Clock()
    calm = Stable(clock)
    seen = []
    for frame in range(100):  # ten a second; the data grow with each
        high = 1.0 + frame
        seen.append(calm.settle(vertical(0, high, 12), 0, high).high)
        clock.now += 0.1
    changes = [frame for frame, (left, right) in enumerate(pairwise(seen)) if left != right]
    assert changes
    assert all(right - left >= 10 for left, right in pairwise(changes))


def test_bounds_stay_while_the_data_look_well_on_them() -> None:
    clock = _Clock()
    calm = Stable(clock)
    first = calm.settle(Axis(0, 10, ()), 0, 9)
    clock.now = 60
    assert calm.settle(Axis(0, 8, ()), 0, 7) is first
    assert calm.settle(Axis(0, 2, ()), 0, 2).high == 2  # they would fill a fifth
    assert calm.settle(Axis(0, 20, ()), 0, 15).high == 2  # too soon
    calm.forget()  # the person asked for something else
    assert calm.settle(Axis(0, 20, ()), 0, 15).high == 20


def test_log_and_linear_places() -> None:
    assert Axis(1, 100, (), log=True).place(10) == pytest.approx(0.5)
    assert Axis(0, 100, ()).place(10) == pytest.approx(0.1)
    assert math.isclose(Axis(0.01, 1, (), log=True).place(0.01), 0, abs_tol=1e-12)


def test_an_accuracy_has_no_axis_beyond_100_percent() -> None:
    """A run would seem to have room for 105 %."""
    axis = limited(vertical(60.0, 99.0, 12), 100.0)
    assert axis.high == 100
    assert all(value <= 100 for value, _ in axis.ticks)
    assert limited(vertical(0.0, 3.0, 12), 100.0) == vertical(0.0, 3.0, 12)


@pytest.mark.parametrize("rows", range(7, 20))
@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1414), (0.0, 30.2), (0.02, 0.06), (88.1, 99.2)])
def test_three_ticks_at_least(low: float, high: float, rows: int) -> None:
    """A learning rate between 0.0 and 0.1, and no more said, can't be read off."""
    assert len(vertical(low, high, rows).ticks) >= 3


def test_logarithmic_ticks_lie_evenly() -> None:
    """A scale of 5, 2, 1 that stands one row and two rows apart looks as if it were bent."""
    axis = logarithmic(2e-6, 2.3, 33)
    gaps = {round((axis.place(b) - axis.place(a)) * 32) for (a, _), (b, _) in pairwise(axis.ticks)}
    assert gaps <= {2, 3}


def test_an_axis_of_zeros_begins_at_zero() -> None:
    """No unit was dead, and the axis of their share went from -1 to 1."""
    axis = vertical(0.0, 0.0, 8)
    assert (axis.low, [label for _, label in axis.ticks]) == (0.0, ["0.0", "0.5", "1.0"])
