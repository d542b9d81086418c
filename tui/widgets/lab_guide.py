"""The text of a lab with its questions and hints, and its five steps."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.geometry import Size

from descent.common.i18n import N_, _, pgettext
from descent.common.stdio import lines
from descent.common.text import clean
from engine.labs import flow
from tui.data.labs import LabStatus, Next, reached
from tui.widgets.lab_checks import Checks
from tui.widgets.lines import Line, Lines, Piece, fitted, hanging
from tui.widgets.prose import Prose

STEPS = {
    "start": N_("files"),
    "predict": N_("predict"),
    "run": N_("train"),
    "check": N_("check"),
    "explain": N_("explanation"),
}
_TO_DO = {
    "start": N_("enter puts them into this folder"),
    "run": N_("train your preset and watch it"),
    "explain": N_("unlocks when you pass"),
}
_AT: dict[Next, str] = {
    "start": "start", "predict": "predict", "run": "run", "check": "check", "write": "check", "explain": "explain",
    "done": "",
}  # fmt: skip


class Guide(VerticalScroll, can_focus=True):
    """Scrolls by arrows, page keys and wheel."""

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    Guide { scrollbar-size-vertical: 1; padding: 0 1; }
    Guide Markdown { background: transparent; padding: 0; margin: 0; }
    Guide MarkdownH1 { content-align: left middle; text-style: bold; color: $primary; margin: 0 0 1 0; border: none; }
    Guide MarkdownH2 { text-style: bold; color: $primary; margin: 1 0 0 0; }
    Guide MarkdownParagraph { margin: 0 0 1 0; }
    Guide MarkdownBulletList, Guide MarkdownOrderedList { margin: 0; }
    Guide MarkdownFence { margin: 0 0 1 0; max-height: 60; }
    Guide Checks { display: none; padding: 0; }
    .-narrow Guide Checks, .-tiny Guide Checks { display: block; }
    """

    _text = ""
    _seeks = False  # the criteria, as long as the text before them finds its place

    def compose(self) -> ComposeResult:
        yield Prose()
        yield Checks(classes="guide-checks")

    def bring_criteria(self) -> None:
        """Scroll to the criteria, which end the text, and stay there until the learner scrolls."""
        self._seeks = True
        self.call_after_refresh(self._seek)

    def _seek(self) -> None:
        if self._seeks:
            self.scroll_to_widget(self.query_one(Checks), top=True, animate=False)

    def watch_virtual_size(self) -> None:
        if self._seeks:
            self.call_after_refresh(self._seek)

    def leave_criteria(self) -> None:
        """From here on the learner scrolls."""
        self._seeks = False

    def on_key(self) -> None:
        self.leave_criteria()

    def on_mouse_scroll_up(self) -> None:
        self.leave_criteria()

    def on_mouse_scroll_down(self) -> None:
        self.leave_criteria()

    async def show(self, standing: LabStatus) -> None:
        """Show the lab's status. A text that has not changed is left alone and keeps its scroll position."""
        self.query_one(Checks).show(standing)
        text = written(standing)
        if text != self._text:
            self._text = text
            shown = self.query_one(Prose).update(text)
            await asyncio.shield(shown)  # a next look that cancels this one would leave half of the text


def written(standing: LabStatus) -> str:
    """The guide as Markdown: the introduction first, until something was trained; then the task to do now."""
    model = standing.lab.model
    minutes = _("about {minutes} min", minutes=model.minutes)
    title = [f"# {model.title}", f"*{model.about} ({minutes})*"]
    if standing.step in ("start", "predict") or not standing.has_begun:
        parts = [*title, str(model.text), *_predictions(standing), *to_do(standing)]
    else:
        about = [f"## {_('What this lab is about')}", f"*{model.about} ({minutes})*", str(model.text)]
        parts = [title[0], *to_do(standing), *about, *_predictions(standing)]
    return lines("\n\n".join(parts))


def _predictions(standing: LabStatus) -> list[str]:
    made, questions = standing.record.predictions, standing.lab.model.predictions
    if not questions:
        return []
    heading = _("Your predictions") if all(one.id in made for one in questions) else _("Predict first")
    given = {one.id: f" **{_answer(standing, one.id)}**" for one in questions if one.id in made}
    return [f"## {heading}", *(f"- {one.text}{given.get(one.id, '')}" for one in questions)]


def to_do(standing: LabStatus, *, with_last: bool = True) -> list[str]:
    """The task to do now, the hints that were seen, and a line for each task that is done, as blocks of Markdown.

    with_last: the task that was done last stands whole before the one to do now, as its question may still be open.
    """
    lab, record = standing.lab, standing.record
    tasks, present = lab.model.tasks, flow.present_tasks(lab, record)
    whole = len(tasks) if record.passed is not None else max(present.start - with_last, 0)
    parts = [
        f"## {'' if at in present else '✓ '}{_('Task {at} of {of}', at=at + 1, of=len(tasks))}\n\n{tasks[at].text}"
        for at in range(whole, present.stop)
    ]
    if not present:
        parts.append(f"## {_('All tasks are done')}")
    hints = flow.hints_seen(lab, record)
    if hints:
        parts.append(f"## {_('Hints')}")
        parts += [f"*{hints[0].check.text}*"] if hints[0].check is not None else []
        parts += [f"**{hint.level}** {hint.text}" for hint in hints]
    ticked = "  \n".join(f"✓ {_in_short(str(task.text))}" for task in tasks[:whole])
    return [*parts, ticked] if ticked else parts


LONGEST_TASK = 44  # cells of a task that is done


def _in_short(text: str) -> str:
    """The beginning of a task, without marks."""
    return fitted(clean(re.sub(r"[`*]|\s*\([^)]*\)", "", text)), LONGEST_TASK).rstrip()


def _answer(standing: LabStatus, prediction_id: str) -> str:
    """A prediction in the words of its choices."""
    question = next(one for one in standing.lab.model.predictions if one.id == prediction_id)
    return flow.in_words(question, standing.record.predictions[prediction_id])


assert set(_AT) == set(get_args(Next))


class Way(Lines):
    """A line for each step. The next step is marked."""

    DEFAULT_CSS = """
    Way { height: auto; padding: 0 1; }
    """

    standing: LabStatus | None = None

    def show(self, standing: LabStatus) -> None:
        self.standing = standing
        self.refresh(layout=True)  # the names of the files may take more than a line
        self.show_lines()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines(width, 0))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        standing = self.standing
        if standing is None:
            return []
        following, done = (
            "run" if standing.next == "write" and standing.to_write else _AT[standing.next],
            _done(standing),
        )
        drawn: list[Line] = [(Piece(pgettext("of a lab", "steps"), "strong"),)]
        wide = max(cell_len(_(title)) for title in STEPS.values()) + 2
        for step, title in STEPS.items():
            sign, style = ("▶", "you") if step == following else ("✓", "good") if step in done else ("·", "quiet")
            name = fitted(_(title), wide)
            name_style = "strong" if step == following else ""
            said = Piece(clean(_said(step, standing)), "" if step == following else "quiet")
            drawn += hanging([Piece(f"{sign} ", style), Piece(name, name_style)], said, width)
        return drawn


def _done(standing: LabStatus) -> set[str]:
    """The steps that need not be taken any more."""
    record = standing.record
    done = {
        "start": record.started is not None and not standing.missing,
        "predict": all(one.id in record.predictions for one in standing.lab.model.predictions),
        "run": standing.trained,
        "check": record.passed is not None,
        "explain": record.passed is not None and record.read,
    }
    return {step for step, is_done in done.items() if is_done}


def _said(step: str, standing: LabStatus) -> str:
    record = standing.record
    questions = standing.lab.model.predictions
    open_questions = sum(one.id not in record.predictions for one in questions)
    came = reached(record)
    match step:
        case "start" if standing.missing and standing.next == "start":
            names = ", ".join(file.name for file in standing.missing)
            said = _("{files} not in {folder} any more: enter puts them there again",
                     files=names, folder=_short(standing.folder))  # fmt: skip
        case "start" if record.started is not None:
            names = ", ".join(file.name for file in standing.files)
            said = _("{files} in {folder}", files=names, folder=_short(standing.folder))
        case "predict" if not open_questions:
            said = _("{count} kept", count=len(questions))
        case "predict":
            said = _("{count} to answer before anything runs", count=open_questions)
        case "run" if standing.to_write:
            said = _("first write {file}", file=standing.to_write)
        case "check" if came:
            said = _("{reached}; now edit your files", reached=came) if standing.next == "write" else came
        case "check":
            said = _("{of} criteria", of=standing.met[1])
        case "explain" if record.passed is not None:
            said = _("passed")
        case _:
            said = _(_TO_DO[step])
    return said


def _short(folder: Path) -> str:
    try:
        return f"~/{folder.relative_to(Path.home())}".rstrip("/.")
    except ValueError:
        return str(folder)
