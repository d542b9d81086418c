"""What a notebook shows of a run: its state, its result and its curves."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from descent.common.i18n import N_, _
from descent.common.numbers import metric
from descent.common.svg import BLUE, ORANGE, Curve, line_chart
from descent.common.text import clean, shorten
from descent.run.events import evaluation_of
from descent.run.folder import RunFolder
from descent.run.means import mean_curve
from descent.run.metrics import Metrics
from descent.run.result_metrics import COLUMNS, METRICS
from descent.run.results import result_of
from descent.run.scalars import read

POINTS = 300  # of a curve
_SIZE = 400, 220  # of a chart, in pixels
_MOST_NAMED = 24  # charts of names that the user's own code has given
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
    found = [*_curves(Metrics(folder.path), events), *_named(folder, events)[:_MOST_NAMED]]
    charts = [line_chart(curves, shorten(clean(title), 60), *_SIZE) for title, curves in found]
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


def _named(folder: RunFolder, events: list[dict[str, Any]]) -> list[tuple[str, list[Curve]]]:
    """Return the charts of the names that a loop has logged, and of those of its evaluations."""
    found: dict[str, list[Curve]] = {}
    for name, series in read(folder.path).items():
        begins = np.linspace(0, len(series.steps), min(len(series.steps), POINTS), endpoint=False).astype(np.int64)
        counts = np.diff(begins, append=len(series.steps))
        means = np.add.reduceat(series.values.astype(np.float64), begins) / counts
        found[name] = [Curve(series.steps[begins].astype(np.float64), means)]
    told = [evaluation_of(event).values for event in events if event["event"] == "evaluation"]
    for name in dict.fromkeys(name for values in told for name in values):
        steps, values = _evaluations(events, name)
        if len(steps) and name not in ("loss", "accuracy"):
            title = _(COLUMNS[name]) if name in COLUMNS else name
            found.setdefault(title, []).append(Curve(steps, values, _("validation"), ORANGE, dots=True))
    return [(title, curves) for title, curves in found.items() if any(np.isfinite(c.values).any() for c in curves)]


def _evaluations(events: Sequence[Mapping[str, Any]], name: str) -> tuple[Any, Any]:
    """Return the steps and the means over the members of the evaluations on the validation split."""
    values: dict[int, list[float]] = {}
    for event in events:
        if event["event"] == "evaluation" and event.get("split") == "validation" and event.get(name) is not None:
            values.setdefault(int(event["step"]), []).append(float(event[name]))
    steps = sorted(values)
    return np.array(steps, np.float64), np.array([np.mean(values[step]) for step in steps])
