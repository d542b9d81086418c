"""What a notebook shows of a run: its state, its result and its curves."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from descent.common.i18n import N_, _
from descent.common.numbers import metric
from descent.common.svg import BLUE, ORANGE, Curve, line_chart
from descent.common.text import clean, shorten
from descent.run.folder import RunFolder
from descent.run.means import mean_curve
from descent.run.metrics import Metrics
from descent.run.result_metrics import METRICS
from descent.run.results import result_of

POINTS = 300  # of a curve
_SIZE = 400, 220  # of a chart, in pixels
_CURVES = (("loss", N_("loss")), ("accuracy", N_("accuracy")), ("lr", N_("learning rate")))


def html_of(folder: RunFolder) -> str:
    """Return a table of a run's result and a chart of each curve, as HTML. Text of the run's files is escaped."""
    events = folder.events()
    result = result_of(folder, events=events)
    reason = next((event.get("reason") for event in reversed(events) if event["event"] == "state"), None)
    state = _(result.state) + (f": {reason}" if reason else "")
    rows = [(_("state"), state), (_("step"), f"{result.step:,}")]
    for name, value in result.final_metrics.items():
        rows.append((_(METRICS[name].title) if name in METRICS else name, metric(name, value)))
    table = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    charts = [line_chart(curves, title, *_SIZE) for title, curves in _curves(Metrics(folder.path), events)]
    drawn = "".join(f'<div style="width:{_SIZE[0]}px">{chart}</div>' for chart in charts)
    return (
        f"<div><b>{_text(folder.id)}</b><table>{table}</table>"
        f'<div style="display:flex;flex-wrap:wrap">{drawn}</div></div>'
    )


def _text(text: str) -> str:
    return escape(shorten(clean(text), 300))


def _curves(metrics: Metrics, events: list[dict[str, Any]]) -> list[tuple[str, list[Curve]]]:
    """Return the charts that the run has numbers for: a title and its curves each."""
    found = []
    for name, title in _CURVES:
        curves = []
        if metrics.layout is not None and name in metrics.layout.columns and len(metrics):
            curves.append(Curve(*mean_curve(metrics, name, POINTS), _("train") if name != "lr" else "", BLUE))
        steps, values = _evaluations(events, name)
        if len(steps):
            curves.append(Curve(steps, values, _("validation"), ORANGE, dots=True))
        if any(np.isfinite(curve.values).any() for curve in curves):
            found.append((_(title), curves))
    return found


def _evaluations(events: Sequence[Mapping[str, Any]], name: str) -> tuple[Any, Any]:
    """Return the steps and the means over the members of the evaluations on the validation split."""
    values: dict[int, list[float]] = {}
    for event in events:
        if event["event"] == "evaluation" and event.get("split") == "validation" and event.get(name) is not None:
            values.setdefault(int(event["step"]), []).append(float(event[name]))
    steps = sorted(values)
    return np.array(steps, np.float64), np.array([np.mean(values[step]) for step in steps])
