"""The curves of a run, from its rows and events: loss, accuracy, gradient norm, throughput, learning rate."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from descent.common.i18n import _
from descent.run.follower import Follower, Member
from descent.run.not_given import is_given
from descent.run.series import MinMaxPyramid, take
from tui.data.evaluations import Points, digest_of
from tui.plot.chart_data import NOTHING, ChartData, Line, Mark
from tui.plot.sampling import (
    View,
    XMode,
    Zoom,
    band,
    envelope,
    is_nowhere_negative,
    marks_in,
    points_line,
    series_lines,
    total_steps,
    view_of,
)

if TYPE_CHECKING:
    from engine.preset.schedule import Plan


PLAN_POINTS = 200
# Rows hold times in float32, which are 0.03 s apart after 100 h. A bin of the throughput spans as many of these steps
# at least, so that their rounding is 2% of it at most.
STAMPS = 64
RATE_BINS = 120  # of the throughput: shorter ones show the machine's noise
COLOURS = 8  # of members that are told apart
EACH = 12  # members drawn each; of more than that the band says enough


def loss_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step",
    goal: float | None = None, picked: int | None = None,
) -> ChartData:  # fmt: skip
    """Return the training loss of every step, raw and smoothed, and the evaluations of the validation split.

    Of several members, return their mean, the range from the least to the greatest as a band, a line for each, and
    the member that was `picked` in front. Members that diverged are left out, unless picked.
    """
    return _measured(follower, "loss", dots, zoom, smoothing, x_mode, goal=goal, picked=picked)


def accuracy_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step",
    goal: float | None = None, picked: int | None = None,
) -> ChartData:  # fmt: skip
    """Return the same for the accuracy, in percent."""
    return _measured(follower, "accuracy", dots, zoom, smoothing, x_mode, goal=goal, factor=100.0, picked=picked)


def grad_norm_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step",
    picked: int | None = None,
) -> ChartData:  # fmt: skip
    """Return the norm of the gradient over all parameters, before clipping, at the steps that measured it."""
    return _measured(follower, "grad_norm", dots, zoom, smoothing, x_mode, picked=picked)


def column_curve(
    follower: Follower, column: str, dots: int, zoom: Zoom = None, smoothing: float = 0.6,
    x_mode: XMode = "step", member: Member | None = None,
) -> ChartData:  # fmt: skip
    """Return any column of the rows, such as `layer.NAME.update_ratio`."""
    view = view_of(follower, dots, zoom, x_mode)
    if view is None:
        return NOTHING
    series = follower.series(column, member if member is not None else _members(follower))
    lines = series_lines(series, view, smoothing, name=column.rsplit(".", maxsplit=1)[-1], sparse=True)
    return _data(follower, view, lines, series={lines[-1].name: series} if lines else {})


def scalar_curve(
    follower: Follower, name: str, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step"
) -> ChartData:
    """Return a number that the loop gives by name, at the steps that have it."""
    view = view_of(follower, dots, zoom, x_mode)
    if view is None:
        return NOTHING
    series = follower.scalars.series(name)
    lines = series_lines(series, view, smoothing, name=name, sparse=True)
    fits_log = bool(lines) and is_nowhere_negative(series, Points())
    return _data(follower, view, lines, series={name: series} if lines else {}, fits_log=fits_log)


def evaluation_curve(
    follower: Follower, name: str, dots: int, zoom: Zoom = None, x_mode: XMode = "step", picked: int | None = None
) -> ChartData:
    """Return a metric of the evaluations on the validation split: of the member picked, or the mean of all."""
    view = view_of(follower, dots, zoom, x_mode)
    if view is None:
        return NOTHING
    points = digest_of(follower).points("validation", name, "mean" if picked is None else picked)
    factor = 100.0 if name.endswith("accuracy") else 1.0
    lines = [points_line(points, view, factor)] if len(points.steps) else []
    fits_log = not bool((points.values < 0).any())
    return _data(follower, view, lines, points=points, factor=factor, fits_log=fits_log, note=_together(follower))


def throughput_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step"
) -> ChartData:
    """Return steps per second, from the column `time` of the rows."""
    view = view_of(follower, dots, zoom, x_mode)
    time = follower.series("time")
    if view is None or len(time) < 2:
        return NOTHING
    first, last = view.steps
    begin, end = take(time, np.array([first, max(first, last - 1)]))
    told_apart = int((end - begin) / (STAMPS * np.spacing(end))) if end > begin else 1
    count = max(1, min(dots // 2, RATE_BINS, (last - first) // 2, told_apart))
    edges = np.unique(np.linspace(first, max(first, last - 1), count + 1).astype(np.int64))
    seconds = np.diff(take(time, edges).astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(seconds > 0, np.diff(edges) / seconds, np.nan)
    line = Line("step/s", view.scale.at((edges[1:] + edges[:-1]) / 2), rates, rates, "train")
    return _data(follower, view, [line] if len(rates) else [])


def rate_curve(
    follower: Follower, dots: int, zoom: Zoom = None, x_mode: XMode = "step", plan: "Plan | None" = None,
    picked: int | None = None,
) -> ChartData:  # fmt: skip
    """Return the learning rate so far, and the plan from now on to the run's end.

    If members have different rates, return a line for each and no plan, because they have no common one.
    """
    total = plan.total_steps if plan is not None else total_steps(follower)
    mode: XMode = "step" if x_mode == "time" else x_mode  # steps to come have no time yet
    view = view_of(follower, dots, zoom, mode, end=total)
    if view is None:
        return NOTHING
    series = follower.series("lr", _members(follower))
    lines = series_lines(series, view, 0.0, name="rate", sparse=True)
    if _rates_differ(follower, view):
        own = _each(follower, "lr", view, 0.0, picked, style="train", sparse=True)
        low, high = view.range
        own = [
            dataclasses.replace(line, marker=line.name[-1], marked=(low + (high - low) * (0.1 + 0.08 * place),))
            for place, line in enumerate(own)
        ]
        return _data(follower, view, own, marked=False, note=_("each member's own"))
    now = follower.step
    if plan is not None and now < plan.total_steps:
        low, high = view.scale.steps(np.array(view.range))
        first, last = max(now, int(low)), min(plan.total_steps - 1, int(high))
        steps = np.unique(np.linspace(first, last, min(PLAN_POINTS, max(2, dots))).astype(np.int64))
        planned = np.array([plan.rate(int(step)) for step in steps])
        if first <= last:
            lines.append(Line("planned", view.scale.at(steps), planned, planned, "planned", latest=math.nan))
    data = _data(follower, view, lines, series={"rate": series}, marked=False)
    mark = (Mark(float(view.scale.at(np.array([now]))[0]), _("now"), "quiet"),) if now and plan is not None else ()
    ended = total is None or now >= total
    return dataclasses.replace(data, marks=() if ended else mark)


def x_range(follower: Follower, x_mode: XMode = "step") -> tuple[float, float] | None:
    """Return the whole range of the run's x axis; None for a run without rows."""
    view = view_of(follower, 2, None, x_mode)
    return view.range if view is not None else None


# --- parts ---


def _members(follower: Follower) -> Member:
    return "mean" if follower.layout is not None and len(follower.layout.members) > 1 else 0


def _measured(
    follower: Follower, column: str, dots: int, zoom: Zoom, smoothing: float, x_mode: XMode,
    *, goal: float | None = None, factor: float = 1.0, picked: int | None = None,
) -> ChartData:  # fmt: skip
    view = view_of(follower, dots, zoom, x_mode)
    if view is None:
        return NOTHING
    sparse, name = (True, column) if column == "grad_norm" else (False, "train")
    total = None if sparse else total_steps(follower)
    points = Points() if sparse else digest_of(follower).points("validation", column)
    many = _members(follower) == "mean"
    if many:
        _want(follower, column, picked)
    series = follower.series(column, _members(follower))
    lines = series_lines(series, view, smoothing, name=name, factor=factor, sparse=sparse, total=total)
    if lines and not (many or follower.ended):
        told = follower.series("loss") if sparse else series  # of what is seldom measured, NaN says nothing
        last = told.values(len(told) - 1)
        if not np.isfinite(last[is_given(last)]).all():
            lines[-1] = dataclasses.replace(lines[-1], latest=math.nan)  # the last number was long ago
    exact, least = {name: series}, series
    if many and lines:
        least, _, most = follower.band(column)
        behind = band(least, most, view, smoothing, factor=factor, sparse=sparse, total=total)
        members = _each(follower, column, view, smoothing, picked, factor=factor, sparse=sparse, total=total)
        lines = [behind, *members, lines[-1]]
        if picked is not None:
            exact[f"#{picked}"] = follower.series(column, picked)
    if len(points.steps):
        lines.append(points_line(points, view, factor))
    return _data(
        follower, view, lines, goal=goal, factor=factor, series=exact, points=points, note=_together(follower),
        gaps=series.breaks if column == "loss" else [],
        fits_log=column != "loss" or is_nowhere_negative(least, points),
        most=factor if column == "accuracy" else math.inf,
    )  # fmt: skip


def _want(follower: Follower, column: str, picked: int | None) -> None:
    """All that is drawn of several members, in one pass over the past."""
    assert follower.layout is not None
    count = len(follower.layout.members)
    each = range(count) if count <= EACH else () if picked is None else (picked,)
    follower.want([column], "low", "mean", "high", *each)


def _each(
    follower: Follower, column: str, view: View, smoothing: float, picked: int | None,
    *, style: str = "faint", factor: float = 1.0, sparse: bool = False, total: int | None = None,
) -> list[Line]:  # fmt: skip
    """A line for each member that has not diverged, and for the one that was picked in any case.

    Candidates of a sweep have a colour each, the same in every chart, where there are enough.
    """
    assert follower.layout is not None
    lines = []
    count = len(follower.layout.members)
    coloured = count <= COLOURS and any(member.get("values") for member in follower.layout.members)
    for member in range(count):
        if member != picked and (count > EACH or member in follower.diverged):
            continue
        name = f"#{member}" if member == picked or style != "faint" or coloured else ""
        own = series_lines(
            follower.series(column, member), view, smoothing, name=name, factor=factor, sparse=sparse, total=total
        )
        shown = "member" if member == picked else f"run{member + 1}" if coloured else style
        lines += [dataclasses.replace(line, style=shown) for line in own[-1:]]
    return lines


def _rates_differ(follower: Follower, view: View) -> bool:
    if _members(follower) != "mean":
        return False
    low, _, high = follower.band("lr")
    _, *least = envelope(low, view, 1.0, sparse=True)
    _, *greatest = envelope(high, view, 1.0, sparse=True)
    return any(not np.allclose(a, b, rtol=1e-5, atol=0.0) for a, b in zip(least, greatest, strict=True))


def _together(follower: Follower) -> str:
    """Say of how many members the mean is drawn."""
    members = len(follower.layout.members) if follower.layout is not None else 1
    lost = len(follower.diverged)
    if members == 1:
        return ""
    if lost == members:
        return _("all diverged")
    if lost:
        return _("mean of {count}, {lost} diverged", count=members - lost, lost=lost)
    return _("mean of {count}", count=members)


def _data(
    follower: Follower, view: View, lines: list[Line],
    *, goal: float | None = None, factor: float = 1.0, series: dict[str, MinMaxPyramid] | None = None,
    points: Points | None = None, gaps: list[int] | None = None, marked: bool = True, note: str = "",
    fits_log: bool = True, most: float = math.inf,
) -> ChartData:  # fmt: skip
    return ChartData(
        tuple(lines),
        marks_in(follower, view) if marked else (),
        view.range,
        view.scale.mode,
        goal,
        tuple(view.scale.at(np.array(gaps)).tolist()) if gaps else (),
        note,
        fits_log,
        most,
        float(view.scale.at(np.array([max(0, follower.step - 1)]))[0]),
        exact=_exact(follower, view, lines, series or {}, points or Points(), factor),
    )


def _exact(
    follower: Follower, view: View, lines: list[Line], series: dict[str, MinMaxPyramid], points: Points, factor: float
) -> Callable[[float], tuple[float, dict[str, float]]]:
    """Looks up the values of the step at an x: those of rows and evaluations as they were measured, else as drawn.

    It is asked while the follower may be at work: what it looks into stays as it is, or may grow shorter.
    """
    steps, values = points.steps, points.values

    def look_up(x: float) -> tuple[float, dict[str, float]]:
        step, at = int(view.scale.steps(np.array([x]))[0]), x
        found: dict[str, float] = {}
        if step < follower.step:
            step = max(0, step)
            at = float(view.scale.at(np.array([step]))[0])
            for name, measured in series.items():
                value = measured.values(step, step + 1)
                if len(value):  # no longer where a rewind has just taken the step away
                    found[name] = float(value[0]) * factor
        said = int(np.searchsorted(steps, step, side="right")) - 1  # the last one said by then
        for line in lines:
            if not line.name or line.name in found or line.xs is None or not len(line.xs):
                continue
            if line.style == "validation":
                if said >= 0:
                    found[line.name] = float(values[said]) * factor
                continue
            nearest = int(np.searchsorted(line.xs, at, side="right")) - 1
            if nearest >= 0 and at < line.xs[-1]:
                found[line.name] = float(line.high[nearest])
        return at, found

    return look_up
