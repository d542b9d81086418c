"""What the flow itself says, in English and Korean."""

from collections.abc import Iterable

from engine.labs.format import Language
from engine.texts import likely, show

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
