"""The page of a hand-in: report.md, and the plot in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from descent.common.files import write_atomically
from descent.common.i18n import N_, _
from descent.common.numbers import number
from descent.common.text import clean
from engine.labs.library import Lab
from engine.labs.verdict import against, shown

_WIDTH, _HEIGHT, _EDGE = 640, 320, 48
_LOSS = N_("loss of the graded run, mean over its models")


def write(
    folder: Path,
    lab: Lab,
    verdict: Mapping[str, Any],
    edits: Sequence[Mapping[str, Any]],
    curves: Mapping[str, tuple[Any, Any]],
) -> None:
    """Write report.md, in the current language, and plot.svg if there is a curve of the loss."""
    lines = [f"# {lab.model.title}", "", _("{met} of {of} criteria are met.", **_counts(verdict)), ""]
    if "loss" in curves:
        write_atomically(folder / "plot.svg", _svg(*curves["loss"], _(_LOSS)).encode())
        lines += [f"![{_(_LOSS)}](plot.svg)", ""]
    lines += [f"## {_('Criteria')}", "", _("| | criterion | value |"), "| --- | --- | --- |"]
    for check in verdict["checks"]:
        value = check["error"] or against(check)
        lines.append(_row("✓" if check["passed"] else "✗", check["text"], value))
    if verdict["predictions"]:
        lines += ["", f"## {_('Predictions')}", "", _("| prediction | predicted | result |"), "| --- | --- | --- |"]
        lines += [_row(one["id"], shown(one["predicted"]), shown(one["result"])) for one in verdict["predictions"]]
    if verdict["changed"]:
        lines += ["", f"## {_('What was changed')}", "", _("| key | lab | here |"), "| --- | --- | --- |"]
        lines += [_row(key, str(ours), str(theirs)) for key, (ours, theirs) in verdict["changed"].items()]
    if edits:
        lines += ["", f"## {_('Runs, and live edits with their steps')}", ""]
        lines += [_edited(one) for one in edits]
    write_atomically(folder / "report.md", ("\n".join(lines) + "\n").encode())


def _counts(verdict: Mapping[str, Any]) -> dict[str, int]:
    return {"met": verdict["met"], "of": verdict["of"]}


def _row(*cells: str) -> str:
    inside = " | ".join(clean(cell).replace("|", r"\|") for cell in cells)
    return f"| {inside} |"


def _edited(run: Mapping[str, Any]) -> str:
    """Return a run with its live edits and their steps: "- gd-line-…, finished: set optimizer.lr 0.5 (20)"."""
    told = [f"{_told(one)} ({one.get('step', '?')})" for one in run["commands"]]
    return f"- {clean(run['run'])}, {run['state']}{': ' if told else ''}{', '.join(told)}"


def _told(command: Mapping[str, Any]) -> str:
    arguments = command.get("arguments")
    values = arguments.values() if isinstance(arguments, dict) else ()
    return clean(" ".join(map(str, [command.get("command", ""), *values])))


# --- the plot ---


def _svg(steps: Any, values: Any, title: str) -> str:
    """Return a line chart. Its value axis is logarithmic if all values are above 0 and span more than a decade."""
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    logarithmic = len(values) > 0 and values.min() > 0 and values.max() / values.min() > 10
    heights = np.log10(values) if logarithmic else values
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(_spread(steps, _WIDTH), _flipped(heights), strict=True))
    low, high = (number(float(values.min())), number(float(values.max()))) if len(values) else ("", "")
    last = f"{int(steps[-1]):,}" if len(steps) else ""
    bottom, right = _HEIGHT - _EDGE, _WIDTH - _EDGE
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="12">
<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>
<path d="M{_EDGE},{_EDGE} V{bottom} H{right}" fill="none" stroke="#888"/>
<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>
<text x="{_EDGE}" y="{_EDGE // 2}">{_("{title} (log axis)", title=title) if logarithmic else title}</text>
<text x="{_EDGE - 4}" y="{_EDGE + 4}" text-anchor="end">{high}</text>
<text x="{_EDGE - 4}" y="{bottom + 4}" text-anchor="end">{low}</text>
<text x="{right}" y="{bottom + 18}" text-anchor="end">{last}</text>
</svg>
"""


def _spread(values: Any, size: int) -> Any:
    """Map values to the plot's width or height, from edge to edge."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return _EDGE + (values - low) / ((high - low) or 1.0) * (size - 2 * _EDGE)


def _flipped(values: Any) -> Any:
    return _HEIGHT - _spread(values, _HEIGHT)
