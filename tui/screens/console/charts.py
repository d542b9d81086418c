"""The choice of the panels that a console shows, and of their order."""

from collections.abc import Collection, Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Click
from textual.screen import ModalScreen
from textual.widgets import Static

from descent.common.i18n import N_, _
from descent.common.text import clean
from tui.widgets.lines import Line, Lines, Piece, cut

TALLEST = 14  # rows of the list


class Choice(NamedTuple):
    """What was chosen. shown: the curves, none for the usual ones. alone: one of them, to be shown alone now."""

    shown: list[str]
    alone: str | None = None


class CurveList(Lines, can_focus=True):
    """Curves, each with a box that has a cross where it is marked."""

    DEFAULT_CSS = "CurveList { width: 1fr; background: $surface; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", N_("up"), show=False),
        Binding("down,j", "move(1)", N_("down"), show=False),
        Binding("pageup", "move(-10)", N_("page up"), show=False),
        Binding("pagedown", "move(10)", N_("page down"), show=False),
        Binding("space,x", "mark", N_("mark"), show=False, id="charts.mark"),
        Binding("shift+up,K", "order(-1)", N_("further to the front"), show=False, id="charts.earlier"),
        Binding("shift+down,J", "order(1)", N_("further to the back"), show=False, id="charts.later"),
    ]

    def __init__(self, curves: Sequence[tuple[str, str]], marked: Collection[str]) -> None:
        """curves: their names and titles."""
        super().__init__()
        self._curves = list(curves)
        self._marked = [name for name, _title in curves if name in marked]
        self._cursor = self._top = 0

    @property
    def marked(self) -> list[str]:
        """Return those that are marked, in the order of the list."""
        return [name for name, _title in self._curves if name in self._marked]

    @property
    def current(self) -> str:
        """Return the curve under the cursor."""
        return self._curves[self._cursor][0]

    def on_mount(self) -> None:
        self.styles.height = min(TALLEST, len(self._curves))

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(len(self._curves) - 1, self._cursor + by))
        self.show_lines()

    def action_mark(self) -> None:
        if self.current in self._marked:
            self._marked.remove(self.current)
        else:
            self._marked.append(self.current)
        self.show_lines()

    def action_order(self, by: int) -> None:
        """Move the curve under the cursor in the list."""
        to = self._cursor + by
        if 0 <= to < len(self._curves):
            self._curves[self._cursor], self._curves[to] = self._curves[to], self._curves[self._cursor]
            self._cursor = to
            self.show_lines()

    def on_click(self, event: Click) -> None:
        if 0 <= self._top + event.y < len(self._curves):
            self._cursor = self._top + event.y
            self.action_mark()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        self._top = max(self._cursor - height + 1, min(self._top, self._cursor))
        drawn: list[Line] = []
        for at in range(self._top, min(len(self._curves), self._top + height)):
            name, title = self._curves[at]
            box = "[x]" if name in self.marked else "[ ]"
            style = "chosen" if at == self._cursor else ""
            drawn.append(cut([Piece(f" {box} ", style or "strong"), Piece(clean(title), style)], width))
        return drawn


class ChooseCharts(ModalScreen[Choice | None]):
    """Dismissed with a choice, or None."""

    DEFAULT_CSS = """
    ChooseCharts {
        .dialog { width: 60; max-width: 96%; }
        .hint { color: $quiet; margin-top: 1; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("back"), show=False),
        Binding("enter", "take", N_("show those that are marked"), show=False, id="charts.take"),
        Binding("o", "alone", N_("only this one"), show=False, id="charts.alone"),
    ]

    def __init__(self, curves: Sequence[tuple[str, str]], marked: Collection[str]) -> None:
        super().__init__()
        self._list = CurveList(curves, marked)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("which panels?")
            yield self._list
            yield Static(
                _("space mark · shift+↑↓ order · enter show · o only this one · none marked: the usual · esc cancel"),
                classes="hint",
                markup=False,
            )

    def action_take(self) -> None:
        self.dismiss(Choice(self._list.marked))

    def action_alone(self) -> None:
        self.dismiss(Choice(self._list.marked, self._list.current))
