"""The way through a lab: its five steps, which are done, and which is next."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from engine.labs.flow import Step
from engine.texts import clean
from tui.labs.standing import Standing
from tui.labs.words import word
from tui.widgets.lines import Line, Lines, Piece, cut, fitted

STEPS = ("start", "predict", "run", "check", "explain")
_REACHED = {"start": 0, "predict": 1, "run": 2, "explain": 4, "done": 5}
assert set(_REACHED) == set(get_args(Step))


class Way(Lines):
    """A line for each step; the next one is marked."""

    DEFAULT_CSS = """
    Way { height: 6; padding: 0 1; }
    """

    standing: Standing | None = None

    def show(self, standing: Standing) -> None:
        self.standing = standing
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        standing = self.standing
        if standing is None:
            return []
        language, reached = standing.language, _REACHED[standing.step] + (standing.step == "run" and standing.trained)
        drawn: list[Line] = [(Piece(word("way", language), "strong"),)]
        for at, step in enumerate(STEPS):
            sign, style = ("✓", "good") if at < reached else ("▶", "you") if at == reached else ("·", "quiet")
            name = fitted(word(f"way {step}", language), 9)
            name_style = "strong" if at == reached else ""
            said = Piece(clean(_said(step, standing)), "" if at == reached else "quiet")
            drawn.append(cut([Piece(f"{sign} ", style), Piece(name, name_style), said], width))
        return drawn


def _said(step: str, standing: Standing) -> str:
    language, record = standing.language, standing.record
    questions = standing.lab.model.predictions
    open_questions = sum(one.id not in record.predictions for one in questions)
    met, of = standing.met
    names = ", ".join(file.name for file in standing.files)
    done = {
        "start": word("in", language, files=names, folder=_short(standing.folder)),
        "predict": word("predicted", language, count=len(questions)),
        "check": word("checked", language, met=met, of=of),
        "explain": word("passed", language),
    }
    to_do = {
        "start": word("to start", language),
        "predict": word("to predict", language, count=open_questions),
        "run": word("to run", language),
        "check": word("to check", language, of=of),
        "explain": word("to explain", language),
    }
    is_done = {
        "start": record.started is not None,
        "predict": not open_questions,
        "check": bool(record.attempts),
        "explain": record.passed is not None,
    }
    return done[step] if is_done.get(step) else to_do[step]


def _short(folder: Path) -> str:
    try:
        return f"~/{folder.relative_to(Path.home())}".rstrip("/.")
    except ValueError:
        return str(folder)
