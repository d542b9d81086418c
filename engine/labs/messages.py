"""What labs and the grader say, in English and Korean."""

import re
from collections.abc import Iterable

from descent.common.errors import DescentError
from descent.common.i18n import Language, Message
from descent.common.text import likely, show


class CheckError(DescentError):
    """Why a check could not be met, or not even be looked at."""

    def __init__(self, said: Message) -> None:
        super().__init__(said.en)
        self.said = said


def same(text: str) -> Message:
    """A text that has no translation: Python's own words, or those of the engine."""
    return Message(text, text)


def line_named(text: str, file: str) -> int | None:
    """The line of that file that a sentence of ours names, in either language."""
    found = re.search(rf"{re.escape(file)}(?:, line (\d+)| (\d+)번째 줄)", text)
    return int(found[1] or found[2]) if found else None


# Of the learner's code. {what}: "gd_numpy", or the file. {place}: one of the next two.

PLACE = Message("({file}, line {line})", "({file} {line}번째 줄)")
PLACE_AND_CODE = Message('({file}, line {line}: "{code}")', '({file} {line}번째 줄: "{code}")')

TOO_LONG = Message(
    "{what} ran longer than {seconds:g} s and was ended",
    "{what}: 실행이 {seconds:g}초를 넘어 중단했습니다",
)
TOTAL_TOO_LONG = Message(
    "your code has used its {seconds:g} s for all checks together; this check was not looked at",
    "전체 검사에 허용된 {seconds:g}초를 다 써서 이 항목은 검사하지 못했습니다",
)
RAISED = Message("{what} raised {error} {place}", "{what}: 오류가 발생했습니다. {error} {place}")
TAKEN = Message(
    "{what} raised {error} {place}: {module} is Descent's own package in this process, not your {module}.py; "
    "put what you need of yours into this file",
    "{what}: 오류가 발생했습니다. {error} {place}: 이 프로세스의 {module}은(는) 여러분의 {module}.py가 아니라 "
    "Descent의 패키지입니다. 필요한 코드를 이 파일 안에 넣으세요",
)
UNFILLED = Message(
    "{what} is not filled in yet: {error} {place}", "{what}: 아직 작성하지 않은 부분입니다. {error} {place}"
)
SYNTAX = Message("{what} can't be read as Python: {error} {place}", "{what}: 파이썬 문법 오류입니다. {error} {place}")
MISSING = Message(
    "{file} has no function {name}; it has {there}", "{file}에 {name} 함수가 없습니다. 있는 함수: {there}"
)
EXITED = Message(
    "{what} called exit(); code that is graded must return {place}",
    "{what}: exit()를 호출했습니다. 채점되는 코드는 값을 반환해야 합니다 {place}",
)
INTERRUPTED = Message("{what} raised KeyboardInterrupt {place}", "{what}: KeyboardInterrupt가 발생했습니다 {place}")
DIED = Message(
    "{what} ended the whole process ({how}); code that is graded must return",
    "{what}: 프로세스 전체가 종료되었습니다({how}). 채점되는 코드는 값을 반환해야 합니다",
)
TOO_DEEP = Message(
    "{what} calls itself without an end (RecursionError) {place}",
    "{what}: 재귀 호출이 끝나지 않습니다(RecursionError) {place}",
)
NO_MEMORY = Message(
    "{what} needed more memory than the {gigabytes:g} GB it may have {place}",
    "{what}: 허용된 메모리 {gigabytes:g} GB를 넘었습니다 {place}",
)
NO_KEYBOARD = Message(
    "{what} waits for the keyboard (input()), and nobody is there to type {place}",
    "{what}: 키보드 입력(input())을 기다립니다. 채점 중에는 입력할 수 없습니다 {place}",
)
NO_PROCESSES = Message(
    "{what} started another process; code that is graded must not {place}",
    "{what}: 다른 프로세스를 시작했습니다. 채점되는 코드에서는 허용되지 않습니다 {place}",
)
TOO_LARGE = Message(
    "{what} returned more than can be looked at ({megabytes:,} MB)",
    "{what}: 반환값이 너무 큽니다({megabytes:,} MB)",
)
UNREADABLE = Message(
    "{what} returned {value}, which can't be looked at", "{what}: 확인할 수 없는 값을 반환했습니다({value})"
)
GAVE = Message("{error}; {name} returned {value}", "{error}; {name}의 반환값: {value}")
NO_FILE = Message("there is no file {file}", "{file} 파일이 없습니다")
CUT = Message("… and {count:,} bytes more", "… 이후 {count:,}바이트는 생략했습니다")

# Of the value of a check.

NOT_A_NUMBER = Message("the value is not a number (nan)", "값이 숫자가 아닙니다(nan)")
INSTEAD = Message("{gave} instead of {wanted}", "{wanted}이어야 하는데 {gave}")
NOT_FINITE = Message("the value is infinite", "값이 무한대입니다")
NOT_ONE = Message("the check gave {value}, not one number", "검사 결과가 숫자 하나가 아닙니다({value})")

# Of the graded runs.

CHANGED = Message(
    "{file}: {key} = {given}: this lab leaves it at {own}; what you may change: {allowed}",
    "{file}: {key} = {given}: 이 실습에서는 {own} 값을 바꿀 수 없습니다. 바꿀 수 있는 것: {allowed}",
)
RUN_TOO_LONG = Message(
    "the graded run took longer than {seconds:g} s and was ended",
    "채점용 학습이 {seconds:g}초를 넘어 중단했습니다",
)
RUN_DIED = Message("the graded run ended unexpectedly: {error}", "채점용 학습이 비정상적으로 끝났습니다: {error}")
RUN_FAILED = Message("the graded run failed: {error}", "채점용 학습이 실패했습니다: {error}")
NOT_MEASURED = Message("the graded run has no {name}", "채점용 학습에 {name} 값이 없습니다")
NO_RUN = Message(
    "nothing is trained for this check: {name} is not there", "이 항목은 학습 없이 검사하므로 {name} 값이 없습니다"
)
NO_COLUMN = Message(
    "the graded run has no column {name}; there are {there}",
    "채점용 학습에 {name} 열이 없습니다. 있는 열: {there}",
)
NO_SETTING = Message(
    "setting({key}): the graded preset has no such key", "setting({key}): 채점 프리셋에 없는 키입니다"
)
NO_PREDICTION = Message("there is no prediction {key}", "예측 {key}이(가) 없습니다")
NO_CODE = Message("this lab has no file of code", "이 실습에는 코드 파일이 없습니다")
NO_SPLIT = Message("the data have no {split} split", "데이터에 {split} 분할이 없습니다")

_TEXTS: dict[str, tuple[str, str]] = {
    # errors
    "there already": (
        "{names}: here already. Go on with it, or begin anew, which moves it aside: descent lab start {id} --again",
        "{names}: 이미 이 폴더에 있습니다. 그대로 이어서 하거나, 기존 파일을 옮겨 두고 새로 시작하세요: "
        "descent lab start {id} --again",
    ),
    "final": (
        "{key} = {made} was your prediction; it is final",
        "{key} = {made}(으)로 이미 예측했습니다. 예측은 바꿀 수 없습니다",
    ),
    "predict first": (
        "{id}: predict first, then run. What you think will come out is kept before anything runs:\n  {line}",
        "{id}: 실행하기 전에 먼저 예측하세요. 결과가 어떨지 예측을 남겨야 실행할 수 있습니다:\n  {line}",
    ),
    "explanation first": (
        "{id}: the explanation opens once the lab is passed: descent lab check {id}",
        "{id}: 해설은 실습을 통과한 뒤에 볼 수 있습니다: descent lab check {id}",
    ),
    "solution first": (
        "{id}: the solution opens once the lab is passed (descent lab check {id}); hints are there before: "
        "descent lab hint {id}",
        "{id}: 모범 답안은 실습을 통과한 뒤에 볼 수 있습니다(descent lab check {id}). "
        "그 전에는 힌트를 보세요: descent lab hint {id}",
    ),
    "give predictions": (
        "{id}: nobody is here to ask. Give your predictions as words:\n  {line}",
        "{id}: 터미널이 아니어서 물어볼 수 없습니다. 예측을 인자로 적어 주세요:\n  {line}",
    ),
    "no lab": ("{word}: no such lab; there are: {names}", "{word}: 그런 실습이 없습니다. 있는 실습: {names}"),
    "meant lab": (
        "{word}: no such lab; did you mean {meant}?",
        "{word}: 그런 실습이 없습니다. 혹시 {meant}인가요?",
    ),
    "no prediction": (
        "{id}: {word}: no such prediction; there are: {names}",
        "{id}: {word}: 그런 예측 항목이 없습니다. 있는 항목: {names}",
    ),
    "meant prediction": (
        "{id}: {word}: no such prediction; did you mean {meant}?",
        "{id}: {word}: 그런 예측 항목이 없습니다. 혹시 {meant}인가요?",
    ),
    "no number": ("{given}: must be a number", "{given}: 숫자로 적어 주세요"),
    "impossible": ("{given}: not possible; must be {what}", "{given}: 가능한 값이 아닙니다. 가능한 값: {what}"),
    "no choice": ("{given}: must be one of {names}", "{given}: 다음 중 하나로 적어 주세요: {names}"),
    "no order": (
        "{given}: must be all of {names}, each once, with commas between",
        "{given}: 다음을 한 번씩 모두, 쉼표로 구분해 적어 주세요: {names}",
    ),
    "no level": ("--level {level}: must be from 1 to {of}", "--level {level}: 1부터 {of}까지의 숫자여야 합니다"),
    "no pair": (
        "{given}: must have the form KEY=VALUE, as in {line}",
        "{given}: KEY=VALUE 형식으로 적어 주세요. 예: {line}",
    ),
    # the learner's preset
    "header": (
        "{title}\nYour copy of the lab {id}: edit it; then, on the lab's screen or in a shell\n"
        "  g   descent console {id}     train it and watch\n"
        "  k   descent lab check {id}   have it graded\n"
        "  h   descent lab hint {id}    a hint, in three levels",
        "{title}\n실습 {id}의 내 사본입니다. 고친 다음 실습 화면에서는 키로, 셸에서는 명령으로 실행하세요.\n"
        "  g   descent console {id}     학습시키고 지켜봅니다\n"
        "  k   descent lab check {id}   채점합니다\n"
        "  h   descent lab hint {id}    힌트를 봅니다(3단계)",
    ),
    # headings and lines on screen
    "tasks": ("Tasks", "할 일"),
    "your predictions": ("Your predictions", "내 예측"),
    "hint": ("Hint {level} of {of}", "힌트 {level}/{of}"),
    "explanation": ("Explanation", "해설"),
    "solution": ("Solution", "모범 답안"),
    "changes": ("What it changes", "바꾸는 설정"),
    "no changes": ("no setting is changed", "바꾸는 설정이 없습니다"),
    "part": ("Part {name}", "파트 {name}"),
    "minutes": ("about {minutes} min", "약 {minutes}분"),
    "next": ("Next", "다음"),
    "written": ("written", "만든 파일"),
    "all passed": ("Every lab is passed.", "모든 실습을 통과했습니다."),
    "no labs": ("There are no labs.", "실습이 없습니다."),
    "predictions final": ("final", "바꿀 수 없습니다"),
    "nothing to predict": ("There is nothing left to predict.", "더 예측할 것이 없습니다."),
    "number": ("a number", "숫자"),
    "number least": ("a number, {least} or more", "{least} 이상의 숫자"),
    "number most": ("a number, {most} or less", "{most} 이하의 숫자"),
    "number least most": ("a number from {least} to {most}", "{least}부터 {most}까지의 숫자"),
    "in unit": ("{what}, in {unit}", "{what}(단위: {unit})"),
    "choice": ("one of them: its number or its name", "하나를 고르세요(번호나 이름)"),
    "order": ("all of them in order, as in 2,1,3", "모두 순서대로 적으세요(예: 2,1,3)"),
    "broken": ("broken: {error}", "파일 오류: {error}"),
    # what comes next, by step
    "step start": ("get the files", "파일을 받습니다"),
    "step gone": ("its files are no longer there: get them anew", "파일이 없어졌습니다. 다시 받습니다"),
    "step folder": ("your files are there", "내 파일이 있는 폴더로 갑니다"),
    "step predict": ("say what you think will come out", "결과를 예측합니다"),
    "step run": ("train it and watch", "학습을 실행하고 지켜봅니다"),
    "step check": ("have it graded", "채점합니다"),
    "step explain": ("passed: read why", "통과했습니다. 해설을 읽으세요"),
    "step done": ("passed", "통과했습니다"),
    # the list
    "lab": ("LAB", "실습"),
    "title": ("TITLE", "제목"),
    "attempts": ("ATTEMPTS", "시도"),
    "best": ("BEST", "최고"),
    # topics
    "lines": ("Lines", "직선과 회귀"),
    "classification": ("Classification", "분류"),
    "networks": ("Networks", "신경망"),
    "optimizers": ("Optimizers", "옵티마이저"),
    "generalisation": ("Generalisation", "일반화"),
    "data": ("Data", "데이터"),
}


def say(key: str, language: Language, /, **fields: object) -> str:
    """The text called `key`, with its fields filled."""
    en, ko = _TEXTS[key]
    return (ko if language == "ko" else en).format(**fields)


def not_found(what: str, word: str, names: Iterable[str], language: Language, **fields: object) -> str:
    """That there is no such `what` ("lab"), with the likely meant one, or with all there are."""
    meant = likely(word, names)
    if meant is not None:
        return say(f"meant {what}", language, word=show(word), meant=meant, **fields)
    return say(f"no {what}", language, word=show(word), names=", ".join(sorted(names)) or "–", **fields)
