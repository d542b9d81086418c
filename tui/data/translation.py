"""The console's and the lab screens' words in the language of the lab.

The console says everything in English. A sentence is looked up in the table of the language; one that is not there
stays as it is.
"""

import re
import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from textual.message_pump import MessagePump
from textual.screen import Screen

from descent.common.i18n import Language

Say = Callable[[str], str]  # puts words of the console into the language that is spoken
_FILES: "dict[Language, str]" = {"ko": "console.ko.toml"}


def spoken(node: MessagePump, text: str) -> str:
    """`text`, which a widget or a screen is about to show, in the language of the lab that it was opened from."""
    language = language_of(node)
    return text if language not in _FILES else "\n".join(in_language(line, language) for line in text.split("\n"))


def language_of(node: MessagePump) -> "Language":
    """That of the lab's screen that is nearest to the top; English where there is none."""
    stack: list[Screen[Any]] = node.app.screen_stack if node.is_attached else []
    of_labs = (screen for screen in reversed(stack) if getattr(screen, "lab_id", None) is not None)
    found: Language = getattr(next(of_labs, None), "language", "en")
    return found


@lru_cache(maxsize=4096)
def in_language(text: str, language: "Language") -> str:
    """One sentence of the console's, or a part of one; as it is where the table has none that fits."""
    exact, forms = _table(language)
    words = " ".join(text.split())
    found = exact.get(words)
    if found is None:
        filled = ((form.fullmatch(words), other) for form, other in forms)
        match, other = next(((match, other) for match, other in filled if match), (None, ""))
        if match is None:
            return text
        found = other.format(*(in_language(part, language) for part in match.groups()))
    begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return f"{text[:begin]}{found}{text[end:]}"


@cache
def _table(language: "Language") -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    """Phrases as they are, and sentences with blanks, those that say most first."""
    path = Path(__file__).with_name(_FILES[language])
    table: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))
    exact = {text: other for text, other in table.items() if "{}" not in text}
    blank = re.escape("{}")
    filled = sorted((text for text in table if "{}" in text), key=lambda text: -len(text.replace("{}", "")))
    return exact, [(re.compile(re.escape(text).replace(blank, "(.+?)")), table[text]) for text in filled]


_WORDS: dict[str, tuple[str, str]] = {
    # keys
    "go on": ("go on", "계속"),
    "files": ("get the files", "파일 받기"),
    "predict": ("predict", "예측"),
    "run": ("train and watch", "학습 실행"),
    "again": ("train again", "다시 학습"),
    "check": ("check", "채점"),
    "hint": ("hint", "힌트"),
    "next hint": ("next hint", "다음 힌트"),
    "write": ("edit files", "파일 편집"),
    "text": ("text", "설명"),
    "charts": ("charts", "그래프"),
    "why": ("why", "해설"),
    "next lab": ("next lab", "다음 실습"),
    "other labs": ("other labs", "다른 실습"),
    "back": ("back", "뒤로"),
    "help": ("help", "도움말"),
    "solution": ("solution", "모범 답안"),
    "close": ("close", "닫기"),
    "scroll": ("scroll", "스크롤"),
    "save": ("save", "저장"),
    "next file": ("next file", "다음 파일"),
    "to do": ("tasks", "할 일"),
    "undo": ("undo", "되돌리기"),
    "redo": ("redo", "다시 실행"),
    # the way
    "lab": ("lab", "실습"),
    "way": ("your way", "진행 순서"),
    "way start": ("files", "파일"),
    "way predict": ("predict", "예측"),
    "way run": ("train", "학습"),
    "way check": ("check", "채점"),
    "way explain": ("why", "해설"),
    "to start": ("enter puts them into this folder", "Enter를 누르면 이 폴더에 만듭니다"),
    "in": ("{files} in {folder}", "{files} ({folder})"),
    "to predict": ("{count} to answer before anything runs", "실행 전에 {count}문제에 답하세요"),
    "predicted": ("{count} kept", "{count}개 저장됨"),
    "to run": ("train your preset and watch it", "프리셋을 학습시키고 지켜봅니다"),
    "to check": ("{of} criteria", "기준 {of}개"),
    "checked": ("{met} of {of} met", "{of}개 중 {met}개 통과"),
    "checked, best": ("{met} of {of} met, best {best}", "{of}개 중 {met}개 통과, 최고 {best}"),
    "to mend": ("{reached}; now edit your files", "{reached}. 이제 파일을 고치세요"),
    "met folded": ("{count} met", "{count}개 통과"),
    "to explain": ("opens with a pass", "통과하면 열립니다"),
    "passed": ("passed", "통과"),
    # headings
    "predict first": ("Predict first", "먼저 예측하세요"),
    "predictions": ("Your predictions", "내 예측"),
    "tasks": ("Tasks", "할 일"),
    "checks": ("criteria", "채점 기준"),
    "bonus": ("bonus", "보너스"),
    "hints": ("Hints", "힌트"),
    "your files": ("Your files", "내 파일"),
    "not graded": ("not graded yet", "아직 채점 전"),
    # what happens
    "grading": ("being graded, {seconds} s (esc stops it): {doing}", "채점 중, {seconds}초(Esc: 중단): {doing}"),
    "grading begins": ("begins; 10 to 30 s as a rule", "시작합니다. 보통 10~30초 걸립니다"),
    "grading trains": ("training {file} with the lab's seeds", "실습의 시드로 {file} 학습"),
    "grading checks": ("criterion {at} of {of}", "기준 {at}/{of}"),
    "stop check": ("stop the check", "채점 중단"),
    "check stopped": (
        "stopped after {seconds} s; it counts as no attempt",
        "{seconds}초 만에 중단했습니다. 시도로 세지 않습니다",
    ),
    "wait": ("it is being graded; esc stops that", "채점 중입니다. Esc를 누르면 중단합니다"),
    "unchanged": ("nothing has changed", "바뀐 것이 없습니다"),
    "unchanged since": (
        "Your files are as they were at the last check, which said:\n{said}",
        "마지막으로 채점한 뒤 파일이 바뀌지 않았습니다. 그때의 결과:\n{said}",
    ),
    "check anyway": ("check all the same", "그래도 채점"),
    "graded": ("{met} of {of} criteria met", "기준 {of}개 중 {met}개 통과"),
    "graded all": ("all {of} criteria met", "기준 {of}개 모두 통과"),
    "not gradable": ("could not be graded: {why}", "채점하지 못했습니다: {why}"),
    "first": ("first: {what}", "먼저 할 일: {what}"),
    "saved": ("saved {file}", "{file} 저장함"),
    "not saved": ("{file} can't be saved: {why}", "{file}을(를) 저장하지 못했습니다: {why}"),
    "unsaved": ("{file} has changes that are not saved.", "{file}에 저장하지 않은 변경이 있습니다."),
    "save it": ("save it", "저장"),
    "drop it": ("leave it as it was", "저장하지 않음"),
    "stay": ("go on editing", "계속 편집"),
    "files there": ("these files are in {folder} already", "{folder}에 이 파일들이 이미 있습니다"),
    "use them": ("go on with them", "이 파일로 계속하기"),
    "move them": ("move them aside and begin anew", "옮겨 두고 새로 시작하기"),
    "not now": ("not now", "나중에"),
    "train": ("train", "학습"),
    "which run": ("Which preset?", "어떤 프리셋을 학습시킬까요?"),
    "which lab": ("which lab?", "어떤 실습을 할까요?"),
    "gone": ("{file} is not in {folder} any more", "{folder}에 {file}이(가) 없습니다"),
    # predicting
    "prediction": ("prediction {at} of {of}", "예측 {at}/{of}"),
    "final": ("enter keeps it as it is, for good   esc not now", "Enter: 그대로 저장(바꿀 수 없음)   Esc: 나중에"),
    "ranking": (
        "enter takes the next in order, backspace takes one back",
        "Enter로 순서대로 고르고 Backspace로 취소합니다",
    ),
    # after a pass
    "pass title": ("{title}: passed", "{title}: 통과"),
    "yours": ("you said {value}", "내 예측 {value}"),
    "came": ("it was {value}", "결과 {value}"),
    "prediction and result": ("Predicted, and what came out", "예측과 결과"),
    "reference": ("reference", "참고"),
    "your runs": ("yours", "내 결과"),
    "course done": ("That was the last lab of the course.", "마지막 실습이었습니다."),
    "goal": ("goal {value}", "목표 {value}"),
    "goal now": ("goal {value}, now {now}", "목표 {value}, 현재 {now}"),
}


def word(key: str, language: Language, /, **fields: object) -> str:
    """The text called `key`, with its fields filled."""
    en, ko = _WORDS[key]
    return (ko if language == "ko" else en).format(**fields)
