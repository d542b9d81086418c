"""The page of a hand-in: report.md, and the plot in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from descent.common.files import write_atomically
from descent.common.i18n import N_, _
from descent.common.svg import Curve, line_chart
from descent.common.text import clean
from engine.labs.library import Lab
from engine.labs.verdict import against, shown

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
        write_atomically(folder / "plot.svg", line_chart([Curve(*curves["loss"])], _(_LOSS)).encode())
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
