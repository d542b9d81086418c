"""The way through a lab: its five steps, which are done, and which is next."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from textual.geometry import Size

from engine.texts import clean
from tui.labs.reached import reached
from tui.labs.standing import Next, Standing
from tui.labs.words import word
from tui.widgets.lines import Line, Lines, Piece, fitted, hanging

STEPS = ("start", "predict", "run", "check", "explain")
_AT: dict[Next, str] = {
    "start": "start", "predict": "predict", "run": "run", "check": "check", "write": "check", "explain": "explain",
    "done": "",
}  # fmt: skip
assert set(_AT) == set(get_args(Next))


class Way(Lines):
    """A line for each step; the next one is marked."""

    DEFAULT_CSS = """
    Way { height: auto; padding: 0 1; }
    """

    standing: Standing | None = None

    def show(self, standing: Standing) -> None:
        self.standing = standing
        self.refresh(layout=True)  # the names of the files may take more than a line
        self.show_lines()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines(width, 0))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        standing = self.standing
        if standing is None:
            return []
        language, following, done = standing.language, _AT[standing.next], _done(standing)
        drawn: list[Line] = [(Piece(word("way", language), "strong"),)]
        for step in STEPS:
            sign, style = ("▶", "you") if step == following else ("✓", "good") if step in done else ("·", "quiet")
            name = fitted(word(f"way {step}", language), 9)
            name_style = "strong" if step == following else ""
            said = Piece(clean(_said(step, standing)), "" if step == following else "quiet")
            drawn += hanging([Piece(f"{sign} ", style), Piece(name, name_style)], said, width)
        return drawn


def _done(standing: Standing) -> set[str]:
    """The steps that need not be taken any more."""
    record = standing.record
    done = {
        "start": record.started is not None,
        "predict": all(one.id in record.predictions for one in standing.lab.model.predictions),
        "run": standing.trained,
        "check": record.passed is not None,
        "explain": record.passed is not None and record.read,
    }
    return {step for step, is_done in done.items() if is_done}


def _said(step: str, standing: Standing) -> str:
    language, record = standing.language, standing.record
    questions = standing.lab.model.predictions
    open_questions = sum(one.id not in record.predictions for one in questions)
    came = reached(record, language)
    match step:
        case "start" if record.started is not None:
            names = ", ".join(file.name for file in standing.files)
            said = word("in", language, files=names, folder=_short(standing.folder))
        case "predict" if not open_questions:
            said = word("predicted", language, count=len(questions))
        case "predict":
            said = word("to predict", language, count=open_questions)
        case "check" if came:
            said = word("to mend", language, reached=came) if standing.next == "write" else came
        case "check":
            said = word("to check", language, of=standing.met[1])
        case "explain" if record.passed is not None:
            said = word("passed", language)
        case _:
            said = word(f"to {step}", language)
    return said


def _short(folder: Path) -> str:
    try:
        return f"~/{folder.relative_to(Path.home())}".rstrip("/.")
    except ValueError:
        return str(folder)
