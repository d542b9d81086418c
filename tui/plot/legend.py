"""The words in a chart's border: title, latest values, cursor, settings."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len, set_cell_size

from descent.common.glyphs import ascii_text
from descent.common.i18n import N_, _
from descent.common.numbers import count, number, percent, time_taken, trimmed
from descent.common.text import clean
from descent.run.rates import ForeseenRates
from tui.plot.axes import Axis
from tui.plot.chart_data import Line

if TYPE_CHECKING:
    from engine.preset.schedule import Plan


SIGNS = {"train": "━", "validation": "┅", "planned": "┈", "member": "─"}
Pieces = list[tuple[str, str]]  # text and style
# Words for the names of lines, where these are not what a person would say.
_NAMES = {
    "train": N_("train"),
    "before": N_("before"),
    "val": N_("val"),
    "planned": N_("planned"),
    "rate": N_("rate"),
    "step/s": N_("step/s"),
    "grad_norm": N_("gradient norm"),
    "weight_norm": N_("weight norm"),
    "update_ratio": N_("update / weight"),
    "dead": N_("dead units"),
    "zero_grads": N_("zero gradients"),
}
_BY = {
    "step": N_("by step"),
    "epoch": N_("by epoch"),
    "time": N_("by time"),
    "share": N_("by % of the run"),
}


def line_words(name: str) -> str:
    """Return the name of a line in words."""
    return _(_NAMES[name]) if name in _NAMES else clean(name)


def title(
    name: str,
    lines: Sequence[Line],
    room: int,
    *,
    values: Mapping[str, float] | None = None,
    smooth: Mapping[str, float] | None = None,
    unicode: bool,
) -> Pieces:
    """Return the chart's name, and as many of its lines with their latest value as there is room for.

    values: those at the cursor, by the names of the lines; None for the latest. smooth: of lines that are smoothed,
    what is drawn there. A name may end in a colon and an explanation, which is left out if there is no room for it.

    Lines that carry their name as a letter are those of runs beside each other, whose latest values a table tells:
    all of them are here or none.
    """
    name = clean(name)
    name = name if cell_len(name) <= room else name.partition(": ")[0]
    pieces: Pieces = [(fitted(name, room, unicode=unicode), "")]
    used = cell_len(pieces[0][0])
    named = [line for line in lines if line.name and line.style != "faint"]
    alone = sum(line.name not in ("planned", "before") for line in named) == 1
    is_whole = True
    for line in named:
        is_signed = bool(line.marked) and line.marker not in ("", line.name)  # a candidate has a sign of its own
        sign = line.marker if is_signed else SIGNS.get("validation" if line.dashed else line.style, "━")
        sign = sign if unicode else ascii_text(sign)
        value = latest(line) if values is None else values.get(line.name)
        shown = "" if value is None else f" {number(value):<6}"  # as wide for 0.0412 as for 2.30
        if smooth and value is not None and line.name in smooth and number(smooth[line.name]) != number(value):
            shown += f" {_('(smooth {value})', value=number(smooth[line.name]))}"
        # The title names a line that stands alone, and a unit keeps its place behind the number.
        stands_alone = alone and line.style not in ("planned", "ghost")
        words = shown if stands_alone else f" {line_words(line.name)}{shown}"
        words = words if unicode else ascii_text(words)
        width = 2 + cell_len(sign) + cell_len(words)
        if used + width - (len(words) - len(words.rstrip())) > room:
            brief, colon, _explanation = name.partition(": ")
            if colon:  # a value says more
                return title(brief, lines, room, values=values, smooth=smooth, unicode=unicode)
            if is_signed:  # a worse candidate whose name is shorter would pass for the next best
                break
            is_whole &= line.marker != line.name
            continue
        pieces += [("  ", ""), (sign, line.style), (words, "")]
        used += width
    if not is_whole and values is None:
        return pieces[:1]
    text, style = pieces[-1]
    pieces[-1] = text.rstrip(), style
    return pieces if is_whole else [*pieces, (" …" if unicode else " ..", "")]


def latest(line: Line) -> float | None:
    """Return the line's last value; None if it has none to be shown."""
    if line.latest is not None:
        return None if line.style == "planned" and math.isnan(line.latest) else line.latest
    finite = np.flatnonzero(~np.isnan(line.high))
    return float(line.high[finite[-1]]) if len(finite) else None


def settings(
    note: str,
    axis: str,
    smoothing: float | None,
    x_mode: str,
    room: int,
    *,
    zoomed: bool,
    unicode: bool,
) -> str:
    """Return a note, the kind of y axis, and what keys have changed.

    What has no room is left out from the right. The note stays longest, and of the note its last part.
    """
    if cell_len(note) > room:
        note = note.rpartition(" · ")[2]
    parts = clean(note).split(" · ") if note else []
    if axis:
        parts.append(axis)
    if smoothing is not None:
        parts.append(_("smooth {value}", value=trimmed(smoothing)) if smoothing else _("raw"))
    if zoomed:
        parts.append(_("zoomed"))
    parts.append(_(_BY[x_mode]))
    return _joined(parts, room, unicode=unicode)


def reading(x: float, unit: str, room: int, *, unicode: bool) -> str:
    """Say where the cursor stands: step 702."""
    match unit:
        case "step":
            where = _("step {step}", step=count(x))
        case "time":
            where = time_taken(x)
        case "share":
            where = percent(x / 100, 1)
        case _:
            where = _("epoch {epoch}", epoch=f"{x:.2f}")
    return _joined([where], room, unicode=unicode)


def nearest(lines: tuple[Line, ...], x: float, axis: Axis) -> dict[str, float]:
    """Return the value of each named line drawn at x, or just before it."""
    found = {}
    for line in lines:
        count = len(line.high)
        if not line.name or not count:
            continue
        place = int(axis.place(x) * count)
        if line.xs is not None:
            place = int(np.searchsorted(line.xs, x, side="right")) - 1
        if place >= 0:
            found[line.name] = float(line.high[min(place, count - 1)])
    return found


def _joined(parts: list[str], room: int, *, unicode: bool) -> str:
    """Join as many of the parts as there is room for, the first in any case."""
    while len(parts) > 1 and cell_len(" · ".join(parts)) > room:
        parts.pop()
    return fitted((" · " if unicode else " | ").join(parts), room, unicode=unicode)


def fitted(text: str, room: int, *, unicode: bool) -> str:
    """Return the text as the terminal can show it, in at most `room` cells."""
    text = text if unicode else ascii_text(text)
    if cell_len(text) <= room:
        return text
    return set_cell_size(text, room - 1) + ("…" if unicode else ".") if room > 1 else ""


def described(plan: "Plan | ForeseenRates | None", schedule: str) -> str:
    """Return the schedule and what it multiplies: cosine · 0.1 × 0.5 (you). Of a loop's own the schedule alone."""
    if plan is None or isinstance(plan, ForeseenRates):
        return schedule
    factors = [trimmed(plan.base)]
    if plan.hand != 1:
        factors.append(_("{factor} (you)", factor=trimmed(plan.hand, 3)))
    if plan.plateau != 1:
        factors.append(_("{factor} (plateau)", factor=trimmed(plan.plateau)))
    rate = " × ".join(factors)
    return f"{schedule} · {rate}" if schedule else rate
