"""What the lab commands print: texts of labs drawn on a terminal, and as they are written elsewhere."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine import views
from engine.errors import DescentError
from engine.labs import flow, library
from engine.labs.format import Language, Prediction, Solution
from engine.labs.library import BrokenLab, Lab
from engine.labs.progress import Progress
from engine.labs.texts import say
from engine.output import plain
from engine.texts import clean

LONGEST_LINE = 100  # cells; longer lines are hard to read
_MARKS = {"new": " ", "started": "·", "passed": "✓", "broken": "✗"}


def print_line(text: str = "") -> None:
    """A line, without characters that a terminal would obey."""
    print(plain(clean(text), sys.stdout.encoding))


def print_text(text: str) -> None:
    """A text in Markdown: drawn on a terminal, else as it is."""
    cleaned = "\n".join(clean(line.expandtabs()) for line in text.strip().split("\n"))
    if not sys.stdout.isatty():
        print(plain(cleaned, sys.stdout.encoding))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=min(views.width(), LONGEST_LINE), highlight=False)
    with console.capture() as captured:
        console.print(Markdown(cleaned, hyperlinks=False))
    drawn = "\n".join(line.rstrip() for line in captured.get().splitlines())
    print(plain(drawn, sys.stdout.encoding))


def print_heading(text: str) -> None:
    """A heading between parts of what is printed."""
    from rich.console import Console
    from rich.text import Text

    print()
    Console(width=views.width(), highlight=False).print(Text(plain(clean(text), sys.stdout.encoding), style="bold"))


# --- the list ---


def show_list(found: Sequence[Lab | BrokenLab], progress: Progress, language: Language, *, as_json: bool) -> None:
    """Every lab with its state, by topic in the order of the course; the broken ones last."""
    if as_json:
        views.print_json({"labs": [_as_json(lab, progress, language) for lab in found]})
        return
    if not found:
        print_line(say("no labs", language))
        return
    whole = [lab for lab in found if isinstance(lab, Lab)]
    topics = list(dict.fromkeys(lab.model.topic for lab in whole))
    rows: list[tuple[str, ...]] = []
    for topic in topics:
        rows.append(("", say(topic, language), "", "", ""))
        rows += [_row(lab, progress, language) for lab in whole if lab.model.topic == topic]
    head = ("", say("lab", language), say("title", language), say("attempts", language), say("best", language))
    if rows:
        views.print_table(head, rows, right=head[3:], whole=head[:2])
    for lab in found:
        if isinstance(lab, BrokenLab):
            print_line(f"{_MARKS['broken']}  {lab.id}: {say('broken', language, error=lab.error.splitlines()[0])}")


def _row(lab: Lab, progress: Progress, language: Language) -> tuple[str, ...]:
    record = progress.of(lab.id)
    attempts = str(record.count) if record.count else ""
    best = f"{record.best:.0%}" if record.best is not None else ""
    return _MARKS[record.state], f"  {lab.id}", lab.text("title", language), attempts, best


def _as_json(lab: Lab | BrokenLab, progress: Progress, language: Language) -> dict[str, Any]:
    record = progress.of(lab.id)
    entry: dict[str, Any] = {"id": lab.id, "title": "", "topic": "", "state": record.state}
    if isinstance(lab, Lab):
        entry |= {"title": lab.text("title", language), "topic": lab.model.topic}
    else:
        entry |= {"state": "broken", "error": lab.error}
    return entry | {"attempts": record.count, "best": record.best}


# --- one lab ---


def show_lab(lab: Lab, language: Language) -> None:
    """What the lab is about, and what is to be done."""
    model = lab.model
    topic = say(model.topic, language)
    print_heading(f"{model.title.of(language)}  ({topic}, {say('minutes', language, minutes=model.minutes)})")
    print()
    print_text(model.text.of(language))
    print_heading(say("tasks", language))
    print_text("\n".join(f"{n}. {task.text.of(language)}" for n, task in enumerate(model.tasks, 1)))


def show_question(question: Prediction, language: Language) -> None:
    """A question to predict, its choices by number, and what an answer looks like."""
    print()
    print_text(question.text.of(language))
    for number, choice in enumerate(question.choices, 1):
        print_line(f"  {number}  {choice.text.of(language)}  ({choice.id})")
    print_line(f"  {question.id}: {flow.expected(question, language)}")


def ask(lab: Lab, progress: Progress, language: Language) -> dict[str, Any]:
    """Ask what is still to be predicted, one question after the other; the answers by their keys.

    DescentError where nobody can answer.
    """
    questions = flow.unanswered(lab, progress)
    if not questions:
        print_line(say("nothing to predict", language))
    elif not sys.stdin.isatty():
        for question in questions:
            show_question(question, language)
        line = flow.predict_line(lab, progress)
        raise DescentError(say("give predictions", language, id=lab.id, line=line))
    return {question.id: _asked(question, language) for question in questions}


def _asked(question: Prediction, language: Language) -> Any:
    show_question(question, language)
    while True:
        try:
            return flow.answer(question, input(f"  {question.id} = "), language=language)
        except DescentError as error:
            print_line(f"  {error}")
        except EOFError:  # Ctrl-D: nothing is kept
            raise KeyboardInterrupt from None


def show_predictions(lab: Lab, progress: Progress, language: Language) -> None:
    """What the learner has predicted."""
    made = progress.of(lab.id).predictions
    if made:
        print_heading(f"{say('your predictions', language)} ({say('predictions final', language)})")
    for question in lab.model.predictions:
        if question.id in made:
            print_line(f"  {question.id} = {flow.shown_answer(made[question.id])} {question.unit}".rstrip())


def show_hint(level: int, text: str, language: Language) -> None:
    print_heading(say("hint", language, level=level, of=flow.LEVELS))
    print_text(text)


def show_explanation(text: str, language: Language) -> None:
    print_heading(say("explanation", language))
    print_text(text)


def show_solution(lab: Lab, solution: Solution, language: Language) -> None:
    """The reference solution: what it sets, why, and its code."""
    print_heading(f"{say('solution', language)}: {lab.model.title.of(language)}")
    print()
    print_text(solution.text.of(language))
    changes = [(None, solution.set), *((name, part.set) for name, part in solution.parts.items())]
    print_heading(say("changes", language))
    for part, texts in changes:
        if part is not None and texts:
            print_line(say("part", language, name=part))
        for text in texts:
            print_line(f"  --set {text}")
    if not any(texts for _, texts in changes):
        print_line(f"  {say('no changes', language)}")
    if lab.solution_code is not None:
        print_heading(f"{lab.id}.py")
        print_text(f"```python\n{lab.solution_code.read_text(encoding='utf-8').rstrip()}\n```")


def show_written(files: Sequence[Path], language: Language) -> None:
    for file in files:
        print_line(f"{say('written', language)}: {file.name}")


# --- what comes next ---


def show_next(lab: Lab | None, progress: Progress, language: Language) -> None:
    """The lab to go on with, what comes next in it, and the command for it."""
    if lab is None:
        print_line(say("all passed" if library.labs() else "no labs", language))
        return
    print_heading(f"{say('next', language)}: {lab.id} – {lab.model.title.of(language)}")
    rows = [(command, say(text, language)) for command, text in commands(lab, progress)]
    for command, text in rows:
        print_line(f"  {command:<{max(len(command) for command, _ in rows)}}  {text}")


def commands(lab: Lab, progress: Progress) -> Iterator[tuple[str, str]]:
    """The commands of the next step, each with the name of the text that says what it does."""
    next_step = flow.step(lab, progress)
    if next_step in {"predict", "run"}:
        folder = flow.folder_of(lab, progress)
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
