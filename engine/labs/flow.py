"""A learner's way through a lab: start, predict, run, be graded, read why, go on."""

import contextlib
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import Language
from descent.common.numbers import setting, trimmed
from descent.common.text import clean, show
from engine.labs import progress as kept
from engine.labs.format import Prediction, Solution
from engine.labs.library import LAB_FILE, Lab, find_lab, is_known, labs, split
from engine.labs.messages import not_found, say
from engine.labs.progress import Progress, chosen_language
from engine.preset import consent
from engine.preset.find import read_text

Step = Literal["start", "predict", "run", "explain", "done"]
LEVELS = 3


def step(lab: Lab, progress: Progress) -> Step:
    """What the learner does next in this lab."""
    record = progress.of(lab.id)
    if record.passed is not None:
        return "done" if record.read else "explain"
    if record.started is None:
        return "start"
    return "predict" if unanswered(lab, progress) else "run"


def upcoming(progress: Progress) -> Lab | None:
    """The lab to go on with: the last one as long as it is not done, else the first that is not; None: all are."""
    course = labs()
    last = [lab for lab in course if lab.id == progress.last]
    return next((lab for lab in [*last, *course] if step(lab, progress) != "done"), None)


def folder_of(lab: Lab, progress: Progress) -> Path | None:
    """Where the learner's files of a lab are: here, or where they were put; None where they are in neither."""
    put = progress.of(lab.id).folder
    places = [Path.cwd(), *([Path(put)] if put is not None else [])]
    return next((place for place in places if (place / f"{lab.id}.toml").is_file()), None)


# --- start ---


def start(lab: Lab, folder: Path, again: bool = False, *, language: Language | None = None) -> list[Path]:
    """Put the lab's files into `folder` for the learner to edit; the files, the preset first.

    again: move what is there aside. DescentError where files are there already, or can't be written.
    """
    files = {
        folder.absolute() / name: text
        for name, text in learners_files(lab, language or chosen_language(None)).items()
    }
    there = [path for path in files if os.path.lexists(path)]
    if there and not again:
        names = ", ".join(clean(path.name) for path in there)
        raise DescentError(say("there already", language or chosen_language(None), names=names, id=lab.id))
    try:
        for path in there:
            path.rename(_aside(path))
        for path, text in files.items():
            with path.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
    except OSError as error:
        raise DescentError(f"{clean(str(error.filename or folder))} can't be written: {error.strerror}") from None
    with contextlib.suppress(OSError):  # else --allow-code is asked for
        if lab.start_file is not None:
            consent.agree_to_path(folder.absolute() / f"{lab.id}.py")
    kept.started(lab.id, folder)
    return list(files)


def learners_files(lab: Lab, language: Language) -> dict[str, str]:
    """What a learner gets, as text by file name: the preset first, then those of the parts, then the code."""
    preset, _ = split(read_text(lab.folder / LAB_FILE))
    files = {f"{lab.id}.toml": _learners_preset(lab, lab.text("title", language), preset, language)}
    for name, part in lab.model.parts.items():
        preset, _ = split(read_text(lab.folder / part.preset))
        files[f"{lab.id}-{name}.toml"] = _learners_preset(lab, part.title.of(language), preset, language)
    code = lab.start_code(language)
    if code is not None:
        files[f"{lab.id}.py"] = code.read_text(encoding="utf-8")
    return files


def _learners_preset(lab: Lab, title: str, preset: str, language: Language) -> str:
    header = say("header", language, title=title, id=lab.id)
    comment = "\n".join(f"# {line}".rstrip() for line in header.splitlines())
    return f'{comment}\nlab = "{lab.id}"\n\n{_in_language(preset, language)}'


def _in_language(preset: str, language: Language) -> str:
    """The preset with those of its comments that are "# English / 한국어" in one of the two."""
    return re.sub(r"(# )(.+) / (.*[가-힣].*)$", r"\1\3" if language == "ko" else r"\1\2", preset, flags=re.MULTILINE)


def _aside(path: Path) -> Path:
    """gd-line.toml -> gd-line.1.toml, or the next number that is free."""
    numbered = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in range(1, 10_000))
    return next(free for free in numbered if not os.path.lexists(free))


# --- predictions ---


def unanswered(lab: Lab, progress: Progress) -> tuple[Prediction, ...]:
    """The predictions that are still to be made."""
    made = progress.of(lab.id).predictions
    return tuple(one for one in lab.model.predictions if one.id not in made)


def pairs(lab: Lab, texts: Sequence[str], language: Language) -> dict[str, str]:
    """Words such as bias=1.0 as answers by their keys. DescentError where one is none."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise DescentError(say("no pair", language, given=show(text), line=f"descent lab predict {lab.id} KEY=…"))
        found[key.strip()] = value.strip()
    return found


def predict(lab: Lab, answers: Mapping[str, Any], *, language: Language | None = None) -> Progress:
    """Keep the learner's predictions, which are final. Answers are values or what was typed.

    DescentError where one is no answer to its question, or where another was given before; then none is kept.
    """
    language = language or chosen_language(None)
    questions = {one.id: one for one in lab.model.predictions}
    made = kept.load().of(lab.id).predictions
    read: dict[str, Any] = {}
    for key, given in answers.items():
        if key not in questions:
            raise DescentError(not_found("prediction", key, questions, language, id=lab.id))
        try:
            value = answer(questions[key], given, language=language)
        except DescentError as error:
            raise DescentError(f"{key} = {error}") from None
        if key in made and made[key] != value:
            raise DescentError(say("final", language, key=key, made=shown_answer(made[key])))
        read[key] = value
    return kept.predicted(lab.id, read)


def answer(question: Prediction, given: Any, *, language: Language | None = None) -> Any:
    """What was typed, or a value, as an answer: a number, a choice's id, or all ids in order.

    Choices may be given by their number too: 2, or 3,1,2. DescentError where it is none, or where the number is not
    possible: it says what was given and what can be, and leaves the question's name to the caller.
    """
    ids = [choice.id for choice in question.choices]
    language = language or chosen_language(None)
    value: Any
    match question.kind:
        case "number":
            value = _number(given)
        case "choice":
            value = _choice(given, ids)
        case "order":
            value = _order(given, ids)
    if value is None:
        raise DescentError(say(f"no {question.kind}", language, given=show(given), names=", ".join(ids)))
    if question.kind == "number" and not _is_possible(value, question):
        raise DescentError(say("impossible", language, given=show(given), what=expected(question, language)))
    return value


def expected(question: Prediction, language: Language) -> str:
    """What an answer looks like: "a number from 0 to 100, in %"."""
    if question.kind != "number":
        return say(question.kind, language)
    limits = {key: trimmed(limit) for key in ("least", "most") if (limit := getattr(question, key)) is not None}
    number = say(" ".join(["number", *limits]), language, **limits)
    return say("in unit", language, what=number, unit=question.unit) if question.unit else number


def _number(given: Any) -> float | None:
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(value) or isinstance(given, bool) else value


def _is_possible(value: float, question: Prediction) -> bool:
    least, most = question.least, question.most
    return math.isfinite(value) and (least is None or value >= least) and (most is None or value <= most)


def _choice(given: Any, ids: list[str]) -> str | None:
    word = str(given).strip()
    if word in ids:
        return word
    return ids[int(word) - 1] if word.isascii() and word.isdigit() and 1 <= int(word) <= len(ids) else None


def _order(given: Any, ids: list[str]) -> list[str] | None:
    words = given.split(",") if isinstance(given, str) else list(given)
    order = [choice for word in words if (choice := _choice(word, ids)) is not None]
    return order if len(words) == len(order) and sorted(order) == sorted(ids) else None


def shown_answer(value: Any) -> str:
    """An answer as the learner would type it."""
    if isinstance(value, float):
        return setting(value)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def predict_line(lab: Lab, progress: Progress) -> str:
    """The command that makes the predictions that are missing."""
    words = " ".join(f"{one.id}=…" for one in unanswered(lab, progress))
    return f"descent lab predict {lab.id} {words}".rstrip()


def require_predictions(lab: Lab) -> None:
    """DescentError, with the command that makes them, where predictions are missing: they come before any run."""
    progress = kept.load()
    if unanswered(lab, progress):
        raise DescentError(say("predict first", chosen_language(None), id=lab.id, line=predict_line(lab, progress)))


def check_start(lab_id: str | None) -> None:
    """DescentError where a run of this lab (of none, for None) may not start yet: its predictions are missing."""
    if lab_id is None or not is_known(lab_id):
        return
    with contextlib.suppress(PresetError):  # a lab that is broken asks nothing
        require_predictions(find_lab(lab_id))


# --- hints, explanation, solution ---


def hint(lab: Lab, level: int | None = None, *, language: Language | None = None) -> tuple[int, str]:
    """The next hint, or the one of that level: its level and text. That it was seen is recorded, not punished."""
    if level is not None and not 1 <= level <= LEVELS:
        raise DescentError(say("no level", language or chosen_language(None), level=level, of=LEVELS))
    seen = kept.load().of(lab.id).hints
    shown = level or min(seen + 1, LEVELS)
    kept.hinted(lab.id, shown)
    return shown, lab.model.hints[shown - 1].of(language or chosen_language(None))


def explain(lab: Lab, *, language: Language | None = None) -> str:
    """The explanation, which a pass opens; the learner then goes on. DescentError before a pass."""
    language = language or chosen_language(None)
    _require_pass(lab, "explanation first", language)
    kept.read(lab.id)
    return lab.text("explanation", language)


def solution(lab: Lab, *, instructor: bool = False, language: Language | None = None) -> Solution:
    """The reference solution. DescentError before a pass, but for an instructor."""
    if not instructor:
        _require_pass(lab, "solution first", language or chosen_language(None))
    return lab.solution()


def _require_pass(lab: Lab, text: str, language: Language) -> None:
    if kept.load().of(lab.id).passed is None:
        raise DescentError(say(text, language, id=lab.id))


def next_commands(lab: Lab, progress: Progress) -> Iterator[tuple[str, str]]:
    """The commands of the next step, each with the name of the text that says what it does."""
    next_step = step(lab, progress)
    if next_step in {"predict", "run"}:
        folder = folder_of(lab, progress)
        if folder is None:
            yield f"descent lab start {lab.id}", "step gone"
        elif folder != Path.cwd():
            yield f"cd {shlex.quote(str(folder))}", "step folder"
    match next_step:
        case "start":
            yield f"descent lab start {lab.id}", "step start"
        case "predict":
            yield f"descent lab predict {lab.id}", "step predict"
        case "run":
            yield f"descent console {lab.id}", "step run"
            yield f"descent lab check {lab.id}", "step check"
        case "explain":
            yield f"descent lab explain {lab.id}", "step explain"
        case "done":
            yield f"descent lab explain {lab.id}", "step done"
