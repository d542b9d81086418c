"""What charts show: curves of the run that a reader follows, goals of a lab, curves of the reference solution.

A goal is a dashed line at a threshold, with the current value in the border. The reference solution's curve stands
beside that of the learner's graded run, on the screen after a pass.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from descent.common.arrays import Floats, mean_over_members
from descent.common.i18n import N_, _
from descent.common.mean import mean_of_finite
from descent.common.numbers import number
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.metrics import Metrics
from engine.labs import grading
from engine.labs.format import Check
from tui.data.candidates import ranked
from tui.data.chosen_charts import EVALUATED, SCALAR
from tui.data.evaluations import history_of
from tui.data.reader import Reader, schedule_of
from tui.data.words import split_words
from tui.plot import curves
from tui.plot.chart_data import NOTHING, ChartData, Line
from tui.plot.legend import described, latest
from tui.plot.sampling import XMode, scale

if TYPE_CHECKING:
    from tui.data.labs import LabStatus
    from tui.widgets.chart import Chart


Zoom = tuple[float, float] | None
Source = Callable[[int, Zoom], ChartData]
Draw = Callable[[Follower, "Chart", int, Zoom], ChartData]
_CHARTS = {"loss": N_("loss"), "accuracy": N_("accuracy")}
PANES = {"loss": "loss", "accuracy": "accuracy", "grad_norm": "gradient", "lr": "rate"}


class Panes:
    """Sources for charts. One that can't be drawn at once, because the reader is at work, stays as it was."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._draw: dict[str, Draw] = {
            "loss": self._loss,
            "accuracy": self._accuracy,
            "rate": self._rate,
            "gradient": self._gradient,
            "throughput": lambda f, c, dots, zoom: curves.throughput_curve(f, dots, zoom, c.smoothing, c.x_mode),
        }

    def source(self, name: str, chart: "Chart") -> Source:
        """name: loss, accuracy, rate, gradient or throughput, or a curve of the user's own."""
        return self._held(chart, self._draw[name] if name in self._draw else self._own(name))

    def _own(self, curve: str) -> Draw:
        """Draw a scalar or a metric by its name."""
        prefix = SCALAR if curve.startswith(SCALAR) else EVALUATED
        name = curve.removeprefix(prefix)

        def draw(follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
            if prefix == SCALAR:
                return curves.scalar_curve(follower, name, dots, zoom, chart.smoothing, chart.x_mode)
            return curves.evaluation_curve(follower, name, dots, zoom, chart.x_mode, self._reader.member)

        return draw

    def step_at(self, x: float, unit: str) -> int | None:
        """Return the first step at or behind an x of the charts. None while the reader is at work."""
        mode: XMode = "epoch" if unit == "epoch" else "time" if unit == "time" else "step"
        with self._reader.looking() as follower:
            return None if follower is None else int(scale(follower, mode).steps(np.array([x]))[0])

    def own_curves(self) -> list[str]:
        """Return the curves of the run that have names of the user's own: scalars, and metrics of evaluations."""
        with self._reader.looking() as follower:
            if follower is None:
                return []
            evaluated = history_of(follower).names("validation")
            scalars = [f"{SCALAR}{name}" for name in follower.scalars.names.values()]
            return scalars + [f"{EVALUATED}{name}" for name in evaluated if name not in ("loss", "accuracy")]

    def want(self, columns: Sequence[str]) -> None:
        """Read several columns in one pass over the past, where they are to be drawn together."""
        with self._reader.looking() as follower:
            if follower is not None:
                follower.want(columns, self._reader.who)

    def column(self, column: str, chart: "Chart") -> Source:
        """Any column of the rows."""

        def draw(follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
            return curves.column_curve(
                follower, column, dots, zoom, chart.smoothing, chart.x_mode, self._reader.who, log=chart.log_y
            )

        return self._held(chart, draw)

    def _held(self, chart: "Chart", draw: Draw) -> Source:
        latest = [NOTHING]

        def source(dots: int, zoom: Zoom) -> ChartData:
            with self._reader.looking() as follower:
                if follower is not None:
                    latest[0] = self._as_then(follower, draw(follower, chart, dots, zoom))
            return latest[0]

        return source

    def _as_then(self, follower: Follower, data: ChartData) -> ChartData:
        """Name the candidates of a sweep in the order in which they stood at the step that the board shows."""
        past = self._reader.past
        if past is None or not follower.points:
            return data
        places = {point.name: place for place, point in enumerate(ranked(follower, past))}
        lines = sorted(data.lines, key=lambda line: places.get(line.name, len(places)))
        return dataclasses.replace(data, lines=tuple(lines))

    def _loss(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        return curves.loss_curve(follower, dots, zoom, chart.smoothing, chart.x_mode, picked=self._reader.member)

    def _accuracy(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        return curves.accuracy_curve(follower, dots, zoom, chart.smoothing, chart.x_mode, picked=self._reader.member)

    def _gradient(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        return curves.grad_norm_curve(
            follower, dots, zoom, chart.smoothing, chart.x_mode, self._reader.member, log=chart.log_y
        )

    def _rate(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        builder = self._reader.builder
        plan = builder.plan if builder is not None else None
        data = curves.rate_curve(follower, dots, zoom, chart.x_mode, plan, self._reader.member)
        schedule = schedule_of(builder.preset if builder is not None else {})
        return data if data.note else dataclasses.replace(data, note=described(plan, schedule))


def goals(checks: tuple[Check, ...]) -> dict[str, Check]:
    """The first check that has a goal in each pane, by the pane's name."""
    found: dict[str, Check] = {}
    for check in checks:
        if check.goal is not None and height(check) is not None:
            found.setdefault(PANES[check.goal.chart], check)
    return found


def height(check: Check) -> float | None:
    """Where the line is drawn, in the chart's own unit; None where the threshold is an expression."""
    limit = check.least if check.least is not None else check.most
    if check.goal is None or not isinstance(limit, int | float):
        return None
    return 100 * limit if check.goal.chart == "accuracy" else float(limit)


def with_goal(source: Source, check: Check) -> Source:
    """The source's data with the check's goal drawn in."""
    goal = height(check)
    assert goal is not None
    assert check.goal is not None
    series = check.goal.series

    def drawn(dots: int, zoom: Zoom) -> ChartData:
        data = source(dots, zoom)
        now = next((latest(line) for line in data.lines if line.name and _is(line.style, series)), None)
        if now is None or not math.isfinite(now):
            said = _("goal {value}", value=number(goal))
        else:
            said = _("goal {value}, now {now}", value=number(goal), now=number(now))
        return dataclasses.replace(data, goal=goal, note=" · ".join(filter(None, [said, data.note])))

    return drawn


GHOSTS: dict[str, Callable[..., ChartData]] = {  # what draws the curve of a run in a pane
    "loss": curves.loss_curve,
    "accuracy": curves.accuracy_curve,
    "gradient": curves.grad_norm_curve,
}


def with_ghost(chart: "Chart", pane: str, before: Follower) -> Source:
    """The chart's data with the curve of an ended run behind it, as smooth as its own, where both are by step."""
    source = chart.source
    assert source is not None

    def drawn(dots: int, zoom: Zoom) -> ChartData:
        data = source(dots, zoom)
        if data.x_unit != "step" or not data.lines:
            return data
        of_before = GHOSTS[pane](before, dots, zoom or data.x_range, chart.smoothing)
        curve = [line for line in of_before.lines if line.name and line.style == "train"]  # none of a sweep
        ghost = [dataclasses.replace(line, name="before", style="ghost") for line in curve]
        return dataclasses.replace(data, lines=(*data.lines, *ghost))

    return drawn


def _is(style: str, series: str) -> bool:
    return style == series or (series == "train" and style == "member")


def reference(standing: "LabStatus") -> tuple[ChartData, str, bool]:
    """Return the reference solution's curve with the band of its seeds and the graded run's own, and how to show it.

    The latter are a title, and whether it is a loss.
    """
    path = standing.lab.folder / "reference.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        steps = np.asarray(known["step"], float)
        low, mean, high = (np.asarray(known[key], float) for key in ("low", "mean", "high"))
        chart, series = str(known["chart"]), str(known["series"])
    except (OSError, ValueError, KeyError, TypeError):
        return NOTHING, "", False
    scale = 100.0 if chart == "accuracy" else 1.0
    found = [Line("", steps, low * scale, high * scale, "band")]
    own = _own(standing, chart, series)
    # The learner's curve has the colour that train has everywhere, and the reference is grey.
    found.append(Line(_("reference"), steps, mean * scale, mean * scale, "planned"))
    if own is not None:
        xs, values = own
        found.append(Line(_("yours"), xs, values * scale, values * scale, "train"))
    last = max(float(line.xs[-1]) for line in found if line.xs is not None and len(line.xs))
    title = _("{chart} ({split})", chart=_(_CHARTS.get(chart, chart)), split=split_words(series))
    return ChartData(tuple(found), x_range=(0.0, max(1.0, last))), title, chart == "loss"


def _own(standing: "LabStatus", chart: str, series: str) -> tuple[Floats, Floats] | None:
    """The mean over the members of the latest graded run of the lab's own preset, by step: the reference is of it."""
    folder = grading.last_graded(standing.lab.id)
    run = RunFolder(folder / "runs" / "main") if folder is not None else None
    if run is None or not run.path.is_dir():
        return None
    return _of_rows(run, chart) if series == "train" else _of_events(run, chart, series)


def _of_rows(run: RunFolder, chart: str) -> tuple[Floats, Floats] | None:
    stored = Metrics(run.path)
    if stored.layout is None or chart not in stored.layout.columns or len(stored) < 2:
        return None
    rows = stored.rows()[:, :, stored.layout.columns.index(chart)]
    return np.arange(len(rows), dtype=float), mean_over_members(rows).astype(float)


def _of_events(run: RunFolder, chart: str, series: str) -> tuple[Floats, Floats] | None:
    by_step: dict[int, list[float]] = {}
    for event in run.events():
        if event["event"] == "evaluation" and event["split"] == series and isinstance(event.get(chart), int | float):
            by_step.setdefault(int(event["step"]), []).append(float(event[chart]))
    if len(by_step) < 2:
        return None
    steps = sorted(by_step)
    return np.array(steps, float), np.array([mean_of_finite(by_step[step]) for step in steps], float)
