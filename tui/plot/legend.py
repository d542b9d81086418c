"""The words in a chart's border: title, latest values, cursor; and what the learning rate's chart says."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len, set_cell_size

from descent.common.glyphs import ascii_text
from descent.common.numbers import count, number, time_taken, trimmed
from descent.common.text import clean
from tui.data.translation import Say
from tui.plot.axes import Axis
from tui.plot.chart_data import Line

if TYPE_CHECKING:
    from engine.preset.schedule import Plan


SIGNS = {"train": "━", "validation": "┅", "planned": "┈", "member": "─"}
Pieces = list[tuple[str, str]]  # text and style


def title(name: str, lines: Sequence[Line], room: int, *, unicode: bool, say: Say = str) -> Pieces:
    """The chart's name, and as many of its lines with their latest value as there is room for.

    Of a name with an explanation, as in "weight norm: growing", the name alone where there is no room for both.
    """
    name = say(clean(name))
    name = name if cell_len(name) <= room else name.partition(": ")[0]
    pieces: Pieces = [(fitted(name, room, unicode=unicode), "")]
    used = cell_len(pieces[0][0])
    named = [line for line in lines if line.name and line.style != "faint"]
    alone = sum(line.style != "planned" for line in named) == 1
    for line in named:
        sign = SIGNS.get("validation" if line.dashed else line.style, "━")
        sign = sign if unicode else ascii_text(sign)
        value = latest(line)
        shown = "" if value is None else f" {number(value):<6}"  # as wide for 0.0412 as for 2.30
        # The title names a line that stands alone, and a unit keeps its place behind the number.
        words = shown if alone and line.style != "planned" else f" {say(clean(line.name))}{shown}"
        words = words if unicode else ascii_text(words)
        width = 2 + cell_len(sign) + cell_len(words)
        if used + width - (len(words) - len(words.rstrip())) > room:
            continue
        pieces += [("  ", ""), (sign, line.style), (words, "")]
        used += width
    text, style = pieces[-1]
    pieces[-1] = text.rstrip(), style
    return pieces


def latest(line: Line) -> float | None:
    """The line's last value; None where it has none to be said."""
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
    say: Say = str,
) -> str:
    """A note, what kind of y axis it is, and what keys have changed; the note stays longest, of it its last part."""
    if cell_len(note) > room:
        note = note.rpartition(" · ")[2]
    parts = clean(note).split(" · ") if note else []
    if axis:
        parts.append(axis)
    if smoothing is not None:
        parts.append(f"smooth {trimmed(smoothing)}" if smoothing else "raw")
    if zoomed:
        parts.append("zoomed")
    parts.append(f"by {x_mode}")
    return _joined([say(part) for part in parts], room, unicode=unicode)


def reading(x: float, values: dict[str, float], unit: str, room: int, *, unicode: bool, say: Say = str) -> str:
    """What the cursor stands on: step 702 · train 0.0412 · val 0.0881."""
    where = {"step": f"step {count(x)}", "time": time_taken(x)}.get(unit, f"epoch {x:.2f}")
    parts = [say(where), *(f"{say(clean(name))} {number(value)}" for name, value in values.items())]
    return _joined(parts, room, unicode=unicode)


def nearest(lines: tuple[Line, ...], x: float, axis: Axis) -> dict[str, float]:
    """Each named line's value drawn at x, or just before it."""
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
    """As many of the parts as there is room for, the first of them in any case."""
    while len(parts) > 1 and cell_len(" · ".join(parts)) > room:
        parts.pop()
    return fitted(" · ".join(parts), room, unicode=unicode)


def fitted(text: str, room: int, *, unicode: bool) -> str:
    """The text as the terminal can show it, in at most `room` cells."""
    text = text if unicode else ascii_text(text)
    if cell_len(text) <= room:
        return text
    return set_cell_size(text, room - 1) + ("…" if unicode else ".") if room > 1 else ""


def described(plan: "Plan | None", schedule: str) -> str:
    """cosine · 0.1 × yours 0.5"""
    if plan is None:
        return schedule
    parts = f"{trimmed(plan.base)}"
    if plan.hand != 1:
        parts += f" × yours {trimmed(plan.hand)}"
    if plan.plateau != 1:
        parts += f" × plateau {trimmed(plan.plateau)}"
    return f"{schedule} · {parts}" if schedule else parts
