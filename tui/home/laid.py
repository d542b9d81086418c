"""What descriptions are laid out of: a title, labelled rows, wrapped texts, a command line."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len

from engine.texts import clean
from tui.widgets import lines
from tui.widgets.lines import Line, Piece, fitted

Field = tuple[str, str]
LABEL = 12  # cells of the labels' column
EMPTY: Line = ()


def shown_path(path: Path) -> str:
    """As people write it: from the current folder, or from their own."""
    with contextlib.suppress(ValueError, OSError):
        return clean(str(path.relative_to(Path.cwd().resolve())))
    with contextlib.suppress(ValueError, RuntimeError):
        return clean(f"~/{path.relative_to(Path.home())}")
    return clean(str(path))


def head(title: str, note: str, width: int) -> Line:
    """A title, and what is wrong with it."""
    shown = fitted(clean(title), min(width, cell_len(clean(title))))
    return (Piece(shown, "strong"), Piece(f"  {note}" if note else "", "trouble"))


def labelled(fields: Sequence[Field], width: int) -> list[Line]:
    """Labels in one column, values in the other, wrapped below themselves."""
    rows: list[Line] = []
    for label, value in fields:
        for position, part in enumerate(wrapped(value, width - LABEL) or [""]):
            rows.append((Piece(fitted("" if position else label, LABEL), "quiet"), Piece(part)))
    return rows


def command_line(command: str, width: int) -> Line:
    """A shell's line, cut where it is too long: it is there to be copied."""
    return (Piece("$ ", "quiet"), Piece(fitted(command, width - 2).rstrip(), "key"))


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, each folded between words to at most `width` cells."""
    return [part for row in text.splitlines() for part in lines.wrapped(clean(row), max(8, width))]


def tight(whole: list[Line], height: int) -> list[Line]:
    """Without its empty lines where they would push text out; the last line, the command, always stays."""
    if len(whole) <= height:
        return whole
    kept = [line for line in whole if line != EMPTY]
    return kept if len(kept) <= height else [*kept[: height - 1], kept[-1]]
