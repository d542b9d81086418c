"""A lab's goals in the charts of its run: each threshold a dashed line, with the current value beside it."""

import dataclasses
import math

from engine.labs.format import Check, Language
from tui.charts.panes import Source, Zoom
from tui.labs.words import word
from tui.numbers import number
from tui.widgets.chart_data import ChartData
from tui.widgets.legend import latest

PANES = {"loss": "loss", "accuracy": "accuracy", "grad_norm": "gradient", "lr": "rate"}


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


def with_goal(source: Source, check: Check, language: Language) -> Source:
    """The source's data with the check's goal drawn in."""
    goal = height(check)
    assert goal is not None
    assert check.goal is not None
    series = check.goal.series

    def drawn(dots: int, zoom: Zoom) -> ChartData:
        data = source(dots, zoom)
        now = next((latest(line) for line in data.lines if line.name and _is(line.style, series)), None)
        if now is None or not math.isfinite(now):
            said = word("goal", language, value=number(goal))
        else:
            said = word("goal now", language, value=number(goal), now=number(now))
        return dataclasses.replace(data, goal=goal, note=" · ".join(filter(None, [said, data.note])))

    return drawn


def _is(style: str, series: str) -> bool:
    return style == series or (series == "train" and style == "member")
