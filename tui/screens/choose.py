"""Choosing runs to be laid over one another."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Click
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.comparison import FEWEST, MOST
from engine.run import RunFolder
from tui.home import rows
from tui.home.glance import Glance
from tui.widgets.lines import Line, Lines, Piece, cut

if TYPE_CHECKING:
    from tui.app import DescentApp

TALLEST = 14  # rows of the list


class RunChoice(Lines, can_focus=True):
    """Runs with a box each, the marked ones crossed."""

    DEFAULT_CSS = "RunChoice { width: 1fr; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("space,x", "mark", "Mark", show=False, id="choose.mark"),
    ]
    app: "DescentApp"

    def __init__(self, runs: Sequence[Glance], marked: Collection[Path], first: int) -> None:
        super().__init__()
        self._runs, self.marked = runs, list(marked)
        self._cursor, self._top = first, 0

    def on_mount(self) -> None:
        self.styles.height = min(TALLEST, len(self._runs))

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(len(self._runs) - 1, self._cursor + by))
        self.show_lines()

    def action_mark(self) -> None:
        path = self._runs[self._cursor].folder.path
        if path in self.marked:
            self.marked.remove(path)
        else:
            self.marked.append(path)
        self.show_lines()

    def on_click(self, event: Click) -> None:
        if 0 <= self._top + event.y < len(self._runs):
            self._cursor = self._top + event.y
            self.action_mark()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        self._top = max(self._cursor - height + 1, min(self._top, self._cursor))
        drawn: list[Line] = []
        for at in range(self._top, min(len(self._runs), self._top + height)):
            run = self._runs[at]
            box = "[x]" if run.folder.path in self.marked else "[ ]"
            rest = rows.line(run, width - 5, unicode=self.app.terminal.unicode, now=self.app.clock())
            line = [Piece(f" {box} ", "chosen" if at == self._cursor else "strong"), *rest]
            drawn.append(cut(line, width))
        return drawn


class ChooseRuns(ModalScreen[list[RunFolder] | None]):
    """Dismissed with the runs that were marked, in the order of the marking, or with None."""

    DEFAULT_CSS = """
    ChooseRuns { align: center middle; background: $background 60%;
        .dialog { width: 78; max-width: 96%; }
        .hint { color: $quiet; margin-top: 1; height: auto; }
        .-problem { color: $trouble; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back", show=False),
        Binding("enter,o", "take", "compare", show=False, id="choose.take"),
    ]

    def __init__(self, runs: Sequence[Glance], marked: Sequence[Path]) -> None:
        """runs: to choose from, in this order. marked: the paths of those that are marked already."""
        super().__init__()
        self._runs = runs
        first = next((at for at, run in enumerate(runs) if run.folder.path not in marked), 0)
        self._choice = RunChoice(runs, marked, first)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = "compare which runs?"
            yield self._choice
            yield Static("space marks, enter compares, esc leaves", classes="hint", markup=False)

    def action_take(self) -> None:
        marked = self._choice.marked
        if FEWEST <= len(marked) <= MOST:
            self.dismiss([RunFolder(path) for path in marked])
            return
        hint = self.query_one(".hint", Static)
        hint.add_class("-problem")
        hint.update(f"{FEWEST} to {MOST} runs can be compared; {len(marked)} are marked (space marks)")
