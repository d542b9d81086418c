"""A chart is looked at to decide: what it shows must be what the numbers are, at any size."""

import dataclasses

import numpy as np
import pytest
from rich.cells import cell_len

from tests.helpers.drawings import drawn, text
from tui.plot import draw
from tui.plot.axes import Axis
from tui.plot.canvas import STYLES, TINTED, Canvas, frame
from tui.plot.chart_data import Best, ChartData, Line, Mark

LARGE = """\
 │                   ┆lr ×0.5
 │                   ┆
 │⢧                  ┆
2┤⠈⢇                 ┆
 │ ⠈⢦                ┆             ⢰
 │  ⠈⢧⡀              ┆             ⢸
 │    ⠳⣄             ┆             ⢸
1┤     ⠈⠳⣄           ┆             ⢸
 │       ⠈⠳⢄⡀ ⣤⡀     ┆             ⢸                goal 0.5
 │⠤ ⠤ ⠤ ⠤ ⠤ ⠉⠓⠦⠈⣀ ⠒⠒⠤┆⢄⣀⠤ ⣀ ⠤ ⠤ ⠤ ⠤⢸⠤ ⠤ ⠤ ⠤ ⠤ ⠤ ⠤ ⠤ ⠤ ⠤ ⠤ ⠤
 │              ⠈⠉⠓⠒⠦⠤⠤⢄⣀⣀⠉⠉⣀ ⠉⠒  ⠒⠒  ⠛⠒  ⠒⠒  ⠒⠒  ⠛
0┤                   ┆      ⠈⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉✗⠉⠉⠉⠉⠁
 └┬───────────────────────┬───────────────────────┬─────────
  0                      500                    1,000
"""
MIDDLE = """\
 │⡀        ┆lr ×0.5
2┤⢳⡀       ┆
 │ ⢳⡀      ┆      ⡇
 │  ⠙⢦⡀    ┆      ⡇   goal 0.5
 │⠤ ⠤ ⠙⠘⠃⣀⠤⠤⠤⢠⣄⣀⠤ ⣀⣀⡀ ⠤ ⠤⣀⠤ ⠤
0┤        ⠉⠉⠉⠓⠒⠒⠒⠒⠓⠈⠁⠒⠉✗⠒⠉
  0         500        1,000
"""
SMALL = """\
⣄  ┆ ⢀
⠈⠓⠲⠤⠒⠒⠤✗⠶
"""
PLAIN = """\
   |                  :lr x0.5
  3+                  :
   |.                 :
   |''|_              :             |
   |   '|._           :             |
  1+      '-.         :             |
   |         '-o::  : :             |               goal 0.5
   |- - - - - -''-._-:- ::-o- - - - | - - - - - - - - - - -
0.3+               '|._     ::  ::  :: o::  ::  ::o
   |                  ''--._        |
   |                  :    '''-..___|
0.1+                  :            '''''------x-...
   ++----------------------+----------------------+---------
    0                     500                   1,000
"""


def _falling() -> ChartData:
    x = np.arange(0, 1001.0)
    y = 2.3 * np.exp(-x / 150) + 0.1
    y[700] = 1.8
    at = np.array([250.0, 500, 750, 1000])
    validation = 2.3 * np.exp(-at / 140) + 0.3
    lines = (
        Line("train", x, y, y, "train"),
        Line("val", at, validation, validation, "validation", marker="●"),
    )
    return ChartData(lines, (Mark(400.0, "lr ×0.5"),), (0, 1200), "step", goal=0.5, gaps=(900.0,))


@pytest.mark.parametrize(("size", "expected"), [((60, 14), LARGE), ((30, 7), MIDDLE), ((10, 2), SMALL)])
def test_what_a_chart_looks_like(size: tuple[int, int], expected: str) -> None:
    assert text(drawn(_falling(), *size)) + "\n" == expected


def test_what_it_looks_like_in_ascii() -> None:
    shown = text(drawn(_falling(), 60, 14, log=True, unicode=False))
    assert shown + "\n" == PLAIN
    assert shown.isascii()


def _points(*values: float, **options: object) -> ChartData:
    """A line of one value a step over the range of x that they take."""
    y = np.array(values, np.float64)
    return ChartData((Line("train", np.arange(float(len(y))), y, y, "train"),), (), (0, len(y) - 1), **options)


def _rows_with(canvas: Canvas, style: str) -> list[int]:
    return sorted(set(np.nonzero(canvas.styles == STYLES.index(style))[0].tolist()))


def test_no_spike_is_lost_however_many_steps_share_a_column() -> None:
    """The one step that explains a divergence would not be seen."""
    for place in (0, 1, 49_999, 99_998, 99_999):
        values = np.full(100_000, 1.0)
        values[place] = 9.0
        assert len(_rows_with(drawn(_points(*values), 40, 10), "train")) >= 6


def test_a_gap_is_marked_and_never_bridged() -> None:
    values = [1.0] * 100
    values[40:60] = [np.nan] * 20
    canvas = drawn(_points(*values, gaps=(40.0,)), 60, 10)
    line = np.nonzero((canvas.styles == STYLES.index("train")).any(axis=0))[0]
    hole = np.flatnonzero(np.diff(line) > 1)
    assert len(hole) == 1
    assert line[hole[0] + 1] - line[hole[0]] > 8
    assert sum(canvas.text(row).count("✗") for row in range(canvas.height)) == 1


def test_a_line_is_whole_however_steep_it_is() -> None:
    canvas = drawn(_points(*([0.0] * 10 + [100.0] * 10)), 40, 12)
    rows = _rows_with(canvas, "train")
    assert rows == list(range(rows[0], rows[-1] + 1))
    assert len(rows) >= 8


def test_a_point_stands_at_its_value_to_the_dot() -> None:
    """A validation point below the training line was drawn above it: a sign fills a whole cell."""
    x = np.arange(0, 101.0)
    for train, validation in ((50.0, 48.0), (48.0, 50.0)):
        at = np.array([60.0])
        y = np.full(101, train)
        point = np.full(1, validation)
        lines = (Line("train", x, y, y, "train"), Line("val", at, point, point, "validation", "●"))
        place = frame(42, 20, 0)
        axis = Axis(0, 100, ())
        found = draw._dots_of_points(place, lines[1], axis, axis)
        (row,) = draw.dot_rows(np.array([validation]), axis, place.rows).tolist()
        rows = np.flatnonzero(found.any(axis=1)).tolist()
        assert rows == [round(row) - 1, round(row)]
        canvas = draw.draw(ChartData(lines, (), (0, 100)), place, axis, axis)
        assert "●" not in text(canvas)


def test_the_validation_is_in_front_of_a_training_that_swings() -> None:
    """In a small chart each cell near the validation was the training's, and the validation could not be followed."""
    x = np.arange(400.0)
    train = Line("train", x, 50 + 20 * np.sin(x), 50 + 20 * np.sin(x), "train")
    at = np.arange(40, 400, 40.0)
    validation = Line("val", at, at * 0 + 50, at * 0 + 50, "validation", "●")
    drawn_once = drawn(ChartData((train, validation), (), (0, 399)), 38, 16)
    assert (drawn_once.styles == STYLES.index("validation")).sum() >= 15
    assert (drawn_once.styles == STYLES.index("train")).sum() >= 100


@pytest.mark.parametrize(
    ("found", "wide"),
    [
        ((74.994, 75.0), (74.497, 75.497)),
        ((60.0, 90.0), (60.0, 90.0)),
        ((100.0, 100.0), (99.0, 100.0)),
        ((0, 0), (0, 1)),
    ],
)
def test_an_axis_of_an_accuracy_that_hardly_changes_stays_readable(
    found: tuple[float, float], wide: tuple[float, float]
) -> None:
    """Its labels were 74.994, 74.996 and 74.998."""
    assert draw.widened(found, 100.0) == pytest.approx(wide)


def test_where_most_batches_lie_is_a_tint_and_never_dots() -> None:
    x = np.arange(100.0)
    batches = Line("", x, x * 0, x * 0 + 10, "spread")
    data = ChartData((batches, Line("train", x, x * 0 + 5, x * 0 + 5, "train")), (), (0, 99))
    coloured, plain = (drawn(data, 40, 12, colour=colour) for colour in (True, False))
    assert coloured.tinted.any()
    assert not plain.tinted.any()
    assert text(coloured) == text(plain)
    assert any(style.endswith(TINTED) for _, style in coloured.pieces(6))
    few = Line("", x[::10], x[::10] * 0, x[::10] * 0 + 10, "spread")
    wide = drawn(ChartData((few,), (), (0, 90)), 200, 12)
    (row,) = wide.tinted[5:6]
    assert row[np.flatnonzero(row)[0] : np.flatnonzero(row)[-1] + 1].all()  # no pillars where points are far apart


def test_the_best_evaluation_has_a_star() -> None:
    at = np.array([10.0, 50.0, 90.0])
    y = np.array([3.0, 1.0, 2.0])
    data = ChartData((Line("val", at, y, y, "validation", "●"),), (), (0, 100), best=Best(50.0, 1.0))
    (row,) = [line for line in text(drawn(data, 42, 12)).splitlines() if "★" in line]
    assert row.startswith("1")


def test_lines_can_be_told_apart_without_colours() -> None:
    x = np.linspace(0, 100, 50)
    both = [drawn(ChartData((Line("a", x, x, x, style),), (), (0, 100)), 40, 10) for style in ("train", "validation")]
    assert text(both[0]) != text(both[1])
    raw = [drawn(ChartData((Line("", x, x, x, "faint"),), (), (0, 100)), 40, 10, colour=c) for c in (True, False)]
    assert text(raw[0]) != text(raw[1])


def test_what_lies_behind_leaves_the_line_in_front_thin() -> None:
    x = np.arange(100.0)
    behind = Line("", x, x * 0, x * 0 + 10, "faint")
    front = Line("train", x, x * 0 + 5, x * 0 + 5, "train")
    data = ChartData((front, behind), (), (0, 99))
    canvas = drawn(data, 40, 12)
    assert len(_rows_with(canvas, "train")) == 1
    assert len(_rows_with(canvas, "faint")) > 5


def test_log_axis_shows_what_is_above_zero() -> None:
    data = _points(0.0, -1.0, 0.01, 0.1, 1.0)
    assert draw.extent(data, Axis(0, 4, ()), log=True) == (0.01, 1.0)
    assert _rows_with(drawn(data, 40, 10, log=True), "train")
    assert draw.extent(_points(0.0, -1.0), Axis(0, 1, ()), log=True) is None


def test_labels_hide_no_curve_and_wide_characters_no_column() -> None:
    marks = tuple(Mark(float(x), text_, "quiet") for x, text_ in ((10, "학습률 ×0.5"), (11, "배치"), (99, "끝에서")))
    full = Line("train", np.arange(100.0), np.zeros(100), np.full(100, 50.0), "train")
    for lines in ((full,), ()):
        low = Line("low", np.arange(100.0), np.zeros(100), np.zeros(100), "train")
        data = ChartData((*lines, low), marks, (0, 99))
        for width in range(4, 60, 5):
            canvas = drawn(data, width, 9)
            for row in range(9):
                pieces = "".join(piece for piece, _ in canvas.pieces(row))
                assert pieces == canvas.text(row)
                wide = int((canvas.codes[row] == 0).sum())
                assert len(pieces) + wide == width
    assert "배치" in text(canvas)
    assert "끝에서" in text(canvas)  # left of its line, where there is no room right of it


def test_only_cells_that_differ_are_painted() -> None:
    before, after = (drawn(_points(1.0, 2.0, 3.0, last), 40, 10) for last in (3.0, 2.9))
    assert before.changed(before) == []
    changed = after.changed(before)
    assert changed
    assert sum(last - first + 1 for _, first, last in changed) < 40
    assert after.changed(drawn(_points(1.0, 2.0), 30, 10)) is None


@pytest.mark.parametrize("width", range(1, 30, 3))
@pytest.mark.parametrize("height", [1, 2, 3, 4, 6, 9])
def test_any_size(width: int, height: int) -> None:
    data = _falling()
    place = frame(width, height, 12)
    canvas = draw.draw(data, place, Axis(0, 1200, ((0, "0"), (1000, "1,000"))), Axis(0, 3, ((1, "1"),)), cursor=300.0)
    assert canvas.codes.shape == (height, width)


@pytest.mark.parametrize("text", ["plain", "─" * 9, "a─b", "긴 이름", "─긴", "a\tb", "e\u0301", ""])
@pytest.mark.parametrize("column", [-2, 0, 3, 7, 12])
def test_a_text_on_the_canvas_takes_its_cells_and_no_more(text: str, column: int) -> None:
    """What does not fit would wrap to the next row, and a wide character would move what follows it."""
    canvas, expected = Canvas(8, 2), [" "] * 8
    canvas.put(1, column, text, "quiet")
    for sign in text:
        size = cell_len(sign)
        if size == 0 or column < 0:
            continue
        if column + size > 8:
            break
        expected[column : column + size] = [sign, *[""] * (size - 1)]
        column += size
    assert canvas.text(1) == "".join(expected)
    assert canvas.text(0) == " " * 8


def test_a_goal_far_below_the_curve_is_on_a_logarithmic_axis() -> None:
    """The goal 0.001 stood at 0.01, and a loss that came down to 0.01 would look as if it had met it."""
    values = np.array([0.5, 0.145])
    data = ChartData((Line("train", None, values, values, "train"),), (), (0, 100), "step", goal=0.001)
    assert draw.extent(data, Axis(0, 100, ()), log=True) == (0.001, 0.5)
    assert draw.extent(dataclasses.replace(data, goal=None), Axis(0, 100, ()), log=True) == (0.145, 0.5)
