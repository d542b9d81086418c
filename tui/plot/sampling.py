"""From a run's series to lines: no more points than can be seen, no extreme lost, by step, epoch or time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Floats
from descent.run import series
from descent.run.epochs import epochs_since
from descent.run.follower import Follower
from descent.run.series import MinMaxPyramid, Steps
from tui.data.evaluations import Points, history_of
from tui.plot import smoothing as smoothed
from tui.plot.axes import reach
from tui.plot.chart_data import Line, Mark
from tui.plot.smoothing import Smooth

Zoom = tuple[float, float] | None
Extremes = tuple[Floats, NDArray[Any], NDArray[Any]]  # xs, low, high

FEW = 200  # measured numbers below which none is smoothed away: each of them is seen
FEWEST = 50  # steps that the x axis shows at least, where the run has as many

XMode = Literal["step", "epoch", "time", "share"]


@dataclass(frozen=True)
class Scale:
    """Steps as x: themselves, epochs, seconds of training, or a share of the run's planned steps in percent."""

    mode: XMode
    breaks: tuple[Floats, Floats] | None = None  # steps and the epochs or shares they lie at
    time: MinMaxPyramid | None = None

    def at(self, steps: NDArray[Any]) -> Floats:
        """The x of each step."""
        steps = np.asarray(steps, np.float64)
        if self.breaks is not None:
            xs: Floats = np.interp(steps, *self.breaks)
            return xs
        if self.mode == "time" and self.time is not None:
            return np.nan_to_num(series.take(self.time, steps.astype(np.int64)).astype(np.float64))
        return steps

    def steps(self, xs: Floats) -> Steps:
        """The first step at or behind each x."""
        if self.breaks is not None:
            return np.ceil(np.interp(xs, self.breaks[1], self.breaks[0]) - 1e-6).astype(np.int64)
        if self.mode == "time" and self.time is not None:
            return series.search(self.time, xs)
        return np.ceil(xs - 1e-6).astype(np.int64)


@dataclass(frozen=True)
class View:
    """What is to be seen: a range of x, the steps of the run's rows in it, and how many dots there are for it."""

    scale: Scale
    range: tuple[float, float]
    steps: tuple[int, int]
    dots: int


def view_of(follower: Follower, dots: int, zoom: Zoom, mode: XMode, end: int | None = None) -> View | None:
    """None for a run without rows. end: the last step to be shown, where that is not up to the run."""
    if follower.layout is None or (follower.step == 0 and end is None):
        return None
    x_scale = scale(follower, mode)
    visible = zoom or (0.0, _end(follower, x_scale) if end is None else float(x_scale.at(np.array([end]))[0]))
    first, last = (int(step) for step in x_scale.steps(np.array(visible)))
    return View(x_scale, visible, (min(first, follower.step), min(last + 1, follower.step)), dots)


def _end(follower: Follower, x_scale: Scale) -> float:
    """The end of an x axis that shows all: it grows with the run, by sensible numbers, to the planned end."""
    total = total_steps(follower)
    if x_scale.mode == "time":
        return reach(float(x_scale.at(np.array([follower.step - 1]))[0]) if follower.step else 1.0)
    at = float(x_scale.at(np.array([follower.step]))[0])
    least = float(x_scale.at(np.array([FEWEST]))[0])
    most = float(x_scale.at(np.array([total]))[0]) if total else None
    if most is not None and at > most:  # an event that would tell of more steps is still to come
        most = at
    return reach(max(at, least if most is None else min(least, most)), most)


def series_lines(
    series: MinMaxPyramid, view: View, smoothing: float,
    *, name: str, factor: float = 1.0, sparse: bool = False, total: int | None = None, log: bool = False,
) -> list[Line]:  # fmt: skip
    """The series, smoothed, behind it where most of its values lie. Each line's `latest` is the last one measured.

    A column that is `sparse` is NaN where it was not measured, which is no gap. It is not smoothed while it has few
    numbers; with `log` their logarithms are averaged.
    """
    if not len(series):
        return []
    latest = _latest(series, factor)
    if smoothing <= 0 or (sparse and smoothed.measured_points(series) < FEW):
        return [Line(name, *envelope(series, view, factor, sparse=sparse), "train", latest=latest)]
    average = smoothed.average(series, smoothing, _on_axis(series, total), sparse=sparse, log=log)
    xs, low, high = _smooth(average, series, view, factor, sparse=sparse)
    middle = (low + high) / 2
    behind = (
        Line("", *envelope(series, view, factor, sparse=True), "faint") if sparse else _usual(series, view, factor)
    )
    return [behind, Line(name, xs, middle, middle, "train", latest=latest)]


def _usual(series: MinMaxPyramid, view: View, factor: float) -> Line:
    """Where most of the values lie, as a tint behind their line."""
    steps, low, high = series.usual(*view.steps, max(2, view.dots // 2))
    return Line("", view.scale.at(steps), low * np.float32(factor), high * np.float32(factor), "spread")


def _on_axis(series: MinMaxPyramid, total: int | None) -> int:
    """Steps on an axis that shows all so far: smoothed for the planned ones, a long run's first steps would lag."""
    return int(reach(max(len(series), min(FEWEST, total or FEWEST)), total))


def _latest(series: MinMaxPyramid, factor: float) -> float | None:
    latest = series.latest()
    return None if latest is None else latest * factor


def band(
    low: MinMaxPyramid,
    high: MinMaxPyramid,
    view: View,
    smoothing: float,
    *,
    factor: float,
    sparse: bool,
    total: int | None,
) -> Line:
    """From the least to the greatest member, as smooth as their mean is."""
    lows, highs = (smoothed.average(of, smoothing, _on_axis(of, total), sparse=sparse) for of in (low, high))
    xs, least, _ = _smooth(lows, low, view, factor, sparse=sparse)
    _, _, greatest = _smooth(highs, high, view, factor, sparse=sparse)
    return Line("", xs, least, greatest, "band")


def _smooth(average: Smooth, of: MinMaxPyramid, view: View, factor: float, *, sparse: bool) -> Extremes:
    """As `envelope`, with a last point for the steps that do not make a whole unit yet."""
    xs, low, high = envelope(average.series, view, factor, sparse=sparse, unit=average.unit)
    if average.unit == 1 or average.latest is None or view.steps[1] < len(average.series) * average.unit:
        return xs, low, high
    end = np.float32(average.latest * factor)
    return np.append(xs, view.scale.at(np.array([len(of) - 1]))), np.append(low, end), np.append(high, end)


def envelope(series: MinMaxPyramid, view: View, factor: float, *, sparse: bool, unit: int = 1) -> Extremes:
    """xs, low, high: of each point where there is a dot for it, else of as many bins as there are dots.

    unit: steps of a point, which lies at their last one.
    """
    first, last = (step // unit for step in view.steps)
    first, last = max(0, first - 1), min(len(series), last + 1)  # one more on each side: lines go on to the edge
    if last - first <= view.dots:
        values = series.values(first, last) * np.float32(factor)
        xs = view.scale.at(np.arange(first + 1, first + 1 + len(values)) * unit - 1)
        low = high = values
    else:
        xs = np.linspace(*view.range, view.dots + 1)
        edges = view.scale.steps(xs) // unit
        edges[-1] += 1  # the last step of all belongs to the last bin
        there = (edges[:-1] < last) & (edges[1:] > edges[:-1])
        xs = ((xs[:-1] + xs[1:]) / 2)[there]
        low, high = (extreme[there] * np.float32(factor) for extreme in series.envelope(edges))
    if sparse:
        measured = ~np.isnan(low)
        xs, low, high = xs[measured], low[measured], high[measured]
    return xs, low, high


def points_line(points: Points, view: View, factor: float) -> Line:
    """Evaluations: each as a point, or the extremes of those that share a dot."""
    latest = points.latest
    latest = math.nan if latest is None else latest * factor
    steps, values = points.steps, points.values
    # Of a long run they are too many to be placed one by one: the dots are looked up among them.
    bounds = view.scale.steps(np.linspace(*view.range, view.dots + 1))
    edges = np.searchsorted(steps, bounds)
    first = max(0, int(edges[0]) - 1)  # one more on each side
    last = min(len(steps), int(np.searchsorted(steps, bounds[-1], side="right")) + 1)
    if last - first <= view.dots:
        values = values[first:last] * factor
        return Line("val", view.scale.at(steps[first:last]), values, values, "validation", marker="●", latest=latest)
    starts = np.unique(np.append(edges[edges < last], first))
    least, greatest = (of.reduceat(values[:last], starts) * factor for of in (np.fmin, np.fmax))
    xs = view.scale.at(steps[np.append(starts[1:], last) - 1])
    return Line("val", xs, least, greatest, "validation", marker="●", latest=latest)


def marks_in(follower: Follower, view: View) -> tuple[Mark, ...]:
    """What has been changed, all of a step at one mark. Of steps that share a dot the last one, and each anomaly."""
    digest = history_of(follower)
    first, last = view.scale.steps(np.array(view.range))
    shown = _by_step(digest.marks_between(int(first), int(last)))
    if not shown:
        return ()
    xs = view.scale.at(np.array([step for step, _, _ in shown]))
    placed = list(zip(_bins(xs, view).tolist(), zip(xs.tolist(), shown, strict=True), strict=True))
    trouble = {of_dot: mark for of_dot, mark in placed if mark[1][2] == "trouble"}
    return tuple(Mark(x, text, style) for x, (_, text, style) in (dict(placed) | trouble).values())


def _by_step(marks: Sequence[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """Join the texts of one step and style, each once: step, text and style."""
    texts: dict[tuple[int, str], dict[str, None]] = {}
    for step, text, style in marks:
        texts.setdefault((step, style), {})[text] = None
    return [(step, " · ".join(each), style) for (step, style), each in texts.items()]


def _bins(xs: Floats, view: View) -> NDArray[np.int64]:
    low, high = view.range
    share = (xs - low) / (high - low) if high > low else np.zeros(len(xs))
    return np.clip(np.floor(share * view.dots), -1, view.dots).astype(np.int64)


def is_nowhere_negative(series: MinMaxPyramid, points: Points) -> bool:
    """Return whether a log axis can show all of it, 0 being at its foot."""
    least, _ = series.envelope(np.array([0, len(series)]))
    return not bool((least < 0).any() or (points.values < 0).any())


def scale(follower: Follower, mode: XMode) -> Scale:
    """How the run's steps lie on an x axis of that kind; by step where nothing else is known yet."""
    if mode == "epoch":
        breaks = _epochs(follower)
        return Scale("epoch", breaks) if breaks is not None else Scale("step")
    if mode == "time":
        return Scale("time", time=follower.series("time"))
    if mode == "share":
        total = float(max(total_steps(follower) or 0, follower.step, 1))
        return Scale("share", (np.array([0.0, total]), np.array([0.0, 100.0])))
    return Scale("step")


def _epochs(follower: Follower) -> tuple[Floats, Floats] | None:
    """Steps and the epochs they lie at: an epoch has fewer steps once the batch is larger."""
    changes = history_of(follower).epochs
    last = changes[-1] if changes else epochs_since(None, follower.facts)
    if last is None:
        return None
    steps, epochs = [0], [0.0]
    for change in changes:
        if change.since > steps[-1]:
            steps.append(change.since)
            epochs.append(change.passed)
    beyond = 10**12  # no run is longer: the last stretch goes on
    return np.array([*steps, beyond], np.float64), np.array([*epochs, last.at(beyond)], np.float64)


def total_steps(follower: Follower) -> int | None:
    """The run's last step as planned now."""
    total = history_of(follower).total_steps or follower.facts.get("total_steps")
    return int(total) if total else None
