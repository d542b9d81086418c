"""A number that is misread, or that jumps from frame to frame, makes a screen of numbers useless."""

import ast
import math
import time
from datetime import datetime
from pathlib import Path

import pytest

import tui
from descent.common import numbers
from descent.common.glyphs import LAB_STATES, STATES, ascii_cells, ascii_text, level, progress_bar, sparkline


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
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (None, "–"),
    ],
)
def test_three_digits(value: float | None, text: str) -> None:
    assert numbers.number(value) == text


def test_any_number_fits_the_width_that_is_kept_for_it() -> None:
    """A column that grows by a cell moves all that stands beside it."""
    for power in range(-300, 300, 3):
        for mantissa in (1.0, 9.994, 9.996):
            value = mantissa * 10.0**power
            assert len(numbers.number(value)) <= 7 + (abs(power) > 9) * 2
            assert len(numbers.short_number(value)) <= 7 + (abs(power) > 99)
            assert float(numbers.number(value).replace(",", "")) == pytest.approx(value, rel=6e-3)


def test_counts_percent_durations_rates() -> None:
    """A long run would seem short, and a slow one fast."""
    assert [numbers.count(v) for v in (1214, 0, 1e6, None, math.nan)] == ["1,214", "0", "1,000,000", "–", "NaN"]
    assert [numbers.percent(v) for v in (0.565, 1.0, None)] == ["56.5%", "100.0%", "–"]
    durations = [numbers.duration(v) for v in (18.4, 754, 3723, 200_000, -1, None, math.inf, math.nan)]
    assert durations == ["0:18", "12:34", "1:02:03", "2 d 07:33", "0:00", "–", "inf", "–"]
    times = [numbers.time_taken(v) for v in (0.0123, 0.452, 46.04, 59.96, 3723)]
    assert times == ["12.3 ms", "0.452 s", "46.0 s", "1:00", "1:02:03"]
    assert [numbers.rate(v) for v in (12_345, 812.2, 4.126, 0, None)] == ["12,300", "812", "4.13", "0", "–"]
    assert [numbers.short_count(v) for v in (9999, 41_234, 1_210_000)] == ["9,999", "41.2k", "1.21M"]


def test_days_are_those_of_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of yesterday evening would be called one of today, or after a night of 25 hours one of no day."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        moments = {text: datetime.fromisoformat(text).timestamp() for text in (
            "2026-10-26 00:30", "2026-10-26 00:00", "2026-10-25 23:59", "2026-10-25 00:00", "2026-10-24 12:00",
            "2026-10-20 00:00", "2026-10-19 23:59", "2026-10-27 00:00",
        )}  # fmt: skip
        now = moments["2026-10-26 00:30"]
        assert [numbers.day(moment, now) for moment in moments.values()] == [
            "today", "today", "yesterday", "yesterday", "Saturday", "Tuesday", "2026-10-19", "2026-10-27",
        ]  # fmt: skip
        assert numbers.midnight(now) == moments["2026-10-26 00:00"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_same_metric_and_its_spread_everywhere() -> None:
    """An accuracy that is a share in one table and a percentage in the next is not seen to be the same."""
    assert numbers.metric("val_accuracy", 0.9736) == numbers.percent(0.9736) == "97.4%"
    assert numbers.metric("test_loss", 0.30004) == "0.300"
    assert numbers.metric("test_loss", None) == "–"
    assert [numbers.spread("val_accuracy", v) for v in (0.0707, 0.004, 0.1)] == ["7.1%", "0.40%", "10%"]
    assert [numbers.spread("val_loss", v) for v in (0.1414, 123.4, 0.0005)] == ["0.14", "123", "5.0e-4"]


def test_what_is_missed_by_little_does_not_look_as_if_it_was_reached() -> None:
    """A learner would read 0.95 and be told that 0.95 was not reached."""
    assert [numbers.trimmed(v) for v in (0.9496, 0.95, 1e-5, 12_345.6, math.nan)] == [
        *("0.9496", "0.95", "1e-5", "12,346", "NaN")
    ]


def test_a_setting_is_shown_as_it_is() -> None:
    """Two runs whose settings differ in the last digit would look the same."""
    values = (0.1, 1e-5, 64, True, "relu", [64, 32], 0.1 + 0.2)
    assert [numbers.setting(v) for v in values] == [
        *("0.1", "1e-5", "64", "true", '"relu"', "[64, 32]", "0.30000000000000004")
    ]


def test_bytes_have_the_unit_that_they_are_measured_in() -> None:
    """80 GiB of memory that are called 80 GB are 6 GB more than the user counts on."""
    assert [numbers.size(v) for v in (9.42e6, 170.5e6, 999.9e6, 1.24e9)] == ["9.4 MB", "170 MB", "1.0 GB", "1.2 GB"]
    assert [numbers.memory(v) for v in (2**29, 1.4 * 2**30, 80 * 2**30)] == ["512 MiB", "1.4 GiB", "80 GiB"]


def test_a_column_lines_up_on_the_decimal_point() -> None:
    values = (0.0412, 11.3, 1214, 1.1e-4, None, math.nan, -3.2)
    column = numbers.align([numbers.number(value) for value in values])
    assert {len(text) for text in column} == {len(column[0])}
    points = {text.index(".") for text in column if "." in text}
    assert len(points) == 1
    assert column[2].rstrip() == "1,214"
    assert len(column[2].rstrip()) == points.pop()
    assert numbers.align([]) == []


def test_nothing_but_ascii_where_the_terminal_has_no_more() -> None:
    assert ascii_text("b − lr · ∂MSE/∂b = b − w·x") == "b - lr * dMSE/db = b - w*x"  # and no "w|x"
    shown = ascii_text("lr ×0.5 – ✗ … 손실")
    assert shown.isascii()
    assert shown.startswith("lr x0.5 - x ... ")
    for states in (STATES, LAB_STATES):
        cells = [ascii_cells(sign) for sign in states.values()]
        assert all(len(cell) == 1 and cell.isascii() for cell in cells)
        assert len(set(cells)) == len(states)  # told apart without Unicode too
    assert len({ascii_cells(level(eighth / 6)) for eighth in range(7)}) == 7


def test_each_sign_on_the_screen_has_one_of_ascii_in_as_many_cells() -> None:
    """Columns would slip, or a terminal without Unicode would show rubbish; a "±" alone would look like a plus."""
    assert ascii_cells("0.116 ± 0.025") == "0.116 +-0.025"
    assert len(ascii_cells("│ ± 1 sd")) == len("│ ± 1 sd")
    letters = {char for char in _strings_of(Path(tui.__file__).parent) if not char.isascii() and not char.isalpha()}
    assert len(letters) > 60
    left = {char for char in letters if not (ascii_cells(char).isascii() or char in "�")}
    assert left == set()
    assert all(len(ascii_cells(char)) == 1 for char in letters)


def _strings_of(folder: Path) -> set[str]:
    """Return the characters of all strings in the code, but for docstrings."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                found |= set(node.value)
    return found


def test_a_curve_and_a_bar_of_signs_say_the_same_at_any_width() -> None:
    """A falling loss that looks flat, or a bar that is full too soon, misleads who watches it."""
    falling = [2.3 * 0.9**step for step in range(200)]
    assert sparkline(falling, 7) == "▇▆▅▄▃▂▁"
    assert sparkline([math.nan, 1.0, math.inf], 5) == "▄"
    for share, done in ((0.0, 0), (0.5, 5), (1.0, 10), (7.0, 10), (0.44, 5)):
        full, rest = progress_bar(share, 10)
        assert (len(full), len(full + rest)) == (done, 10)
