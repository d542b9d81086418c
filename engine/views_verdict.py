"""What `lab check` prints: each criterion with its value and threshold, predictions beside results, what is next."""

import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

from engine import output
from engine.labs import flow, progress
from engine.labs.format import Language
from engine.labs.library import Lab
from engine.labs.said import Said
from engine.labs.verdict import instead
from engine.progress import number
from engine.texts import clean, shorten
from engine.views_labs import print_heading, print_line, show_next

_RELATIONS = {"least": "≥", "most": "≤"}
_MOST_PRINTED = 10  # lines of what the learner's code printed
_SPREAD = Said("spread {spread}", "편차 {spread}")
_BONUS = Said("bonus", "추가 과제")
_PASSED = Said("Passed: all {of} criteria are met.", "통과했습니다. 조건 {of}개를 모두 만족합니다.")
_NOT_YET = Said(
    "Not yet: {met} of {of} criteria are met.", "아직 통과하지 못했습니다. 조건 {of}개 중 {met}개를 만족합니다."
)
_PREDICTED = Said("Predicted, and what came out", "예측과 실제 결과")
_PRINTED = Said("What your code printed", "내 코드의 출력")
_TRAINING = Said("training {what} …", "학습 중: {what} …")
_PROBLEM = Said("Could not be graded in full", "일부를 채점하지 못했습니다")


def show(verdict: Mapping[str, Any], lab: Lab, language: Language) -> None:
    """A whole verdict, as Verdict.as_json has it."""
    said_once: set[str] = set()  # data that are missing are in the way of many a criterion
    for check in verdict["checks"]:
        show_check(check, language, silent=check["error"] in said_once)
        said_once.add(check["error"])
    compared = verdict["predictions"] if verdict["passed"] else []  # before a pass the result is not what it will be
    if compared:
        print_heading(_PREDICTED.in_(language))
    for one in compared:
        print_line(f"  {one['id']}: {shown(one['predicted'])}  →  {shown(one['result'])}")
    lines = verdict["printed"].splitlines()
    if lines:
        print_heading(_PRINTED.in_(language))
    for line in [*lines[:_MOST_PRINTED], *(["…"] if len(lines) > _MOST_PRINTED else [])]:
        print_line(f"  | {shorten(clean(line), shutil.get_terminal_size().columns - 6)}")
    if verdict["problem"]:
        print_heading(_PROBLEM.in_(language))
        for line in verdict["problem"].splitlines():
            print_line(line)
    print_line()
    sentence = _PASSED if verdict["passed"] else _NOT_YET
    print_line(sentence.with_(met=verdict["met"], of=verdict["of"]).in_(language))
    show_next(lab, progress.load(), language)


def show_check(check: Mapping[str, Any], language: Language, *, silent: bool = False) -> None:
    """A criterion: met or not, its text; below it the value against the threshold, or what went wrong.

    silent: what went wrong was said already.
    """
    bonus = f" ({_BONUS.in_(language)})" if check["bonus"] else ""
    print_line(f"{'✓' if check['passed'] else '✗'} {check['text']}{bonus}")
    if check["error"]:
        print_line("    …" if silent else f"    {check['error']}")
    elif check["value"] is not None and not isinstance(check["value"], bool):
        print_line(f"    {against(check, language)}")


def against(check: Mapping[str, Any], language: Language) -> str:
    """The value, and the threshold where there is one: "0.97 ≥ 0.95", or "0.91  (≥ 0.95)" where it is missed."""
    form, relation, threshold, spread = check["show"], check["relation"], check["threshold"], check["spread"]
    text, aside = _formed(check["value"], form), instead(check, language)
    if relation == "between":
        wanted = f"{_formed(threshold[0], form)} … {_formed(threshold[1], form)}"
    else:
        wanted = "" if threshold is None else f"{_RELATIONS[relation]} {_formed(threshold, form)}"
    if wanted:
        text += f" {wanted}" if check["passed"] and relation != "between" else f"  ({wanted})"
    text += f"  {aside}" if aside else ""
    return text if spread is None else f"{text}  ({_SPREAD.with_(spread=_formed(spread, form)).in_(language)})"


def _formed(value: float, form: str) -> str:
    if form == "percent":
        return f"{value:.2%}"
    return number(value) if abs(value) >= 1000 else f"{value:.4g}"


def shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else flow.shown_answer(value)


def tell(language: Language) -> Callable[[str, str], None]:
    """Says on stderr which graded run is being trained."""

    def told(stage: str, what: str) -> None:
        if stage == "training":
            output.say(_TRAINING.with_(what=what).in_(language), sys.stderr)

    return told
