"""The steps of a learner through a lab: start, predict, run, have it graded, read the explanation."""

import contextlib
import hashlib
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from descent.common.errors import DescentError, PresetError
from descent.common.files import create_text
from descent.common.i18n import N_, _, language
from descent.common.numbers import setting, trimmed
from descent.common.settings import pair_of
from descent.common.text import clean, likely, show, unmarked, unwritable
from descent.run.folder import RunFolder
from engine.labs import progress as kept
from engine.labs.format import OWN_CODE, Check, Prediction, Solution, Text
from engine.labs.library import LAB_FILE, Lab, find_lab, is_known, labs, split
from engine.labs.progress import Progress, Record
from engine.labs.submission import is_changed_run
from engine.preset import consent
from engine.preset.find import read_text

Step = Literal["start", "predict", "run", "explain", "done"]
LEVELS = 3
NEAR = 0.1  # of the result: a predicted number within it is right, unless the question says how near it must be
_ROUNDING = 1e-9
LABS_BETWEEN = 1  # what was missed in a lab is asked again in the one after the next
MOST_ONCE_MORE = 2  # questions of earlier labs at once
_REFUSED = {
    "number": N_("{given}: must be a number"),
    "choice": N_("{given}: must be one of {names}"),
    "order": N_("{given}: must be all of {names}, each once, with commas between"),
}


def step(lab: Lab, progress: Progress) -> Step:
    """Return what the learner does next in this lab."""
    record = progress.of(lab.id)
    if record.passed is not None:
        return "done" if record.read else "explain"
    if record.started is None:
        return "start"
    return "predict" if unanswered(lab, progress) else "run"


def upcoming(progress: Progress, at: str | None = None) -> Lab | None:
    """Return the lab to go on with: this one until it is done, then the next undone one of the course, or None.

    at: its id; else the last one. Behind the end of the course come those that were left out.
    """
    course = labs()
    here = next((place for place, lab in enumerate(course) if lab.id == (at or progress.last)), 0)
    return next((lab for lab in [*course[here:], *course[:here]] if step(lab, progress) != "done"), None)


def folder_of(lab: Lab, progress: Progress) -> Path | None:
    """Return the folder of the learner's files: the current one, or the one that they were started in, or None."""
    put = progress.of(lab.id).folder
    places = [Path.cwd(), *([Path(put)] if put is not None else [])]
    return next((place for place in places if (place / f"{lab.id}.toml").is_file()), None)


def folder_of_files(lab: Lab, progress: Progress) -> Path | None:
    """Return the folder whose files are graded: the one that they were started in, or None if there are none."""
    put = progress.of(lab.id).folder
    return Path(put) if put is not None and (Path(put) / f"{lab.id}.toml").is_file() else None


# --- start ---


def start(lab: Lab, folder: Path, again: bool = False) -> list[Path]:
    """Write the lab's files into `folder` for the learner to edit. Return them, the preset first.

    again: first rename files that exist. Raises DescentError if files exist without `again`, or can't be written.
    """
    files = {folder.absolute() / name: text for name, text in learners_files(lab).items()}
    there = [path for path in files if os.path.lexists(path)]
    if there and not again:
        names = ", ".join(clean(path.name) for path in there)
        raise DescentError(
            _(
                "{names}: here already. Go on with it, or begin anew, which moves it aside: "
                "descent lab start {id} --again",
                names=names,
                id=lab.id,
            )
        )
    _write_anew(files, there)
    with contextlib.suppress(OSError):  # without it --allow-code will be needed
        if lab.start_file is not None:
            consent.agree_to_path(folder.absolute() / f"{lab.id}.py")
    kept.started(
        lab.id, folder, {path.name: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()}
    )
    return list(files)


def put_back(lab: Lab, folder: Path) -> list[Path]:
    """Write those of the lab's files that are not in `folder` any more, as they were at the start. Return them.

    Raises DescentError if one can't be written.
    """
    files = {folder.absolute() / name: text for name, text in learners_files(lab).items()}
    gone = {path: text for path, text in files.items() if not os.path.lexists(path)}
    _write_anew(gone, ())
    return list(gone)


def _write_anew(files: Mapping[Path, str], there: Sequence[Path]) -> None:
    """Write the files, and rename those that are there before. If that fails, all is as it was."""
    aside: dict[Path, Path] = {}
    made: list[Path] = []
    try:
        for path in there:
            new = _aside(path)
            path.rename(new)
            aside[path] = new
        for path, text in files.items():
            create_text(path, text)
            made.append(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            for path in made:
                path.unlink()
            for path, new in aside.items():
                new.rename(path)
        raise unwritable(Path(error.filename or next(iter(files))), error) from None


def learners_files(lab: Lab) -> dict[str, str]:
    """Return the texts of a learner's files by name: the preset first, then those of the parts, then the code."""
    preset = split(read_text(lab.folder / LAB_FILE))[0]
    files = {f"{lab.id}.toml": _learners_preset(lab, str(lab.model.title), preset)}
    for name, part in lab.model.parts.items():
        preset = split(read_text(lab.folder / part.preset))[0]
        files[f"{lab.id}-{name}.toml"] = _learners_preset(lab, str(part.title), preset)
    code = lab.start_code()
    if code is not None:
        files[f"{lab.id}.py"] = code.read_text(encoding="utf-8")
    return files


def _learners_preset(lab: Lab, title: str, preset: str) -> str:
    header = _(
        "{title}\nYour copy of the lab {id}: edit it; then, on the lab's screen or in a shell\n"
        "  g   descent console {id}     train it and watch\n"
        "  k   descent lab check {id}   have it graded\n"
        "  h   descent lab hint {id}    a hint, in three levels",
        title=title,
        id=lab.id,
    )
    comment = "\n".join(f"# {line}".rstrip() for line in header.splitlines())
    return f'{comment}\nlab = "{lab.id}"\n\n{_in_language(preset)}'


def _in_language(preset: str) -> str:
    """Return the preset with its comments in the current language. A comment is written "# English / 한국어"."""
    return re.sub(
        r"(# )(.+) / (.*[가-힣].*)$", r"\1\3" if language() == "ko" else r"\1\2", preset, flags=re.MULTILINE
    )


def _aside(path: Path) -> Path:
    """Return a free name for a file: gd-line.toml -> gd-line.1.toml, or the next free number."""
    numbered = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in range(1, 10_000))
    return next(free for free in numbered if not os.path.lexists(free))


# --- predictions ---


def unanswered(lab: Lab, progress: Progress) -> tuple[Prediction, ...]:
    """Return the predictions that the learner has not made yet."""
    made = progress.of(lab.id).predictions
    return tuple(one for one in lab.model.predictions if one.id not in made)


def pairs(lab: Lab, texts: Sequence[str]) -> dict[str, str]:
    """Return words such as bias=1.0 as answers by their keys. Raises DescentError for a word of another form."""
    found: dict[str, str] = {}
    for text in texts:
        pair = pair_of(text)
        if pair is None:
            line = f"descent lab predict {lab.id} KEY=…"
            raise DescentError(_("{given}: must have the form KEY=VALUE, as in {line}", given=show(text), line=line))
        found[pair[0]] = pair[1]
    return found


def predict(lab: Lab, answers: Mapping[str, Any]) -> Progress:
    """Keep the learner's predictions, which are final. An answer is a value or the text that was typed.

    Raises DescentError, and keeps none, if one is not an answer to its question or differs from an earlier one.
    """
    questions = {one.id: one for one in lab.model.predictions}
    made = kept.load().of(lab.id).predictions
    read: dict[str, Any] = {}
    for key, given in answers.items():
        if key not in questions:
            raise DescentError(_no_prediction(lab, key))
        try:
            value = answer(questions[key], given)
        except DescentError as error:
            raise DescentError(f"{key} = {error}") from None
        if key in made and made[key] != value:
            raise DescentError(
                _("{key} = {made} was your prediction; it is final", key=key, made=shown_answer(made[key]))
            )
        read[key] = value
    return kept.predicted(lab.id, read)


def _no_prediction(lab: Lab, word: str) -> str:
    ids = [question.id for question in lab.model.predictions]
    meant = likely(word, ids)
    if meant is not None:
        return _("{id}: {word}: no such prediction; did you mean {meant}?", id=lab.id, word=show(word), meant=meant)
    names = ", ".join(sorted(ids)) or "–"
    return _("{id}: {word}: no such prediction; there are: {names}", id=lab.id, word=show(word), names=names)


def answer(question: Prediction, given: Any) -> Any:
    """Return a value, or the text that was typed, as an answer: a number, a choice's id, or all ids in order.

    Choices may be given by their number too: 2, or 3,1,2. Raises DescentError if it is not an answer or the number is
    not possible. The error names what was given and what is allowed; the caller adds the question's name.
    """
    ids = [choice.id for choice in question.choices]
    value: Any
    match question.kind:
        case "number":
            value = _number(given)
        case "choice":
            value = _choice(given, ids)
        case "order":
            value = _order(given, ids)
    if value is None:
        raise DescentError(_(_REFUSED[question.kind], given=show(given), names=", ".join(ids)))
    if question.kind == "number" and not _is_possible(value, question):
        raise DescentError(_("{given}: not possible; must be {what}", given=show(given), what=expected(question)))
    return value


def expected(question: Prediction) -> str:
    """Return what an answer looks like: "a number from 0 to 100, in %"."""
    if question.kind == "choice":
        return _("one of them: its number or its name")
    if question.kind == "order":
        return _("all of them in order, as in 2,1,3")
    least, most = (None if limit is None else trimmed(limit) for limit in (question.least, question.most))
    if least is None and most is None:
        number = _("a number")
    elif most is None:
        number = _("a number, {least} or more", least=least)
    elif least is None:
        number = _("a number, {most} or less", most=most)
    else:
        number = _("a number from {least} to {most}", least=least, most=most)
    return _("{what}, in {unit}", what=number, unit=question.unit) if question.unit else number


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
    """Return an answer as the learner would type it."""
    if isinstance(value, float):
        return setting(value)
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def in_words(question: Prediction, value: Any) -> str:
    """Return an answer or a result with its unit, or with the texts of the choices."""
    texts = {choice.id: unmarked(str(choice.text)) for choice in question.choices}
    if isinstance(value, list):
        return " → ".join(texts.get(str(one), str(one)) for one in value)
    said = trimmed(value) if isinstance(value, float) else shown_answer(value)
    gap = "" if question.unit.startswith("%") else " "
    return texts.get(value) or f"{said}{gap}{question.unit}".strip()


def is_right(question: Prediction, answer: Any, result: Any) -> bool | None:
    """Return whether that came out which was predicted: of a number, nearly that. None without both of them."""
    if answer is None or result is None:
        return None
    if question.kind != "number":
        return bool(answer == result)
    if not isinstance(answer, int | float) or not isinstance(result, int | float):
        return None
    near = NEAR * abs(result) if question.near is None else question.near
    return math.isclose(answer, result, rel_tol=_ROUNDING, abs_tol=near)


def missed(lab: Lab, compared: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the results of the predictions that were missed, by id. compared: as a verdict has them."""
    questions = {question.id: question for question in lab.model.predictions}
    return {
        str(one["id"]): one["result"]
        for one in compared
        if one["id"] in questions and is_right(questions[one["id"]], one["predicted"], one["result"]) is False
    }


@dataclass(frozen=True)
class OnceMore:
    """A prediction of an earlier lab that was missed, and what came out."""

    lab: Lab
    question: Prediction
    result: Any


def once_more(lab: Lab, progress: Progress) -> list[OnceMore]:
    """Return what to ask again before this lab's predictions: missed two labs ago or earlier, and not asked since."""
    course = labs()
    earlier = course[: max(0, [one.id for one in course].index(lab.id) - LABS_BETWEEN)] if lab in course else []
    found = [
        OnceMore(one, question, progress.of(one.id).missed[question.id])
        for one in earlier
        for question in one.model.predictions
        if question.id in progress.of(one.id).missed and question.id not in progress.of(one.id).once_more
    ]
    return found[:MOST_ONCE_MORE]


def answered_once_more(asked: OnceMore, answer: Any) -> str:
    """Record the answer, None if there is none, and return what is said to it: right or wrong, and why."""
    kept.answered_once_more(asked.lab.id, asked.question.id, answer)
    came = _("result: {value}", value=in_words(asked.question, asked.result))
    if is_right(asked.question, answer, asked.result):
        return _("Right this time. {came}", came=came)
    why = why_wrong(asked.question, answer)
    return f"{_('Not yet. {came}', came=came)}\n\n{why}" if why else _("Not yet. {came}", came=came)


def why_wrong(question: Prediction, answer: Any) -> str:
    """Return what the lab says to a wrong answer, or nothing: of a choice to this one, else why it comes out so."""
    if question.kind != "choice":
        return "" if question.why is None else str(question.why)
    return next((str(choice.why) for choice in question.choices if choice.id == answer and choice.why), "")


def predict_line(lab: Lab, progress: Progress) -> str:
    """Return the command that makes the missing predictions."""
    words = " ".join(f"{one.id}=…" for one in unanswered(lab, progress))
    return f"descent lab predict {lab.id} {words}".rstrip()


def require_predictions(lab: Lab) -> None:
    """Raise DescentError, with the command that makes them, if predictions are missing. They come before any run."""
    progress = kept.load()
    if unanswered(lab, progress):
        raise DescentError(
            _(
                "{id}: predict first, then run. What you think will come out is kept before anything runs:\n  {line}",
                id=lab.id,
                line=predict_line(lab, progress),
            )
        )


def check_start(lab_id: str | None) -> None:
    """Raise DescentError if a run of this lab may not start because predictions are missing. None means no lab."""
    if lab_id is None or not is_known(lab_id):
        return
    with contextlib.suppress(PresetError):  # a broken lab has no predictions
        require_predictions(find_lab(lab_id))


def note_run(run: RunFolder, lab_id: str, preset: str) -> None:
    """Record that a preset of this lab was trained, and whether it had been changed.

    preset: the name of the learner's file, without its ending.
    """
    part = preset.removeprefix(lab_id).removeprefix("-")
    with contextlib.suppress(DescentError):  # a broken lab, or progress that can't be written: the run has ended
        if kept.load().of(lab_id).started is None or not is_known(lab_id):
            return
        lab = find_lab(lab_id)
        if part in ("", *lab.model.parts):
            verbs = ["ran", "changed"] if is_changed_run(lab, part or None, run) else ["ran"]
            kept.did(lab_id, *(f"{verb} {part}".rstrip() for verb in verbs))


# --- hints, explanation, solution ---


@dataclass(frozen=True)
class Hint:
    """A hint. check: the criterion that it helps with, or None if it is about the whole lab."""

    level: int
    text: str
    check: Check | None


def unmet(lab: Lab, record: Record) -> Check:
    """Return the first criterion that the latest attempt did not meet. Those for a bonus come last."""
    met = {one.id for one in record.attempts[-1].checks if one.passed} if record.attempts else set()
    checks = sorted(lab.model.checks, key=lambda check: check.bonus)
    return next((check for check in checks if check.id not in met), checks[0])


def hint(lab: Lab, level: int | None = None) -> Hint:
    """Return the next hint for the first unmet criterion, or that of the given level. It is recorded, not punished.

    Raises DescentError for a level that does not exist.
    """
    if level is not None and not 1 <= level <= LEVELS:
        raise DescentError(_("--level {level}: must be from 1 to {of}", level=level, of=LEVELS))
    record = kept.load().of(lab.id)
    check, texts = hints_for(lab, record)
    key = check.id if check is not None else ""
    shown = level or min(record.seen.get(key, 0) + 1, LEVELS)
    kept.hinted(lab.id, shown, key)
    return Hint(shown, str(texts[shown - 1]), check)


def hints_seen(lab: Lab, record: Record) -> list[Hint]:
    """Return the hints for the first unmet criterion that the learner has seen already."""
    check, texts = hints_for(lab, record)
    seen = record.seen.get(check.id if check is not None else "", 0)
    return [Hint(level, str(text), check) for level, text in enumerate(texts[:seen], 1)]


def hints_for(lab: Lab, record: Record) -> tuple[Check | None, Sequence[Text]]:
    """Return the criterion to help with and its three hints; None and those of the lab if it has none of its own."""
    check = unmet(lab, record)
    return (check, check.hints) if check.hints else (None, lab.model.hints)


# --- tasks ---


def tasks_done(lab: Lab, record: Record) -> list[bool]:
    """Return for each task whether it is done. One without `done_when` is done when a later one is, or the lab is."""
    met = {f"met {one.id}" for one in record.attempts[-1].checks if one.passed} if record.attempts else set()
    done = {*record.deeds, *met, *_saved(lab, record), *(["checked"] if record.attempts else [])}
    ticked: list[bool] = []
    for task in reversed(lab.model.tasks):
        as_told = bool(task.done_when) and done.issuperset(task.done_when)
        ticked.insert(0, record.passed is not None or as_told or (not task.done_when and any(ticked)))
    return ticked


def present_tasks(lab: Lab, record: Record) -> range:
    """Return the places of the tasks to do now: the first undone one, and those below one without `done_when`."""
    done, tasks = tasks_done(lab, record), lab.model.tasks
    first = next((at for at, is_done in enumerate(done) if not is_done), len(tasks))
    last = next((at for at in range(first, len(tasks)) if tasks[at].done_when), len(tasks) - 1)
    return range(first, last + 1)


def _saved(lab: Lab, record: Record) -> set[str]:
    """Return the deeds "saved …" whose file differs from what `lab start` wrote."""
    if record.folder is None:
        return set()
    names = {"saved": f"{lab.id}.toml", f"saved {OWN_CODE}": f"{lab.id}.py"}
    names |= {f"saved {part}": f"{lab.id}-{part}.toml" for part in lab.model.parts}
    return {deed for deed, name in names.items() if _is_changed(Path(record.folder) / name, record.files.get(name))}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_changed(path: Path, sha256: str | None) -> bool:
    """Return whether the file is there and not what it was. What it was is not known of files of older versions."""
    try:
        return _sha256(path.read_bytes()) != sha256
    except OSError:
        return False


def explain(lab: Lab) -> str:
    """Return the explanation, and record that it was read. Raises DescentError before the lab is passed."""
    if not _is_passed(lab):
        raise DescentError(_("{id}: the explanation opens once the lab is passed: descent lab check {id}", id=lab.id))
    kept.read(lab.id)
    return str(lab.model.explanation)


def solution(lab: Lab, *, instructor: bool = False) -> Solution:
    """Return the reference solution. Raises DescentError before the lab is passed, except for an instructor."""
    if not instructor and not _is_passed(lab):
        raise DescentError(
            _(
                "{id}: the solution opens once the lab is passed (descent lab check {id}); hints are there before: "
                "descent lab hint {id}",
                id=lab.id,
            )
        )
    return lab.solution()


def _is_passed(lab: Lab) -> bool:
    return kept.load().of(lab.id).passed is not None


def next_commands(lab: Lab, progress: Progress, *, at_work: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the commands of the next step, each with what it does. at_work: go on with it although it is passed."""
    next_step = step(lab, progress)
    if at_work and next_step in {"explain", "done"}:
        next_step = "run"
    if next_step in {"predict", "run"}:
        folder = folder_of(lab, progress)
        if folder is None:
            yield f"descent lab start {lab.id}", _("its files are no longer there: get them anew")
        elif folder != Path.cwd():
            yield f"cd {shlex.quote(str(folder))}", _("your files are there")
    match next_step:
        case "start":
            yield f"descent lab start {lab.id}", _("get the files")
        case "predict":
            yield f"descent lab predict {lab.id}", _("say what you think will come out")
        case "run":
            yield f"descent console {lab.id}", _("train it and watch")
            yield f"descent lab check {lab.id}", _("have it graded")
        case "explain":
            yield f"descent lab explain {lab.id}", _("passed: read why")
        case "done":
            yield f"descent lab explain {lab.id}", _("passed")
