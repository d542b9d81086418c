"""What the grader says of a learner's work, in both languages."""

import re
from dataclasses import dataclass
from typing import Any

from engine.errors import DescentError
from engine.labs.format import Language


@dataclass(frozen=True)
class Said:
    """A sentence in both languages."""

    en: str
    ko: str

    def in_(self, language: Language) -> str:
        return self.en if language == "en" else self.ko

    def with_(self, **values: Any) -> "Said":
        """The sentence with its blanks filled; what is Said itself, in the language of each."""

        def filled(language: Language) -> str:
            own = {key: value.in_(language) if isinstance(value, Said) else value for key, value in values.items()}
            return self.in_(language).format(**own)

        return Said(filled("en"), filled("ko"))


class CheckError(DescentError):
    """Why a check could not be met, or not even be looked at."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.en)
        self.said = said


def same(text: str) -> Said:
    """A text that has no translation: Python's own words, or those of the engine."""
    return Said(text, text)


def line_named(text: str, file: str) -> int | None:
    """The line of that file that a sentence of ours names, in either language."""
    found = re.search(rf"{re.escape(file)}(?:, line (\d+)| (\d+)번째 줄)", text)
    return int(found[1] or found[2]) if found else None


# Of the learner's code. {what}: "gd_numpy", or the file. {place}: one of the next two.

PLACE = Said("({file}, line {line})", "({file} {line}번째 줄)")
PLACE_AND_CODE = Said('({file}, line {line}: "{code}")', '({file} {line}번째 줄: "{code}")')

TOO_LONG = Said(
    "{what} ran longer than {seconds:g} s and was ended",
    "{what}: 실행이 {seconds:g}초를 넘어 중단했습니다",
)
TOTAL_TOO_LONG = Said(
    "your code has used its {seconds:g} s for all checks together; this check was not looked at",
    "전체 검사에 허용된 {seconds:g}초를 다 써서 이 항목은 검사하지 못했습니다",
)
RAISED = Said("{what} raised {error} {place}", "{what}: 오류가 발생했습니다. {error} {place}")
UNFILLED = Said(
    "{what} is not filled in yet: {error} {place}", "{what}: 아직 작성하지 않은 부분입니다. {error} {place}"
)
SYNTAX = Said("{what} can't be read as Python: {error} {place}", "{what}: 파이썬 문법 오류입니다. {error} {place}")
MISSING = Said("{file} has no function {name}; it has {there}", "{file}에 {name} 함수가 없습니다. 있는 함수: {there}")
EXITED = Said(
    "{what} called exit(); code that is graded must return {place}",
    "{what}: exit()를 호출했습니다. 채점되는 코드는 값을 반환해야 합니다 {place}",
)
INTERRUPTED = Said("{what} raised KeyboardInterrupt {place}", "{what}: KeyboardInterrupt가 발생했습니다 {place}")
DIED = Said(
    "{what} ended the whole process ({how}); code that is graded must return",
    "{what}: 프로세스 전체가 종료되었습니다({how}). 채점되는 코드는 값을 반환해야 합니다",
)
TOO_DEEP = Said(
    "{what} calls itself without an end (RecursionError) {place}",
    "{what}: 재귀 호출이 끝나지 않습니다(RecursionError) {place}",
)
NO_MEMORY = Said(
    "{what} needed more memory than the {gigabytes:g} GB it may have {place}",
    "{what}: 허용된 메모리 {gigabytes:g} GB를 넘었습니다 {place}",
)
NO_KEYBOARD = Said(
    "{what} waits for the keyboard (input()), and nobody is there to type {place}",
    "{what}: 키보드 입력(input())을 기다립니다. 채점 중에는 입력할 수 없습니다 {place}",
)
NO_PROCESSES = Said(
    "{what} started another process; code that is graded must not {place}",
    "{what}: 다른 프로세스를 시작했습니다. 채점되는 코드에서는 허용되지 않습니다 {place}",
)
TOO_LARGE = Said(
    "{what} returned more than can be looked at ({megabytes:,} MB)",
    "{what}: 반환값이 너무 큽니다({megabytes:,} MB)",
)
UNREADABLE = Said(
    "{what} returned {value}, which can't be looked at", "{what}: 확인할 수 없는 값을 반환했습니다({value})"
)
GAVE = Said("{error}; {name} returned {value}", "{error}; {name}의 반환값: {value}")
NO_FILE = Said("there is no file {file}", "{file} 파일이 없습니다")
CUT = Said("… and {count:,} bytes more", "… 이후 {count:,}바이트는 생략했습니다")

# Of the value of a check.

NOT_A_NUMBER = Said("the value is not a number (nan)", "값이 숫자가 아닙니다(nan)")
INSTEAD = Said("{gave} instead of {wanted}", "{wanted}이어야 하는데 {gave}")
NOT_FINITE = Said("the value is infinite", "값이 무한대입니다")
NOT_ONE = Said("the check gave {value}, not one number", "검사 결과가 숫자 하나가 아닙니다({value})")

# Of the graded runs.

CHANGED = Said(
    "{file}: {key} = {given}: this lab leaves it at {own}; what you may change: {allowed}",
    "{file}: {key} = {given}: 이 실습에서는 {own} 값을 바꿀 수 없습니다. 바꿀 수 있는 것: {allowed}",
)
RUN_TOO_LONG = Said(
    "the graded run took longer than {seconds:g} s and was ended",
    "채점용 학습이 {seconds:g}초를 넘어 중단했습니다",
)
RUN_DIED = Said("the graded run ended unexpectedly: {error}", "채점용 학습이 비정상적으로 끝났습니다: {error}")
RUN_FAILED = Said("the graded run failed: {error}", "채점용 학습이 실패했습니다: {error}")
NOT_MEASURED = Said("the graded run has no {name}", "채점용 학습에 {name} 값이 없습니다")
NO_RUN = Said(
    "nothing is trained for this check: {name} is not there", "이 항목은 학습 없이 검사하므로 {name} 값이 없습니다"
)
NO_COLUMN = Said(
    "the graded run has no column {name}; there are {there}",
    "채점용 학습에 {name} 열이 없습니다. 있는 열: {there}",
)
NO_SETTING = Said("setting({key}): the graded preset has no such key", "setting({key}): 채점 프리셋에 없는 키입니다")
NO_PREDICTION = Said("there is no prediction {key}", "예측 {key}이(가) 없습니다")
NO_CODE = Said("this lab has no file of code", "이 실습에는 코드 파일이 없습니다")
NO_SPLIT = Said("the data have no {split} split", "데이터에 {split} 분할이 없습니다")
