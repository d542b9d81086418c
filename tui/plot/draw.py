"""Drawing a chart's data into cells: the frame, the lines, the marks. Knows nothing of the screen."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from descent.common import braille
from descent.common.arrays import Floats
from descent.common.glyphs import ascii_text
from descent.common.i18n import _
from descent.common.numbers import trimmed
from descent.common.text import clean
from tui.plot.axes import Axis
from tui.plot.canvas import ASCII, RANK, SPACE, UNICODE, Canvas, Frame, Signs, by_column
from tui.plot.chart_data import Best, ChartData, Line, Mark

_DASHED = {"validation": 4, "planned": 2}  # dots of a dash and of the hole behind it: told without colours
_BEHIND = ("band", "spread", "faint")
POINT = "●"
_TINTS = ("band", "spread")  # areas
STEEP = 0.1  # of a curve: what it falls or rises by there is often more than in all the rest
FAR = 2.5  # times the range of the rest, from which on the first steps are left out of a fitted axis
LEAST_SHARE = 0.01  # of the largest value that can be: what an axis shows of it at least
MARK_ROWS = 3  # rows from the top in which a mark's label may stand


def draw(
    data: ChartData,
    place: Frame,
    x_axis: Axis,
    y_axis: Axis,
    *,
    unicode: bool = True,
    colour: bool = True,
    cursor: float | None = None,
) -> Canvas:
    """Draw everything. cursor: the x that it stands on."""
    canvas = Canvas(place.width, place.height)
    signs = UNICODE if unicode else ASCII
    _draw_frame(canvas, place, x_axis, y_axis, signs)
    _draw_lines(canvas, place, data.lines, x_axis, y_axis, unicode=unicode, colour=colour)
    gaps = _columns(np.array(data.gaps), x_axis, place)
    for column in np.unique(gaps[gaps >= 0]).tolist():
        canvas.put(place.rows - 1, column, signs.gap, "trouble")
    if data.goal is not None:
        text = _("goal {value}", value=trimmed(data.goal))
        _draw_goal(canvas, place, data.goal, text, y_axis, signs, unicode=unicode)
    _draw_marks(canvas, place, data.marks, x_axis, signs, unicode=unicode)
    if data.best is not None:
        _draw_best(canvas, place, data.best, x_axis, y_axis, signs)
    if cursor is not None:
        column = _column(cursor, x_axis, place)
        if column is not None:
            _fill_column(canvas, place, column, signs.cursor, "cursor", faint_too=True)
    return canvas


def extent(data: ChartData, x_axis: Axis, *, log: bool, fitted: bool = False) -> tuple[float, float] | None:
    """The least and the greatest value to be seen; None where there is none, or none above 0 for a log axis.

    Areas behind lines don't count: single batches would set the axis. fitted: without the first STEEP of each line,
    where those would leave little room for the rest.
    """
    lines = [line for line in data.lines if line.style not in _TINTS] or list(data.lines)
    if len(lines) > 1:  # what diverged before would flatten what is looked at
        lines = [line for line in lines if line.style != "ghost"]
    whole = _range(data, lines, x_axis, log=log)
    if whole is None or not fitted or log:
        return whole
    rest = _range(data, lines, x_axis, log=False, after=STEEP)
    return rest if rest is not None and whole[1] - whole[0] > FAR * (rest[1] - rest[0]) > 0 else whole


def widened(found: tuple[float, float], most: float) -> tuple[float, float]:
    """Return a range of LEAST_SHARE of `most` at least: labels such as 74.994 % would say nothing of an accuracy."""
    low, high = found
    least = LEAST_SHARE * most
    if high - low >= least:
        return found
    low = max(0.0, min((low + high - least) / 2, most - least))
    return low, low + least


def _range(
    data: ChartData, lines: Sequence[Line], x_axis: Axis, *, log: bool, after: float = 0.0
) -> tuple[float, float] | None:
    """The extremes of some lines. after: the share of what is shown of each that is left out at its beginning."""
    lows: list[float] = []
    highs: list[float] = []
    least = math.inf  # of what is more than a faint background
    begin = x_axis.low + after * (min(data.end or x_axis.high, x_axis.high) - x_axis.low)
    for line in lines:
        shown = np.ones(len(line.low), np.bool_)
        if line.xs is not None:
            shown = (line.xs >= begin) & (line.xs <= x_axis.high)
        with np.errstate(invalid="ignore"):
            shown &= np.isfinite(line.low) & np.isfinite(line.high) & (line.low > (0 if log else -math.inf))
        if shown.any():
            lows.append(float(line.low[shown].min()))
            highs.append(float(line.high[shown].max()))
            least = least if line.style in _BEHIND else min(least, lows[-1])
    if data.goal is not None and (data.goal > 0 or not log):
        lows.append(data.goal)
        highs.append(data.goal)
    if not lows:
        return None
    if not log or not math.isfinite(least):
        return min(lows), max(highs)
    # Single batches may be learned to a millionth: a logarithmic axis has other things to show. A goal stands at its
    # own height.
    foot = least / 10 if data.goal is None or data.goal <= 0 else min(least / 10, data.goal)
    return max(min(lows), foot), max(highs)


# --- places ---


def _column(x: float, axis: Axis, place: Frame) -> int | None:
    """The column of cells in which x lies, of the whole chart; None outside."""
    share = axis.place(x)
    if not -1e-9 <= share <= 1 + 1e-9:
        return None
    return place.gutter + min(place.columns - 1, max(0, int(share * place.columns)))


def _columns(xs: Floats, axis: Axis, place: Frame) -> NDArray[np.int64]:
    """The columns of cells in which they lie, of the whole chart; -1 outside."""
    share = (xs - axis.low) / (axis.high - axis.low)
    inside = (share >= -1e-9) & (share <= 1 + 1e-9)
    column = np.clip(np.where(inside, share, 0) * place.columns, 0, place.columns - 1).astype(np.int64)
    return np.where(inside, place.gutter + column, -1)


def _row(value: float, axis: Axis, place: Frame) -> int:
    """The row of cells of a value; the axis' low end is the last one, its high end the first."""
    return round((1 - axis.place(value)) * (place.rows - 1))


def dot_rows(values: NDArray[np.floating], axis: Axis, rows: int) -> Floats:
    """Values as rows of dots from the top. NaN where an axis can't show the value; 0 is at the foot of a log axis."""
    if axis.log:
        values = np.where((values >= 0) & (values < axis.low), axis.low, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.log10(values.astype(np.float64)) if axis.log else values.astype(np.float64)
    low, high = (math.log10(axis.low), math.log10(axis.high)) if axis.log else (axis.low, axis.high)
    scaled = np.where(np.isfinite(scaled), scaled, np.nan)
    # The low end lies in the middle of the last row of cells, where its label stands; the high end of the first.
    span = max(1, rows - 1) * braille.DOWN
    return 2 + (1 - (scaled - low) / (high - low)) * span


def sampled(line: Line, x_axis: Axis, y_axis: Axis, place: Frame, *, area: bool = False) -> tuple[Floats, Floats]:
    """The line's first and last row of dots in each column of dots, (dots,) each; NaN where it has none.

    Points that fall into the same column are drawn as their extremes; between columns lie straight lines. area: it
    is what lies between its low and its high end.
    """
    count = place.dots
    top, bottom = dot_rows(line.high, y_axis, place.rows), dot_rows(line.low, y_axis, place.rows)
    if line.xs is None:
        bins = len(top)
        column = np.minimum(((np.arange(bins) + 0.5) * count / max(1, bins)).astype(np.int64), count - 1)
    else:
        share = (np.asarray(line.xs, np.float64) - x_axis.low) / (x_axis.high - x_axis.low) * count
        column = np.floor(np.clip(share, -1e9, 1e9)).astype(np.int64)
        column[share == count] = count - 1  # the last step of all stands on the edge
    return by_column(column, top, bottom, count, area=area)


# --- parts ---


def _draw_frame(canvas: Canvas, place: Frame, x_axis: Axis, y_axis: Axis, signs: Signs) -> None:
    edge = place.gutter - 1
    if place.gutter:
        for row in range(place.rows):
            canvas.put(row, edge, signs.vertical, "quiet")
        for value, label in y_axis.ticks:
            row = _row(value, y_axis, place)
            if 0 <= row < place.rows:
                canvas.put(row, edge, signs.tick_left, "quiet")
                canvas.put(row, max(0, edge - len(label)), label[:edge], "quiet")
    if place.below == 2:
        canvas.put(place.rows, max(0, edge), signs.corner if place.gutter else signs.horizontal, "quiet")
        canvas.put(place.rows, edge + 1, signs.horizontal * place.columns, "quiet")
    if place.below:
        _draw_x_labels(canvas, place, x_axis, signs)


def _draw_x_labels(canvas: Canvas, place: Frame, axis: Axis, signs: Signs) -> None:
    free = 0
    for value, label in axis.ticks:
        column = _column(value, axis, place)
        if column is None:
            continue
        start = max(0, min(column - (len(label) - 1) // 2, place.width - len(label)))
        if start < free:
            continue
        free = start + len(label) + 2
        canvas.put(place.height - 1, start, label, "quiet")
        if place.below == 2:
            canvas.put(place.rows, column, signs.tick_below, "quiet")


def _draw_lines(
    canvas: Canvas, place: Frame, lines: tuple[Line, ...], x_axis: Axis, y_axis: Axis, *, unicode: bool, colour: bool
) -> None:
    shape = place.rows, place.columns
    cells = np.zeros(shape, np.uint8)
    owners = np.zeros(shape, np.uint8)
    kinds = np.zeros(shape, np.int64)  # of signs, where the terminal has ASCII alone
    ordered = sorted(lines, key=lambda line: RANK[line.style])
    for line in ordered:
        if line.style in _TINTS and colour:
            area = braille.spans(*sampled(line, x_axis, y_axis, place, area=True), place.rows * braille.DOWN)
            _tint(canvas, place, area)
            continue
        if line.style == "spread":
            continue  # without colours it would hide what it stands behind
        height = place.rows * braille.DOWN
        dots = braille.spans(*_inside(*sampled(line, x_axis, y_axis, place), height), height)
        dashed = _DASHED.get(line.style, 3 if line.dashed else 0)
        if dashed:
            dots = braille.dashes(dots, dashed)
        elif line.style == "band":
            dots = braille.shade(dots)
        elif line.style == "faint" and not colour:
            dots = braille.sparse(dots)
        drawn = braille.bits(dots)
        here = drawn > 0
        # A line in front stays thin and clean: in its cells there is nothing of what stays behind it. Dots of two
        # lines share a cell only where the cell's one colour does not matter.
        covers = here & (owners < RANK[line.style]) & (colour | (owners <= RANK["faint"]))
        merged = drawn if not unicode else cells | drawn
        cells = np.where(covers, drawn, np.where(here, merged, cells))
        owners = np.where(here, np.uint8(RANK[line.style]), owners)
        kinds = np.where(here, 1 if dashed else 2 if line.style in _BEHIND else 0, kinds)
    for line in ordered:
        if line.marker == POINT and unicode:  # in front of all lines
            points = braille.bits(_dots_of_points(place, line, x_axis, y_axis))
            here, own = points > 0, owners == RANK[line.style]
            cells = np.where(here, np.where(own, cells, 0) | points, cells)
            owners = np.where(here, np.uint8(RANK[line.style]), owners)
    signs = braille.characters(cells) if unicode else braille.ascii_signs(cells, kinds)
    inside = np.s_[: place.rows, place.gutter :]
    canvas.codes[inside] = np.where(cells > 0, signs, canvas.codes[inside])
    canvas.styles[inside] = np.where(cells > 0, owners, canvas.styles[inside])
    for line in ordered:
        if line.marker and not (line.marker == POINT and unicode):
            _draw_points(canvas, place, line, x_axis, y_axis, unicode=unicode)


def _inside(top: Floats, bottom: Floats, height: int) -> tuple[Floats, Floats]:
    """Without what lies beyond the axis as a whole: it would be a line along the chart's edge."""
    with np.errstate(invalid="ignore"):
        outside = (np.rint(bottom) < 0) | (np.rint(top) >= height)
    return np.where(outside, np.nan, top), np.where(outside, np.nan, bottom)


def _tint(canvas: Canvas, place: Frame, area: braille.Dots) -> None:
    """Colour the ground of the cells that lie in the area with half of their dots at least."""
    rows, columns = place.rows, place.columns
    dots = area[:, : columns * braille.ACROSS].reshape(rows, braille.DOWN, columns, braille.ACROSS).sum(axis=(1, 3))
    canvas.tinted[:rows, place.gutter : place.gutter + columns] |= dots >= braille.DOWN


def _dots_of_points(place: Frame, line: Line, x_axis: Axis, y_axis: Axis) -> braille.Dots:
    """Two by two dots at each point, at its height to the dot; at the last one alone where they are many."""
    found = np.zeros((place.rows * braille.DOWN, place.dots), np.bool_)
    if line.xs is None or not len(line.xs):
        return found
    share = (np.asarray(line.xs, np.float64) - x_axis.low) / (x_axis.high - x_axis.low)
    column = np.clip(np.floor(share * place.dots), 0, place.dots - 1)
    row = np.rint(dot_rows(line.high, y_axis, place.rows))
    shown = (share >= -1e-9) & (share <= 1 + 1e-9) & (row >= 0) & (row < found.shape[0])  # a NaN too is left out
    columns, rows = column[shown].astype(np.int64), row[shown].astype(np.int64)
    if len(columns) * 4 > place.columns:
        columns, rows = columns[-1:], rows[-1:]
    columns, rows = np.minimum(columns, place.dots - 2), np.clip(rows - 1, 0, found.shape[0] - 2)
    for right in (0, 1):
        for below in (0, 1):
            found[rows + below, columns + right] = True
    return found


def _draw_best(canvas: Canvas, place: Frame, best: Best, x_axis: Axis, y_axis: Axis, signs: Signs) -> None:
    """A star on the curve at its best evaluation."""
    column = _column(best.x, x_axis, place)
    (row,) = dot_rows(np.array([best.value]), y_axis, place.rows).tolist()
    if column is not None and 0 <= row < place.rows * braille.DOWN:
        canvas.put(int(row) // braille.DOWN, column, signs.best, best.style)


def _draw_points(canvas: Canvas, place: Frame, line: Line, x_axis: Axis, y_axis: Axis, *, unicode: bool) -> None:
    """A sign at each point, where they are far enough apart; else at the last one alone."""
    if line.xs is None or not len(line.xs):
        return
    xs, values = line.xs, line.high
    if line.marked:
        there = np.flatnonzero(np.isfinite(values))
        chosen = there[np.searchsorted(xs[there[:-1]], line.marked)] if len(there) else there
        xs, values = xs[chosen], values[chosen]
    columns, dots = _columns(xs, x_axis, place), dot_rows(values, y_axis, place.rows)
    shown = (columns >= 0) & ~np.isnan(dots)
    columns, rows = columns[shown], np.clip(dots[shown] // braille.DOWN, 0, place.rows - 1).astype(np.int64)
    least = 0 if len(columns) * 4 <= place.columns else len(columns) - 1
    sign = line.marker if unicode or line.marker.isascii() else "o"
    for column, row in zip(columns[least:].tolist(), rows[least:].tolist(), strict=True):
        canvas.put(row, column, sign, line.style)


def _draw_marks(
    canvas: Canvas, place: Frame, marks: Sequence[Mark], x_axis: Axis, signs: Signs, *, unicode: bool
) -> None:
    columns = _columns(np.array([mark.x for mark in marks]), x_axis, place).tolist()
    inside = [(column, mark) for column, mark in zip(columns, marks, strict=True) if column >= 0]
    trouble = {column: mark for column, mark in inside if mark.style == "trouble"}
    shown = list((dict(inside) | trouble).items())  # one a column; trouble is seen whatever has been done since
    for column, mark in shown:
        _fill_column(canvas, place, column, signs.mark, mark.style)
    taken = np.array(sorted(column for column, _ in shown))
    for column, mark in reversed(shown):  # where there is no room for all, the latest are said
        at = int(np.searchsorted(taken, column))
        right = int(taken[at + 1]) - column if at + 1 < len(taken) else place.width
        left = column - int(taken[at - 1]) if at else place.width
        if max(left, right) > 2:  # else the next mark is in the way of any label
            label = clean(mark.text) if unicode else ascii_text(clean(mark.text).replace(" · ", " | "))
            if cell_len(label) + 1 < max(left, right):
                _label(canvas, place, column, label, mark.style)


def _fill_column(
    canvas: Canvas, place: Frame, column: int, sign: str, style: str, *, faint_too: bool = False
) -> None:
    """A vertical line behind the curves."""
    codes, styles = canvas.codes[: place.rows, column], canvas.styles[: place.rows, column]
    free = codes == SPACE
    if faint_too:
        free = free | ((styles == RANK["faint"]) | (styles == RANK["quiet"])) & (codes != 0)
    codes[free], styles[free] = ord(sign), RANK[style]


def _label(canvas: Canvas, place: Frame, column: int, label: str, style: str) -> None:
    """Beside its line, in the first row where it hides nothing; left out where there is none."""
    length = cell_len(label)
    for start, first in ((column + 1, column + 1), (column - length, column - length - 1)):  # with a blank cell
        if not label or start < place.gutter or start + length > place.width:
            continue
        for row in range(min(MARK_ROWS, place.rows)):
            around = canvas.codes[row, max(0, first) : min(place.width, first + length + 1)]
            if (around == SPACE).all():
                canvas.put(row, start, label, style)
                return


def _draw_goal(
    canvas: Canvas, place: Frame, goal: float, text: str, axis: Axis, signs: Signs, *, unicode: bool
) -> None:
    """Dashes at the goal's height, to the dot, behind the curves."""
    height = place.rows * braille.DOWN
    row = dot_rows(np.array([goal]), axis, place.rows)
    if not 0 <= row[0] < height:  # a NaN too: no place on a log axis
        return
    level = np.full(place.dots, row[0])
    cells = braille.bits(braille.dashes(braille.spans(level, level, height)))
    drawn = braille.characters(cells) if unicode else np.where(cells > 0, ord(signs.goal), SPACE)
    area = np.s_[: place.rows, place.gutter :]
    free = (canvas.codes[area] == SPACE) & (cells > 0)
    canvas.codes[area] = np.where(free, drawn, canvas.codes[area])
    canvas.styles[area] = np.where(free, RANK["goal"], canvas.styles[area])
    line = round(row[0]) // braille.DOWN
    start = place.width - cell_len(text)
    for text_row in (line - 1, line + 1):
        inside = 0 <= text_row < place.rows and start > place.gutter
        if inside and (canvas.codes[text_row, start - 1 :] == SPACE).all():
            canvas.put(text_row, start, text, "goal")
            return
