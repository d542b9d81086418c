"""The bottom line: the keys that work now. A click on one presses it."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.events import Click
from textual.geometry import Size

from tui.widgets.lines import Line, Lines, Piece, cut, width_of

Hints = list[tuple[tuple[str, ...], str]]  # ids of bindings, and the label of what they do together
# How a key is written, where that is not its name.
NAMES = {
    "full_stop": ".",
    "plus": "+",
    "minus": "-",
    "question_mark": "?",
    "escape": "esc",
    "comma": ",",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
}


class Hint(NamedTuple):
    """A key as it is written, a translated word for what it does, and the action of its screen."""

    key: str
    label: str
    action: str


def written(keys: str) -> str:
    """The first of a binding's keys, as it stands on the keyboard."""
    key = keys.partition(",")[0]
    return NAMES.get(key, key.replace("ctrl+", "^"))


class KeyLine(Lines):
    """Shows hints, the most wanted first. Those without room are left out, but never the last one of a row."""

    DEFAULT_CSS = """
    KeyLine { height: auto; min-height: 1; padding: 0 1; }
    """

    rows: tuple[tuple[str, tuple[Hint, ...]], ...] = ()  # a word before each, and its hints
    _places: tuple[tuple[int, int, int, str], ...] = ()  # row, first cell, cell after the last, action

    @property
    def hints(self) -> tuple[Hint, ...]:
        return tuple(hint for _, hints in self.rows for hint in hints)

    def show(self, hints: Sequence[Hint]) -> None:
        """Show them in one row."""
        self.show_rows([("", hints)])

    def show_rows(self, rows: Sequence[tuple[str, Sequence[Hint]]]) -> None:
        """Show several rows, each behind a word that says what its keys are for."""
        if len(rows) != len(self.rows):
            self.refresh(layout=True)
        self.rows = tuple((word, tuple(hints)) for word, hints in rows)
        self.show_lines()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self.rows))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        places: list[tuple[int, int, int, str]] = []
        lines = []
        label = max((cell_len(word) for word, _ in self.rows), default=0)
        for row, (word, hints) in enumerate(self.rows):
            head = [Piece(f"{word}{' ' * (label - cell_len(word))}  ", "quiet")] if label else []
            line, own = _row(head, hints, width)
            lines.append(cut(line, width))
            places += [(row, *place) for place in own]
        self._places = tuple(places)
        return lines

    async def on_click(self, event: Click) -> None:
        x = event.x - self.gutter.left
        for row, begin, end, action in self._places:
            if row == event.y and begin <= x < end:
                await self.screen.run_action(action)


def _width(hint: Hint) -> int:
    return cell_len(hint.key) + 1 + cell_len(hint.label)


def _row(head: Sequence[Piece], found: Sequence[Hint], width: int) -> tuple[list[Piece], list[tuple[int, int, str]]]:
    """The hints of a row that there is room for, and where each stands."""
    gap = 3 if width >= 108 else 2
    *hints, last = found or (Hint("", "", ""),)
    room = width - _width(last) - width_of(head)
    shown = []
    for hint in hints:
        room -= _width(hint) + gap
        if room < 0:
            break
        shown.append(hint)
    line, places = list(head), []
    for hint in (*shown, last):
        begin = width_of(line)
        line += [Piece(hint.key, "key"), Piece(f" {hint.label}" if hint.label else "", "quiet")]
        places.append((begin, width_of(line), hint.action))
        line.append(Piece(" " * gap))
    return line[:-1], places
