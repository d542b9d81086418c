"""A number that is misread, or that jumps from frame to frame, makes a screen of numbers useless."""

import math

import pytest

from tui import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04123, "0.0412"),
        (2.3, "2.30"),
        (41.25, "41.2"),
        (9.996, "10.0"),
        (999.9, "1,000"),
        (1214, "1,214"),
        (41234.4, "41,234"),
        (0.00099999, "0.00100"),
        (1.1e-4, "1.10e-4"),
        (-1.5e9, "-1.50e9"),
        (0.0, "0"),
        (-0.0, "0"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (None, "–"),
    ],
)
def test_three_digits(value: float | None, text: str) -> None:
    assert numbers.number(value) == text
    assert numbers.number(value, numbers.WIDTH) == text.rjust(numbers.WIDTH)


def test_any_number_fits_the_width_that_is_kept_for_it() -> None:
    for power in range(-300, 300, 3):
        for mantissa in (1.0, 9.994, 9.996):
            value = mantissa * 10.0**power
            assert len(numbers.number(value)) <= numbers.WIDTH + (abs(power) > 9) * 2
            assert float(numbers.number(value).replace(",", "")) == pytest.approx(value, rel=6e-3)


def test_counts_percent_durations_rates() -> None:
    assert [numbers.count(v) for v in (1214, 0, 1e6, None, math.nan)] == ["1,214", "0", "1,000,000", "–", "NaN"]
    assert [numbers.percent(v) for v in (0.565, 1.0, None)] == ["56.5%", "100.0%", "–"]
    durations = [numbers.duration(v) for v in (18.4, 754, 3723, 200_000, -1, None, math.inf, math.nan)]
    assert durations == ["0:18", "12:34", "1:02:03", "2 d 07:33", "0:00", "–", "∞", "–"]
    assert [numbers.rate(v) for v in (812.2, 0.25, 0, None)] == ["812 step/s", "4.00 s/step", "0 step/s", "– step/s"]


def test_a_column_lines_up_on_the_decimal_point() -> None:
    column = numbers.aligned([0.0412, 11.3, 1214, 1.1e-4, None, math.nan, -3.2])
    assert {len(text) for text in column} == {len(column[0])}
    points = {text.index(".") for text in column if "." in text}
    assert len(points) == 1
    assert column[2].rstrip() == "1,214"
    assert len(column[2].rstrip()) == points.pop()
    assert numbers.align([]) == []


def test_nothing_but_ascii_where_the_terminal_has_no_more() -> None:
    shown = numbers.ascii_only("lr ×0.5 · – ∞ ✗ … 손실")
    assert shown.isascii()
    assert shown.startswith("lr x0.5 | - inf x ... ")
