"""The reference solution's curve, and that of the learner's graded run, for the screen after a pass."""

import json

import numpy as np
from numpy.typing import NDArray

from engine.labs import grading
from engine.metrics import Metrics
from engine.run import RunFolder
from tui.labs.standing import Standing
from tui.labs.words import word
from tui.widgets.chart_data import NOTHING, ChartData, Line

Floats = NDArray[np.float64]


def reference(standing: Standing) -> tuple[ChartData, str]:
    """The reference solution's curve with the band of its seeds, and the graded run's own over it; its title."""
    path = standing.lab.folder / "reference.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        steps = np.asarray(known["step"], float)
        low, mean, high = (np.asarray(known[key], float) for key in ("low", "mean", "high"))
        chart, series = str(known["chart"]), str(known["series"])
    except (OSError, ValueError, KeyError, TypeError):
        return NOTHING, ""
    scale = 100.0 if chart == "accuracy" else 1.0
    language = standing.language
    found = [Line("", steps, low * scale, high * scale, "band")]
    own = _own(standing, chart, series)
    style = "planned" if own is None else "train"  # what stands alone has a name only where it was planned
    found.append(Line(word("reference", language), steps, mean * scale, mean * scale, style))
    if own is not None:
        xs, values = own
        found.append(Line(word("your runs", language), xs, values * scale, values * scale, "validation"))
    last = max(float(line.xs[-1]) for line in found if line.xs is not None and len(line.xs))
    return ChartData(tuple(found), x_range=(0.0, max(1.0, last))), f"{chart} ({series})"


def _own(standing: Standing, chart: str, series: str) -> tuple[Floats, Floats] | None:
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
    with np.errstate(invalid="ignore"):
        return np.arange(len(rows), dtype=float), rows.mean(axis=1, dtype=float)


def _of_events(run: RunFolder, chart: str, series: str) -> tuple[Floats, Floats] | None:
    by_step: dict[int, list[float]] = {}
    for event in run.events():
        if event["event"] == "evaluation" and event["split"] == series and isinstance(event.get(chart), int | float):
            by_step.setdefault(int(event["step"]), []).append(float(event[chart]))
    if len(by_step) < 2:
        return None
    steps = sorted(by_step)
    return np.array(steps, float), np.array([np.mean(by_step[step]) for step in steps])
