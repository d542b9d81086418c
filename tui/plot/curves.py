"""The curves of a run, from its rows and events: loss, accuracy, gradient norm, throughput, learning rate."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from descent.common.i18n import _
from descent.run.follower import Follower, Member
from descent.run.not_given import is_given
from descent.run.rates import ForeseenRates
from descent.run.series import MinMaxPyramid, take
from descent.run.sweep import member_name
from tui.data.candidates import COLOURS, ranked, sign_of, style_of
from tui.data.evaluations import Points, best_of, history_of
from tui.data.recent import mean_now
from tui.plot.chart_data import NOTHING, Best, ChartData, Line, Mark
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
_CLOSE = 4096  # steps within which a value that is seldom measured is looked for
EACH = 12  # members drawn each; of more than that the band says enough
SIGNED = 3  # times that a candidate's sign stands on its curve


def loss_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step",
    goal: float | None = None, picked: int | None = None, who: Member | None = None,
) -> ChartData:  # fmt: skip
    """Return the training loss of every step, raw and smoothed, and the evaluations of the validation split.

    Of several members, return their mean, the range from the least to the greatest as a band, a line for each, and
    the member that was `picked` in front. Members that diverged are left out, unless picked. Of a sweep, return a
    line for each candidate, unless `who` says which members are shown.
    """
    return _measured(follower, "loss", dots, zoom, smoothing, x_mode, goal=goal, picked=picked, who=who)


def accuracy_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step",
    goal: float | None = None, picked: int | None = None, who: Member | None = None,
) -> ChartData:  # fmt: skip
    """Return the same for the accuracy, in percent."""
    return _measured(
        follower, "accuracy", dots, zoom, smoothing, x_mode, goal=goal, factor=100.0, picked=picked, who=who
    )


def grad_norm_curve(
    follower: Follower, dots: int, zoom: Zoom = None, smoothing: float = 0.6, x_mode: XMode = "step",
    picked: int | None = None, *, log: bool = False,
) -> ChartData:  # fmt: skip
    """Return the norm of the gradient over all parameters, before clipping, at the steps that measured it.

    log: whether the axis is logarithmic; what is smoothed for it is the logarithm.
    """
    return _measured(follower, "grad_norm", dots, zoom, smoothing, x_mode, picked=picked, log=log)


def column_curve(
    follower: Follower, column: str, dots: int, zoom: Zoom = None, smoothing: float = 0.6,
    x_mode: XMode = "step", member: Member | None = None, *, log: bool = False,
) -> ChartData:  # fmt: skip
    """Return any column of the rows, such as `layer.NAME.update_ratio`. log: as of the gradient's norm."""
    view = view_of(follower, dots, zoom, x_mode)
    if view is None:
        return NOTHING
    series = follower.series(column, member if member is not None else _members(follower))
    lines = series_lines(series, view, smoothing, name=column.rsplit(".", maxsplit=1)[-1], sparse=True, log=log)
    return _data(follower, view, lines, series={lines[-1].name: series} if lines else {}, sparse=True)


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
    factor = 100.0 if name.endswith("accuracy") else 1.0
    if follower.points:
        return _of_candidates(
            follower, name, view, 0.0, goal=None, factor=factor, sparse=False, picked=picked, rows=False
        )
    points = history_of(follower).points("validation", name, "mean" if picked is None else picked)
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
    follower: Follower, dots: int, zoom: Zoom = None, x_mode: XMode = "step",
    plan: "Plan | ForeseenRates | None" = None, picked: int | None = None,
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
    if _rates_differ(follower, view) and follower.points:
        of = _of_candidates(follower, "lr", view, 0.0, goal=None, factor=1.0, sparse=True, picked=picked)
        return dataclasses.replace(of, marks=())
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
    return dataclasses.replace(data, marks=() if ended else mark, constant=_constant(lines))


def _constant(lines: list[Line]) -> float | None:
    """The value of lines that have one alone."""
    values = [extremes for line in lines for extremes in (line.low, line.high) if len(extremes)]
    if not values:
        return None
    low, high = min(float(each.min()) for each in values), max(float(each.max()) for each in values)
    return high if high - low <= 1e-6 * abs(high) else None


def x_range(follower: Follower, x_mode: XMode = "step") -> tuple[float, float] | None:
    """Return the whole range of the run's x axis; None for a run without rows."""
    view = view_of(follower, 2, None, x_mode)
    return view.range if view is not None else None


# --- parts ---


def _members(follower: Follower) -> Member:
    return "mean" if follower.layout is not None and len(follower.layout.members) > 1 else 0


def _measured(
    follower: Follower, column: str, dots: int, zoom: Zoom, smoothing: float, x_mode: XMode,
    *, goal: float | None = None, factor: float = 1.0, picked: int | None = None, who: Member | None = None,
    log: bool = False,
) -> ChartData:  # fmt: skip
    view = view_of(follower, dots, zoom, x_mode)
    if view is None:
        return NOTHING
    if follower.points and who is None:
        return _of_candidates(
            follower, column, view, smoothing, goal=goal, factor=factor, sparse=column == "grad_norm", picked=picked
        )
    sparse, name = (True, column) if column == "grad_norm" else (False, "train")
    total = None if sparse else total_steps(follower)
    shown = _members(follower) if who is None else who
    points = Points() if sparse else history_of(follower).points("validation", column, shown if who else "mean")
    many = shown == "mean"
    if many:
        _want(follower, column, picked)
    series = follower.series(column, shown)
    lines = series_lines(series, view, smoothing, name=name, factor=factor, sparse=sparse, total=total, log=log)
    if lines and not sparse and (now := mean_now(follower, column, shown)) is not None:
        lines[-1] = dataclasses.replace(lines[-1], latest=now * factor)
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
    best = None
    if len(points.steps):
        lines.append(points_line(points, view, factor))
        best = _best(follower, shown, points, view, factor)
    return _data(
        follower, view, lines, goal=goal, factor=factor, series=exact, points=points, note=_together(follower),
        best=best, sparse=sparse,
        gaps=series.breaks if column == "loss" else [],
        fits_log=column != "loss" or is_nowhere_negative(least, points),
        most=factor if column == "accuracy" else math.inf,
    )  # fmt: skip


def _of_candidates(
    follower: Follower, column: str, view: View, smoothing: float,
    *, goal: float | None, factor: float, sparse: bool, picked: int | None, rows: bool = True,
) -> ChartData:  # fmt: skip
    """Return a line for each candidate of a sweep: its evaluations once there are two, before that its training.

    A member that was picked is drawn as in a run of its own, with the candidates behind it. Of many candidates only
    the best have colours. rows: whether the rows have such a column too.
    """
    digest, total = history_of(follower), None if sparse else total_steps(follower)
    evaluated = {} if sparse else {p.members: digest.points("validation", column, p.members) for p in follower.points}
    by_evaluations = not rows or any(len(points.steps) > 1 for points in evaluated.values())
    order = ranked(follower)
    named = {point.members for point in order[:COLOURS]} if picked is None else set()
    numbers = {point.members: number for number, point in enumerate(follower.points, 1)}
    if not by_evaluations:
        follower.want([column], *(point.members for point in follower.points))
    lines: list[Line] = []
    exact: dict[str, MinMaxPyramid] = {}
    said: dict[str, Points] = {}
    for point in order:
        if all(member in follower.diverged for member in point.members):
            continue
        number, is_named = numbers[point.members], point.members in named
        if by_evaluations:
            own = points_line(evaluated[point.members], view, factor)
            said |= {point.name: evaluated[point.members]} if is_named else {}
        else:
            series = follower.series(column, point.members)
            drawn = series_lines(series, view, smoothing, name="", factor=factor, sparse=sparse, total=total)
            if not drawn:
                continue
            own, exact = drawn[-1], exact | ({point.name: series} if is_named else {})
        sign = sign_of(number)
        lines.append(
            dataclasses.replace(
                own,
                name=point.name if is_named else "",
                style=style_of(number) if is_named else "faint",
                marker=sign if is_named else "",
                marked=_places(view, number, len(follower.points)) if is_named else (),
            )
        )
    shown = Points()
    if picked is not None:
        series, name = follower.series(column, picked), member_name(follower.points, picked)
        own_lines = series_lines(series, view, smoothing, name=name, factor=factor, sparse=sparse, total=total)
        lines += [dataclasses.replace(line, style="member") for line in own_lines[-1:]]
        exact[name] = series
        shown = Points() if sparse else digest.points("validation", column, picked)
        if len(shown.steps):
            lines.append(points_line(shown, view, factor))
    below = any(bool((points.values < 0).any()) for points in evaluated.values())
    if not by_evaluations and column == "loss":
        below = not is_nowhere_negative(follower.series(column, "low"), shown)
    note = _("validation, each candidate") if by_evaluations else _("training, each candidate")
    return _data(
        follower, view, lines, goal=goal, factor=factor, series=exact, points=shown, said=said, sparse=sparse,
        note=note if not sparse else _("each candidate"),
        fits_log=not below,
        most=factor if column == "accuracy" else math.inf,
    )  # fmt: skip


def _places(view: View, number: int, count: int) -> tuple[float, ...]:
    """Return where a candidate's sign stands on its curve: those of others stand elsewhere."""
    low, high = view.range
    return tuple(low + (high - low) * (time + (number - 0.5) / count) / SIGNED for time in range(SIGNED))


def _best(follower: Follower, who: Member, points: Points, view: View, factor: float) -> Best | None:
    """Where the best evaluation lies on the curve, if it is not the only one."""
    found = best_of(follower, who)
    at = int(np.searchsorted(points.steps, found[0])) if found is not None else len(points.steps)
    if found is None or at >= len(points.steps) or points.steps[at] != found[0]:
        return None
    return Best(float(view.scale.at(points.steps[at : at + 1])[0]), float(points.values[at]) * factor)


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
    """A line for each member that has not diverged, and for the one that was picked in any case."""
    assert follower.layout is not None
    lines = []
    count = len(follower.layout.members)
    for member in range(count):
        if member != picked and (count > EACH or member in follower.diverged):
            continue
        name = f"#{member}" if member == picked or style != "faint" else ""
        own = series_lines(
            follower.series(column, member), view, smoothing, name=name, factor=factor, sparse=sparse, total=total
        )
        shown = "member" if member == picked else style
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
    fits_log: bool = True, most: float = math.inf, said: dict[str, Points] | None = None, best: Best | None = None,
    sparse: bool = False,
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
        exact=_exact(
            follower, view, lines, series or {}, {"val": points or Points(), **(said or {})}, factor, sparse
        ),
        best=best,
    )


def _exact(
    follower: Follower,
    view: View,
    lines: list[Line],
    series: dict[str, MinMaxPyramid],
    points: dict[str, Points],
    factor: float,
    sparse: bool,
) -> Callable[[float], tuple[float, dict[str, float]]]:
    """Looks up the values of the step at an x: those of rows and evaluations as they were measured, else as drawn.

    It is asked while the follower may be at work: what it looks into stays as it is, or may grow shorter. points: the
    evaluations, by the name of their line. sparse: NaN in the series means that nothing was measured at a step.
    """

    def look_up(x: float) -> tuple[float, dict[str, float]]:
        step, at = int(view.scale.steps(np.array([x]))[0]), x
        found: dict[str, float] = {}
        if step < follower.step:
            step = max(0, step)
            at = float(view.scale.at(np.array([step]))[0])
            for name, measured in series.items():
                value = measured.values(max(0, step + 1 - _CLOSE) if sparse else step, step + 1)
                if sparse:  # the last one measured by then, as in the table of layers
                    value = value[np.isfinite(value)][-1:]
                # None is there where a rewind has just taken the step away.
                if len(value) and (name in ("train", "rate") or name.startswith("#") or np.isfinite(value[0])):
                    found[name] = float(value[0]) * factor
        for line in lines:
            if not line.name or line.name in found or line.xs is None or not len(line.xs):
                continue
            if line.name in points:
                steps, values = points[line.name]
                said = int(np.searchsorted(steps, step, side="right")) - 1  # the last one said by then
                if said >= 0:
                    found[line.name] = float(values[said]) * factor
                continue
            nearest = int(np.searchsorted(line.xs, at, side="right")) - 1
            if nearest >= 0 and at < line.xs[-1]:
                found[line.name] = float(line.high[nearest])
        return at, found

    return look_up
