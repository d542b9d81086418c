"""The page of a hand-in: report.md, and the plot in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from descent.common.files import write_atomically
from descent.common.i18n import Language, Message
from descent.common.numbers import number
from descent.common.text import clean
from engine.labs.library import Lab
from engine.labs.verdict import against, shown

_WIDTH, _HEIGHT, _EDGE = 640, 320, 48
_CRITERIA = Message("Criteria", "채점 항목")
_PREDICTIONS = Message("Predictions", "예측")
_CHANGED = Message("What was changed", "바꾼 설정")
_EDITS = Message("Runs, and live edits with their steps", "실행한 학습과 학습 중 변경(스텝)")
_MET = Message("{met} of {of} criteria are met.", "조건 {of}개 중 {met}개를 만족합니다.")
_HEADS = Message("| | criterion | value |", "| | 조건 | 값 |")
_ANSWERS = Message("| prediction | predicted | result |", "| 항목 | 예측 | 결과 |")
_SETTINGS = Message("| key | lab | here |", "| 키 | 실습 | 제출 |")
_LOSS = Message("loss of the graded run, mean over its models", "채점용 학습의 손실(모델 평균)")


def write(
    folder: Path,
    lab: Lab,
    verdict: Mapping[str, Any],
    edits: Sequence[Mapping[str, Any]],
    curves: Mapping[str, tuple[Any, Any]],
    language: Language,
) -> None:
    """report.md, in the learner's language, and plot.svg where there is a curve of the loss."""
    lines = [f"# {lab.text('title', language)}", "", _MET.with_(**_counts(verdict)).in_(language), ""]
    if "loss" in curves:
        write_atomically(folder / "plot.svg", _svg(*curves["loss"], _LOSS.in_(language)).encode())
        lines += [f"![{_LOSS.in_(language)}](plot.svg)", ""]
    lines += [f"## {_CRITERIA.in_(language)}", "", _HEADS.in_(language), "| --- | --- | --- |"]
    for check in verdict["checks"]:
        value = check["error"] or against(check, language)
        lines.append(_row("✓" if check["passed"] else "✗", check["text"], value))
    if verdict["predictions"]:
        lines += ["", f"## {_PREDICTIONS.in_(language)}", "", _ANSWERS.in_(language), "| --- | --- | --- |"]
        lines += [_row(one["id"], shown(one["predicted"]), shown(one["result"])) for one in verdict["predictions"]]
    if verdict["changed"]:
        lines += ["", f"## {_CHANGED.in_(language)}", "", _SETTINGS.in_(language), "| --- | --- | --- |"]
        lines += [_row(key, str(ours), str(theirs)) for key, (ours, theirs) in verdict["changed"].items()]
    if edits:
        lines += ["", f"## {_EDITS.in_(language)}", ""]
        lines += [_edited(one) for one in edits]
    write_atomically(folder / "report.md", ("\n".join(lines) + "\n").encode())


def _counts(verdict: Mapping[str, Any]) -> dict[str, int]:
    return {"met": verdict["met"], "of": verdict["of"]}


def _row(*cells: str) -> str:
    inside = " | ".join(clean(cell).replace("|", r"\|") for cell in cells)
    return f"| {inside} |"


def _edited(run: Mapping[str, Any]) -> str:
    """- gd-line-…: set optimizer.lr = 0.5 (20), pause (35)"""
    told = [f"{_told(one)} ({one.get('step', '?')})" for one in run["commands"]]
    return f"- {clean(run['run'])}, {run['state']}{': ' if told else ''}{', '.join(told)}"


def _told(command: Mapping[str, Any]) -> str:
    arguments = command.get("arguments")
    values = arguments.values() if isinstance(arguments, dict) else ()
    return clean(" ".join(map(str, [command.get("command", ""), *values])))


# --- the plot ---


def _svg(steps: Any, values: Any, title: str) -> str:
    """A line chart; the value axis is logarithmic where the values are all above 0 and span more than a decade."""
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
<text x="{_EDGE}" y="{_EDGE // 2}">{title}{" (log)" if logarithmic else ""}</text>
<text x="{_EDGE - 4}" y="{_EDGE + 4}" text-anchor="end">{high}</text>
<text x="{_EDGE - 4}" y="{bottom + 4}" text-anchor="end">{low}</text>
<text x="{right}" y="{bottom + 18}" text-anchor="end">{last}</text>
</svg>
"""


def _spread(values: Any, size: int) -> Any:
    """Over the plot's width or height, from edge to edge."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return _EDGE + (values - low) / ((high - low) or 1.0) * (size - 2 * _EDGE)


def _flipped(values: Any) -> Any:
    return _HEIGHT - _spread(values, _HEIGHT)
