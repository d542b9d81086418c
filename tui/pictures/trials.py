"""The results of several runs of a preset, by the settings in which they differ."""

import math

import numpy as np
from rich.cells import cell_len

from descent.common import numbers
from descent.common.arrays import Floats
from descent.common.i18n import _, ngettext
from descent.common.text import clean
from descent.run.result_metrics import Metric, metric_named
from engine.pictures import Picture
from tui.pictures.canvas import PictureCanvas, cut
from tui.pictures.frame import frame
from tui.pictures.plane import polyline

FEWEST = 3  # points of a curve
WIDE = 10.0  # the ratio of the largest to the smallest setting from which on both axes are logarithmic
MARGIN = 0.08


def trials(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw a curve over the one number that differs, or else a row for each run."""
    metric = metric_named(picture.text("metric"))
    if metric is None:
        raise KeyError("metric")
    x, values = picture.arrays["x"], picture.arrays["values"]
    if len(x) and len(np.unique(x[np.isfinite(values)])) >= FEWEST:
        _curve(canvas, picture, metric)
    else:
        _rows(canvas, picture, metric)


def _curve(canvas: PictureCanvas, picture: Picture, metric: Metric) -> None:
    arrays = picture.arrays
    order = np.argsort(arrays["x"])
    order = order[np.isfinite(arrays["values"][order])]
    x, values = arrays["x"][order], arrays["values"][order]
    log = bool(x[0] > 0 and x[-1] >= WIDE * x[0] * (1 - 1e-9))  # 0.07 and 0.7 are ten times apart
    title = _(metric.title)
    if log and metric.is_share:  # near 100% only the error tells one from another
        values, title = 1 - values, f"1 − {title}"
    log = log and bool((values > 0).all())
    across, up = (np.log10(x), np.log10(values)) if log else (x, values)
    inside = frame(canvas, _around(across), _around(up), (clean(picture.text("key")), ""), log=log)
    after = canvas.write(0, 0, f"{title}  ", "strong")
    canvas.write(after, 0, f"● {_('this run')}", "train")
    canvas.braille(inside.left, inside.top, polyline(inside, across, up), "quiet")
    for place, column, row in zip(order, inside.columns(across), inside.rows(up), strict=True):
        if column >= 0 and row >= 0:
            now = place == arrays["now"]
            canvas.mark(inside.left + int(column), inside.top + int(row), "●" if now else "○",
                        "train" if now else "validation")  # fmt: skip


def _rows(canvas: PictureCanvas, picture: Picture, metric: Metric) -> None:
    arrays = picture.arrays
    values, sd, now = arrays["values"], arrays["sd"], int(arrays["now"])
    labels = [clean(label) or _("this run") for label in picture.texts("labels")]
    count = len(labels)
    after = canvas.write(0, 0, f"{_(metric.title)}  ", "strong")
    canvas.write(after, 0, ngettext("{count:,} run  ─ ± 1 sd", "{count:,} runs  ─ ± 1 sd", count), "quiet")
    room = max(1, canvas.height - 1)
    first = max(0, min(max(canvas.first, now - room + 1), count - room))
    shown = range(first, min(count, first + room))
    if len(shown) < count:
        canvas.seen = (len(shown), count)
    written = [numbers.metric(metric.name, None if math.isnan(value) else value) for value in values.tolist()]
    left = min(max(cell_len(labels[i]) for i in shown), canvas.width // 2) + 3
    right = max(cell_len(written[i]) for i in shown) + 1
    width = max(1, canvas.width - left - right)
    spread = np.nan_to_num(sd)
    low, high = _around(np.concatenate([values - spread, values + spread]))
    for row, i in enumerate(shown, 1):
        style = "train" if i == now else ""
        canvas.write(0, row, f"{'▶' if i == now else ' '} {cut(labels[i], left - 3)}", style)
        canvas.right(canvas.width, row, written[i], style)
        if math.isnan(values[i]):
            continue
        places = (values[i] - spread[i], values[i], values[i] + spread[i])
        begin, middle, end = (_column(place, low, high, width) for place in places)
        canvas.write(left + begin, row, "─" * (end - begin + 1), "validation")
        canvas.mark(left + middle, row, "●", "train" if i == now else "validation")


def _around(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    pad = MARGIN * (high - low) or 0.05 * max(abs(high), 0.1)
    return low - pad, high + pad


def _column(value: float, low: float, high: float, width: int) -> int:
    return int(np.clip((value - low) / (high - low) * width, 0, width - 1))
