"""Output of the lab commands: texts, predictions, verdicts and next steps."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.glyphs import LAB_STATES
from descent.common.i18n import _
from descent.common.numbers import percent
from descent.common.stdio import plain
from descent.common.text import clean, shorten, unmarked
from engine.cli import tables
from engine.labs import flow, handin, library, progress
from engine.labs.explanation import UNFILLED
from engine.labs.flow import next_commands
from engine.labs.format import HOMEWORK, TOPICS, Prediction, Solution
from engine.labs.grader import Grader
from engine.labs.library import BrokenLab, Lab, find_lab
from engine.labs.progress import Progress
from engine.labs.verdict import against

LONGEST_LINE = 100  # cells; longer lines are hard to read


def print_line(text: str = "") -> None:
    """Print a line without control characters."""
    print(plain(clean(text), sys.stdout.encoding))


def print_wrapped(text: str, first: str = "", further: str = "") -> None:
    """Print a sentence, on a terminal broken between words. first, further: begin its lines."""
    if not sys.stdout.isatty():
        print_line(f"{first}{text}")
        return
    from rich.console import Console
    from rich.text import Text

    width = min(stdio.width(), LONGEST_LINE) - len(first)
    for at, line in enumerate(Text(clean(text)).wrap(Console(width=width), width)):
        print_line(f"{further if at else first}{line.plain.rstrip()}")


def print_text(text: str) -> None:
    """Print a text in Markdown: rendered on a terminal, else unchanged."""
    cleaned = "\n".join(clean(line.expandtabs()) for line in text.strip().split("\n"))
    if not sys.stdout.isatty():
        print(plain(cleaned, sys.stdout.encoding))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=min(stdio.width(), LONGEST_LINE), highlight=False)
    with console.capture() as captured:
        console.print(Markdown(cleaned, hyperlinks=False))
    drawn = "\n".join(line.rstrip() for line in captured.get().splitlines())
    print(plain(drawn, sys.stdout.encoding))


def print_heading(text: str) -> None:
    """Print a heading."""
    from rich.console import Console
    from rich.text import Text

    print()
    Console(width=stdio.width(), highlight=False).print(Text(plain(clean(text), sys.stdout.encoding), style="bold"))


# --- the list ---


def show_list(found: Sequence[Lab | BrokenLab], progress: Progress, *, as_json: bool) -> None:
    """Print every lab with its state, by topic in the order of the course, the broken ones last."""
    if as_json:
        tables.print_json({"labs": [_as_json(lab, progress) for lab in found]})
        return
    if not found:
        print_line(_("There are no labs."))
        return
    whole = [lab for lab in found if isinstance(lab, Lab)]
    topics = list(dict.fromkeys(lab.model.topic for lab in whole))
    rows: list[tuple[str, ...]] = []
    for topic in topics:
        rows.append(("", _(TOPICS[topic]), "", "", "", ""))
        rows += [_row(lab, progress) for lab in whole if lab.model.topic == topic]
    head = ("", _("LAB"), _("TITLE"), _("BUILDS ON"), _("ATTEMPTS"), _("BEST"))
    if rows:
        tables.print_table(head, rows, right=head[4:], whole=head[:2])
    for lab in found:
        if isinstance(lab, BrokenLab):
            error = _("broken: {error}", error=lab.error.splitlines()[0])
            print_line(f"{LAB_STATES['broken']}  {lab.id}: {error}")


def _row(lab: Lab, progress: Progress) -> tuple[str, ...]:
    record = progress.of(lab.id)
    attempts = str(record.count) if record.count else ""
    best = percent(record.best, 0) if record.best is not None else ""
    before = ", ".join(lab.model.builds_on)
    title = f"{lab.model.title} ({_(HOMEWORK)})" if lab.model.homework else str(lab.model.title)
    return LAB_STATES[record.state], f"  {lab.id}", title, before, attempts, best


def _as_json(lab: Lab | BrokenLab, progress: Progress) -> dict[str, Any]:
    record = progress.of(lab.id)
    entry: dict[str, Any] = {"id": lab.id, "title": "", "topic": "", "state": record.state}
    if isinstance(lab, Lab):
        entry |= {"title": str(lab.model.title), "topic": lab.model.topic, "builds_on": list(lab.model.builds_on)}
        entry |= {"homework": lab.model.homework}
    else:
        entry |= {"state": "broken", "error": lab.error}
    return entry | {"attempts": record.count, "best": record.best}


# --- one lab ---


def show_lab(lab: Lab) -> None:
    """Print what the lab is about, and its tasks."""
    model = lab.model
    facts = [_(TOPICS[model.topic]), *([_(HOMEWORK)] if model.homework else [])]
    facts.append(_("about {minutes} min", minutes=model.minutes))
    print_heading(f"{model.title}  ({', '.join(facts)})")
    print()
    print_text(str(model.text))
    print_heading(_("Tasks"))
    print_text("\n".join(f"{n}. {task.text}" for n, task in enumerate(model.tasks, 1)))


def show_question(question: Prediction) -> None:
    """Print a question to predict, its numbered choices, and the form of an answer."""
    print()
    print_text(str(question.text))
    for place, choice in enumerate(question.choices, 1):
        print_wrapped(f"{unmarked(str(choice.text))}  ({choice.id})", f"  {place}  ", "     ")
    print_line(f"  {question.id}: {flow.expected(question)}")


def ask(lab: Lab, progress: Progress) -> dict[str, Any]:
    """Ask the questions that are not predicted yet, and return the answers by key.

    Raises DescentError when standard input is no terminal.
    """
    questions = flow.unanswered(lab, progress)
    if not questions:
        print_line(_("There is nothing left to predict."))
    elif not sys.stdin.isatty():
        for question in questions:
            show_question(question)
        line = flow.predict_line(lab, progress)
        raise DescentError(
            _("{id}: nobody is here to ask. Give your predictions as words:\n  {line}", id=lab.id, line=line)
        )
    else:
        ask_once_more(lab, progress)
    return {question.id: _asked(question) for question in questions}


def ask_once_more(lab: Lab, progress: Progress) -> None:
    """Ask what was missed two labs ago, and say at once what came out there. Enter alone leaves it unanswered."""
    for asked in flow.once_more(lab, progress):
        print_heading(_("once more: {lab}", lab=asked.lab.model.title))
        given = _asked(asked.question, may_skip=True)
        said = flow.answered_once_more(asked, given)
        if given is not None:
            for line in filter(None, said.splitlines()):
                print_wrapped(line, "  ", "  ")


def _asked(question: Prediction, *, may_skip: bool = False) -> Any:
    show_question(question)
    while True:
        try:
            given = input(f"  {question.id} = ")
            return None if may_skip and not given.strip() else flow.answer(question, given)
        except DescentError as error:
            print_line(f"  {error}")
        except EOFError:  # Ctrl-D: nothing is kept
            raise KeyboardInterrupt from None


def show_predictions(lab: Lab, progress: Progress) -> None:
    """Print the learner's predictions."""
    made = progress.of(lab.id).predictions
    if made:
        print_heading(f"{_('Your predictions')} ({_('final')})")
    for question in lab.model.predictions:
        if question.id in made:
            print_wrapped(unmarked(str(question.text)), "  ", "  ")
            print_wrapped(flow.in_words(question, made[question.id]), "    ", "    ")


def show_hint(hint: flow.Hint) -> None:
    """Print a hint, and the criterion that it helps with."""
    print_heading(_("Hint {level} of {of}", level=hint.level, of=flow.LEVELS))
    if hint.check is not None:
        print_text(str(hint.check.text))
        print_line()
    print_text(hint.text)


def show_explanation(text: str) -> None:
    """Print why the lab came out as it did."""
    print_heading(_("Explanation"))
    print_text(text)


def show_solution(lab: Lab, solution: Solution) -> None:
    """Print the reference solution: its settings, the reasons, and its code."""
    print_heading(f"{_('Solution')}: {lab.model.title}")
    print()
    print_text(str(solution.text))
    changes = [(None, solution.set), *((name, part.set) for name, part in solution.parts.items())]
    print_heading(_("What it changes"))
    for part, texts in changes:
        if part is not None and texts:
            print_line(_("Part {name}", name=part))
        for text in texts:
            print_line(f"  --set {text}")
    if not any(texts for _part, texts in changes):
        print_line(f"  {_('no setting is changed')}")
    if lab.solution_code is not None:
        print_heading(f"{lab.id}.py")
        print_text(f"```python\n{lab.solution_code.read_text(encoding='utf-8').rstrip()}\n```")


def show_written(files: Sequence[Path]) -> None:
    """Print which files were written."""
    for file in files:
        print_line(f"{_('written')}: {file.name}")


def show_move(lab: Lab, left: Path) -> None:
    """Print that from now on the files of this folder are the lab's. left: the folder of the old ones."""
    print_line()
    print_wrapped(
        _(
            "{id} moves here: from now on this folder's files are trained and graded. Those in {folder} stay as they "
            "are; to go back to them, copy them here.",
            id=lab.id,
            folder=left,
        )
    )


# --- what comes next ---


def show_next(lab: Lab | None, progress: Progress, *, at_work: bool = False) -> None:
    """Print the lab to continue with, and the commands of its next steps.

    After one that is done comes the next of the course. at_work: go on with this one although it is passed.
    """
    if lab is not None and not at_work:
        lab = flow.upcoming(progress, lab.id)
    if lab is None:
        print_line(_("Every lab is passed.") if library.labs() else _("There are no labs."))
        return
    print_heading(f"{_('Next')}: {lab.id} – {lab.model.title}")
    rows = list(next_commands(lab, progress, at_work=at_work))
    for command, text in rows:
        print_line(f"  {command:<{max(len(command) for command, _text in rows)}}  {text}")


def show_prediction(question: Prediction, answer: Any, result: Any) -> None:
    """Print a question, the learner's answer, what came out, and to a wrong answer why."""
    right = flow.is_right(question, answer, result)
    sign = " " if right is None else "✓" if right else "✗"
    print_wrapped(unmarked(str(question.text)), f"{sign} ", "  ")
    print_wrapped(_("your answer: {value}", value=flow.in_words(question, answer)), "    ", "    ")
    print_wrapped(_("result: {value}", value=flow.in_words(question, result)), "    ", "    ")
    if right is False and (why := flow.why_wrong(question, answer)):
        print_wrapped(unmarked(why), "    ", "    ")


_MOST_PRINTED = 10  # lines of what the learner's code printed


def show_verdict(verdict: Mapping[str, Any], lab: Lab) -> None:
    """Print a whole verdict, as Verdict.as_json returns it."""
    said_once: set[str] = set()  # missing data cause the same error in many criteria, and so does one mistake
    for one in verdict["checks"]:
        show_check(one, said_once)
    compared = verdict["predictions"] if verdict["passed"] else []  # before a pass the result may still change
    if compared:
        print_heading(_("Your predictions, and the results"))
    questions = {question.id: question for question in lab.model.predictions}
    for one in compared:
        if one["id"] in questions:  # else the lab has changed since
            show_prediction(questions[one["id"]], one["predicted"], one["result"])
    lines = verdict["printed"].splitlines()
    if lines:
        print_heading(_("What your code printed"))
    for line in [*lines[:_MOST_PRINTED], *(["…"] if len(lines) > _MOST_PRINTED else [])]:
        print_line(f"  | {shorten(clean(line), shutil.get_terminal_size().columns - 6)}")
    if verdict["problem"]:
        print_heading(_("Could not be graded in full"))
        for line in verdict["problem"].splitlines():
            print_line(line)
    print_line()
    if verdict["passed"]:
        print_line(_("Passed: all {of} criteria are met.", of=verdict["of"]))
    else:
        print_line(_("Not yet: {met} of {of} criteria are met.", met=verdict["met"], of=verdict["of"]))
    show_next(lab, progress.load(), at_work=not verdict["passed"])


def show_check(check: Mapping[str, Any], said_once: set[str] | None = None) -> None:
    """Print a criterion: whether it is met, and below it the value against the threshold, or the error; then why.

    said_once: errors and explanations that were printed already. It is added to.
    """
    said = said_once if said_once is not None else set()
    explained = check.get("explanation") or {}
    bonus = f" ({_('bonus')})" if check["bonus"] else ""
    sign = "✓" if check["passed"] else "○" if explained.get("id") == UNFILLED else "✗"
    print_wrapped(f"{unmarked(check['text'])}{bonus}", f"{sign} ", "  ")
    if check["error"]:
        print_wrapped("…" if check["error"] in said else check["error"], "    ", "    ")
    elif check["value"] is not None and not isinstance(check["value"], bool):
        print_line(f"    {against(check)}")
    if explained.get("text") and explained["text"] not in said:
        print_wrapped(explained["text"], "    → ", "      ")
    said |= {text for text in (check["error"], explained.get("text")) if text}


def tell_waiting(stage: str, what: str) -> None:
    """Print on stderr what a grading waits for."""
    if stage == "waiting":
        stdio.say(what, sys.stderr)


def tell_under_way(stage: str, what: str) -> None:
    """Print that, and which graded run is being trained."""
    tell_waiting(stage, what)
    if stage == "training":
        stdio.say(_("training {what} …", what=what), sys.stderr)


def grade_lab(lab_id: str, as_json: bool) -> int:
    """Grade a lab, print the verdict, and return the exit code."""
    from engine.cli import tables

    folder = flow.folder_of_files(find_lab(lab_id), progress.load())
    if not as_json and folder is not None and folder != Path.cwd():
        print_line(_("graded: your files in {folder}", folder=folder))
    tell = tell_waiting if as_json or not sys.stderr.isatty() else tell_under_way
    with Grader(lab_id, tell=tell) as grader:
        found = grader.wait()
    if as_json:
        tables.print_json(found)
    else:
        show_verdict(found, find_lab(lab_id))
    return int(found["exit_code"])


def hand_in(lab_id: str, to: Path | None, student: str | None) -> int:
    """Write the zip to hand in, print its path, and return the exit code."""
    written = handin.write(find_lab(lab_id), to or Path.cwd(), _student(student))
    stdio.say(str(written.path))
    if written.replaced:
        stdio.say(_("the hand-in that was there is replaced"), sys.stderr)
    return ExitCode.DONE


def _student(given: str | None) -> str:
    """Return who hands in. It is kept where it was given or asked for; without a terminal the login is taken."""
    if given is not None:
        named = handin.student_named(given)
    elif (known := handin.known_student()) is not None:
        return known
    elif not (sys.stdin.isatty() and sys.stderr.isatty()):
        return handin.login()
    else:
        stdio.say(
            _(
                "Who hands in? Your name or number, as your class lists you; enter alone: {login}",
                login=handin.login(),
            ),
            sys.stderr,
        )
        try:
            named = handin.student_named(input("> ").strip() or handin.login())
        except EOFError:  # Ctrl-D: nothing is kept
            raise KeyboardInterrupt from None
    progress.named(named)
    return named
