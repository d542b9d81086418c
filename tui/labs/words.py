"""What the lab screens say, in English and Korean; what command line and screen both say is in engine.labs.texts."""

from engine.labs.format import Language

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
    "why": ("why", "해설"),
    "next lab": ("next lab", "다음 실습"),
    "other labs": ("other labs", "다른 실습"),
    "back": ("back", "뒤로"),
    "help": ("help", "도움말"),
    "solution": ("solution", "모범 답안"),
    "close": ("close", "닫기"),
    "save": ("save", "저장"),
    "next file": ("next file", "다음 파일"),
    "undo": ("undo", "되돌리기"),
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
    "grading": (
        "being graded, anew and with the lab's own seeds; 10 to 30 s as a rule: {seconds} s",
        "실습의 시드로 새로 학습시켜 채점 중입니다. 보통 10~30초 걸립니다: {seconds}초",
    ),
    "graded": ("{met} of {of} criteria met", "기준 {of}개 중 {met}개 통과"),
    "graded all": ("all {of} criteria met", "기준 {of}개 모두 통과"),
    "not gradable": ("could not be graded: {why}", "채점하지 못했습니다: {why}"),
    "busy": ("it is being graded already", "이미 채점 중입니다"),
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
    "which run": ("train which preset?", "어떤 프리셋을 학습시킬까요?"),
    "which lab": ("which lab?", "어떤 실습을 할까요?"),
    "gone": ("{file} is not in {folder} any more", "{folder}에 {file}이(가) 없습니다"),
    # predicting
    "prediction": ("prediction {at} of {of}", "예측 {at}/{of}"),
    "final": ("It is kept as it is once you press enter.", "Enter를 누르면 그대로 저장되며 바꿀 수 없습니다."),
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
