"""A study's curve: a metric against what varies, in braille dots, or in ASCII if the terminal has no more."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from descent.common import braille, stdio
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.numbers import count, number, setting
from descent.common.text import did_you_mean, short_names, show
from descent.run.result_metrics import COLUMNS, DECIDING, METRICS, SPLIT_HEADS, MetricName, Split, metric_of, names_in
from engine.study.folder import Study
from engine.study.results import Point
from engine.study.vary import label

if TYPE_CHECKING:
    from rich.text import Text


_MARKS = "●▲■◆▼○"
_STYLES = ("cyan", "magenta", "yellow", "green", "blue", "red")  # each line also has its own mark
_OF_SPLITS: dict[Split, str] = {"train": "blue", "validation": "yellow", "test": "green"}  # as the console has them
_ROWS = 13
_WIDEST = 100
_PIPED = 80
_LOGARITHMIC = 20  # a range of this ratio and more is drawn on a logarithmic axis


class Place(NamedTuple):
    """A point of the plot. x: 0 to 1 along the axis. y: a mean. std: its standard deviation over several repeats."""

    x: float
    y: float
    std: float | None

    def ends(self) -> tuple[float, ...]:
        """Return the ends of the bar that shows the spread, or only the mean without a spread."""
        return (self.y - self.std, self.y + self.std) if self.std else (self.y,)


@dataclass(frozen=True)
class Curve:
    """A line of the plot: its name, and its points by x. style: its own, where it has one."""

    name: str
    points: tuple[Place, ...]
    style: str = ""


def draw(study: Study, points: Sequence[Point], *, metric: str | None, by: str | None) -> "Text | None":
    """Return the study's curve, or None if fewer than two points have numbers.

    Raises DescentError for a wrong `metric` or `by`.
    """
    key, wanted = _key(study, points, by), _metrics(points, metric)
    if key is None or not wanted:
        return None
    points = [point for point in points if any(name in point.metrics for name in wanted)]
    places, ticks = _places(points, key)
    others = [axis.key for axis in study.axes if axis.key != key and len(axis.values) > 1]
    if key == "parameters":  # the lists decide the number of parameters
        others = [other for other in others if not _is_shape(points, other)]
    if others:  # a line for each combination of the other keys, of one split
        wanted = wanted[:1]
    curves = _curves(points, places, wanted, others)
    if max((len(curve.points) for curve in curves), default=0) < 2:
        return None
    shown = curves[: len(_MARKS)]
    first = metric_of(wanted[0])
    what = _(first.title) if len(wanted) == 1 else _(first.column)
    title = _(
        "{metric} by {key}", metric=what, key=_("parameters") if key == "parameters" else short_names([key])[key]
    )
    if len(curves) > len(shown):
        title += " " + _("(the first {shown} of {total})", shown=len(shown), total=len(curves))
    return _Plot(shown, ticks, title).text()


# --- what is drawn ---


def _key(study: Study, points: Sequence[Point], by: str | None) -> str | None:
    """Return the key of the x axis: `by`, else the key with most values. For lists, the number of parameters."""
    axes = sorted(study.axes, key=lambda axis: -len(axis.values))
    keys = [axis.key for axis in axes if len(axis.values) > 1]
    sizes = len({point.parameters for point in points} - {None}) > 1
    allowed = [*keys, "parameters"]
    if by is not None:
        meant = [key for key in keys if by in (key, key.rpartition(".")[2])]
        if by == "parameters" or len(meant) == 1:
            return by if by == "parameters" else meant[0]
        raise DescentError(
            _("--by {given}: must be one of {allowed}", given=show(by), allowed=", ".join(allowed))
            + did_you_mean(by, allowed)
        )
    if not keys:
        return None
    return "parameters" if sizes and _is_shape(points, keys[0]) else keys[0]


def _is_numeric(points: Sequence[Point], key: str) -> bool:
    return all(isinstance(p.values[key], int | float) and not isinstance(p.values[key], bool) for p in points)


def _is_shape(points: Sequence[Point], key: str) -> bool:
    return any(isinstance(point.values[key], list) for point in points)


def _metrics(points: Sequence[Point], metric: str | None) -> list[MetricName]:
    """Return the wanted metrics that were measured: one, or a column such as `loss` of every split.

    The one that points are chosen by comes first.
    """
    there = [metric_of(name) for name in names_in([METRICS, *(point.metrics for point in points)])]
    allowed = list(dict.fromkeys([*COLUMNS, *(each.column for each in there), *(each.name for each in there)]))
    if metric is not None and metric not in allowed:
        raise DescentError(
            _("--metric {given}: must be one of {allowed}", given=show(metric), allowed=", ".join(allowed))
            + did_you_mean(metric, allowed)
        )
    wanted = [each.name for each in there if (metric or "loss") in (each.name, each.column)]
    wanted.sort(key=lambda name: DECIDING.index(name) if name in DECIDING else len(DECIDING))
    return [name for name in wanted if any(name in point.metrics for point in points)]


def _places(points: Sequence[Point], key: str) -> tuple[dict[int, float], list[tuple[float, str]]]:
    """Return the place of each point along the axis, from 0 to 1, and the labels of the axis."""
    values: dict[int, Any] = {p.index: p.parameters if key == "parameters" else p.values[key] for p in points}
    values = {index: value for index, value in values.items() if value is not None}
    if key == "parameters" or _is_numeric(points, key):
        scale = _Scale([float(value) for value in values.values()])
        places = {index: scale.share(float(value)) for index, value in values.items()}
        written = count if key == "parameters" else setting
        return places, sorted({(places[index], written(value)) for index, value in values.items()})
    labels = list(dict.fromkeys(setting(value) for value in values.values()))
    at = {name: place / max(1, len(labels) - 1) for place, name in enumerate(labels)}
    return {index: at[setting(value)] for index, value in values.items()}, [(at[name], name) for name in labels]


def _curves(
    points: Sequence[Point], places: dict[int, float], metrics: Sequence[MetricName], others: list[str]
) -> list[Curve]:
    found: dict[tuple[str, str], list[Place]] = {}
    for metric in metrics:
        split = metric_of(metric).split
        for point in points:
            spread = point.metrics.get(metric)
            if spread is None or point.index not in places or not math.isfinite(spread.mean):
                continue
            name = label({key: point.values[key] for key in others})
            curve = (name, "") if name else (_(SPLIT_HEADS[split]), _OF_SPLITS[split])
            found.setdefault(curve, []).append(Place(places[point.index], spread.mean, spread.std))
    return [Curve(name, tuple(sorted(at)), style) for (name, style), at in found.items()]


# --- how ---


class _Scale:
    """Map values onto 0 … 1, by their logarithms if they are positive and their range is wide."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        self.is_log = low > 0 and high / low >= _LOGARITHMIC
        self._low, self._high = self._of(low), self._of(high)

    def _of(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def share(self, value: float) -> float:
        span = self._high - self._low
        return (self._of(value) - self._low) / span if span else 0.5

    def value(self, share: float) -> float:
        value = self._low + share * (self._high - self._low)
        return math.exp(value) if self.is_log else value


class _Plot:
    """Draw cells of braille dots, each with the style of the line drawn last, and marks over them."""

    def __init__(self, curves: Sequence[Curve], ticks: Sequence[tuple[float, str]], title: str) -> None:
        self._unicode = stdio.has_unicode(sys.stdout.encoding)
        self._marks = self._plain(_MARKS)
        self._curves, self._ticks, self._title = curves, ticks, title
        places = [place for curve in curves for place in curve.points]
        low = min(place.y for place in places)
        # A bar is cut at 0 when all means are positive: below 0 the axis could not be logarithmic.
        ends = [end for place in places for end in place.ends() if end > 0 or low <= 0]
        self._scale = _Scale([*ends, *(place.y for place in places)])
        self._has_bars = any(place.std for place in places)
        every = max(1, (_ROWS - 1) // 4)
        self._labels = {row: number(self._scale.value(1 - row / (_ROWS - 1))) for row in range(0, _ROWS, every)}
        self._margin = max(map(len, self._labels.values()))
        wide = stdio.width() if sys.stdout.isatty() else _PIPED
        self._columns = max(10, min(wide, _WIDEST) - self._margin - 3)
        # Sign and style of each cell, by row and column; points lie over all lines.
        self._cells: dict[tuple[int, int], tuple[str, str]] = {}
        self._points: dict[tuple[int, int], tuple[str, str]] = {}

    def text(self) -> "Text":
        from rich.text import Text

        for number_, curve in reversed(list(enumerate(self._curves))):  # the first one lies on top
            self._draw(curve, self._marks[number_], curve.style or _STYLES[number_])
        legend = Text.assemble((self._title, "bold"), "   ")
        for number_, curve in enumerate(self._curves):
            legend.append(f"{self._marks[number_]} {curve.name}  ", curve.style or _STYLES[number_])
        if self._has_bars:
            legend.append(self._plain(_("bars: ± std")), "dim")
        lines = [legend, *(self._row(row) for row in range(_ROWS)), *map(Text, self._axis())]
        for line in lines:
            line.rstrip()
        return Text("\n").join(lines)

    @staticmethod
    def _plain(text: str) -> str:
        return stdio.plain(text, sys.stdout.encoding)

    def _draw(self, curve: Curve, mark: str, style: str) -> None:
        dots = np.zeros((_ROWS * braille.DOWN, self._columns * braille.ACROSS), np.bool_)
        at = [(round(place.x * (dots.shape[1] - 1)), self._height(place.y)) for place in curve.points]
        for (x, _height), place in zip(at, curve.points, strict=True):
            heights = [self._height(end) for end in place.ends()]
            dots[min(heights) : max(heights) + 1, x] = True
        for (x0, y0), (x1, y1) in pairwise(at):
            count = max(abs(x1 - x0), abs(y1 - y0), 1) + 1
            columns, rows = np.linspace(x0, x1, count), np.linspace(y0, y1, count)
            dots[np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)] = True
        cells = braille.bits(dots)
        signs = braille.characters(cells, unicode=self._unicode)
        for row, column in np.argwhere(cells).tolist():
            self._cells[row, column] = chr(signs[row, column]), style
        self._points |= {(y // braille.DOWN, x // braille.ACROSS): (mark, style) for x, y in at}

    def _height(self, y: float) -> int:
        """Return the row of dots, counted from the top of the plot."""
        share = self._scale.share(y) if y > 0 or not self._scale.is_log else 0.0
        return round((1 - min(1.0, max(0.0, share))) * (_ROWS * braille.DOWN - 1))

    def _row(self, row: int) -> "Text":
        from rich.text import Text

        tick = self._plain("┤" if row in self._labels else "│")
        line = Text(f"{self._labels.get(row, ''):>{self._margin}} {tick}")
        cells = self._cells | self._points
        for column in range(self._columns):
            line.append(*cells.get((row, column), (" ", "")))
        return line

    def _axis(self) -> list[str]:
        """Return the line below the plot, and as many of its labels as have room."""
        across = [self._plain("─")] * self._columns
        below = [" "] * (self._columns + 1)
        free = 0
        for share, text in self._ticks:
            column = round(share * (self._columns - 1))
            begin = max(0, min(column - len(text) // 2, len(below) - len(text)))
            if begin < free or len(text) > len(below):
                continue
            across[column] = self._plain("┬")
            below[begin : begin + len(text)] = text
            free = begin + len(text) + 2
        return [
            f"{'':>{self._margin}} {self._plain('└')}{''.join(across)}",
            f"{'':>{self._margin}}  {''.join(below)}",
        ]
