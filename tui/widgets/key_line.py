"""The bottom line: the keys that work now. A click on one presses it."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.events import Click

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
    """Shows hints, the most wanted first. Those without room are left out, but never the last one."""

    DEFAULT_CSS = """
    KeyLine { height: 1; padding: 0 1; }
    """

    hints: tuple[Hint, ...] = ()
    _places: tuple[tuple[int, int, str], ...] = ()  # first cell, cell after the last, action

    def show(self, hints: Sequence[Hint]) -> None:
        self.hints = tuple(hints)
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        gap = 3 if width >= 108 else 2
        *hints, last = self.hints or (Hint("", "", ""),)
        room = width - _width(last)
        shown = []
        for hint in hints:
            room -= _width(hint) + gap
            if room < 0:
                break
            shown.append(hint)
        shown.append(last)
        line: list[Piece] = []
        places = []
        for hint in shown:
            begin = width_of(line)
            line += [Piece(hint.key, "key"), Piece(f" {hint.label}" if hint.label else "", "quiet")]
            places.append((begin, width_of(line), hint.action))
            line.append(Piece(" " * gap))
        self._places = tuple(places)
        return [cut(line[:-1], width)]

    async def on_click(self, event: Click) -> None:
        x = event.x - self.gutter.left
        for begin, end, action in self._places:
            if begin <= x < end:
                await self.screen.run_action(action)


def _width(hint: Hint) -> int:
    return cell_len(hint.key) + 1 + cell_len(hint.label)
