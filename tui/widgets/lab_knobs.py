"""The knobs of a lab: its one to four settings, with the value that each has in the learner's file."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.geometry import Size

from descent.common.i18n import N_, _
from descent.common.text import clean, short_names
from engine.labs.knobs import Knobs, Setting, shown
from tui.widgets.lines import Line, Lines, Piece, cut, fitted, spread, width_of, wrapped

GAP = "   "  # between the knobs of one line


class KnobPanel(Lines, can_focus=True):
    """A line for each knob; on a narrow screen, all in one. The screen has the action panel.

    One whose value differs from that of the run on the screen says what it was there.
    """

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    KnobPanel { height: auto; padding: 0 1; border-top: solid $rule; }
    KnobPanel:focus { border-top: solid $border; }
    .-narrow KnobPanel, .-tiny KnobPanel { border-top: none; }
    .-narrow KnobPanel:focus, .-tiny KnobPanel:focus { border-top: none; }
    .-ascii KnobPanel, .-ascii KnobPanel:focus { border-top: ascii $rule; }
    .-ascii.-narrow KnobPanel { border-top: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.panel('train')", N_("train with these settings"), show=False, id="knobs.train"),
    ]

    knobs: Knobs | None = None
    row = 0
    _of_run: Mapping[str, Any] = {}

    def show(self, knobs: Knobs | None, of_run: Mapping[str, Any]) -> None:
        """knobs: None, or without any, hides the panel. of_run: the settings of the run on the screen, by key."""
        self.knobs, self._of_run = knobs, of_run
        self.display = knobs is not None and bool(knobs.settings)
        if knobs is not None:
            self.row = max(0, min(self.row, len(knobs.settings) - 1))
        self._show_again()

    @property
    def chosen(self) -> Setting | None:
        """The knob that ← and → turn."""
        return self.knobs.settings[self.row] if self.knobs is not None and self.knobs.settings else None

    def _show_again(self) -> None:
        self.refresh(layout=True)
        self.show_lines()

    def on_focus(self) -> None:
        self._show_again()

    def on_blur(self) -> None:
        self._show_again()

    def choose(self, by: int) -> None:
        """Go to the knob before or behind the chosen one."""
        if self.knobs is not None and self.knobs.settings:
            self.row = (self.row + by) % len(self.knobs.settings)
            self._show_again()

    # --- lines ---

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines(width, 0))

    def lines(self, width: int, height: int) -> Sequence[Line]:
        knobs = self.knobs
        if knobs is None:
            return []
        is_narrow = self.screen.has_class("-narrow") or self.screen.has_class("-tiny")
        drawn = self._in_a_row(knobs, width) if is_narrow else self._below_each_other(knobs, width)
        problem = clean(knobs.problem.splitlines()[0]) if knobs.problem else ""
        return [*drawn, *((Piece(line, "trouble"),) for line in wrapped(problem, width) if line)]

    def _below_each_other(self, knobs: Knobs, width: int) -> list[Line]:
        keys = _("↑ ↓ ← →  enter train")
        head = spread(
            [Piece(clean(knobs.path.name), "strong")],
            [Piece(keys, "quiet")] if width >= cell_len(keys) + cell_len(knobs.path.name) + 2 else [],
            width,
        )
        names = _names(knobs.settings)
        wide = max(map(cell_len, names)) + 2
        drawn = [head]
        for at, (one, name) in enumerate(zip(knobs.settings, names, strict=True)):
            first = Piece(fitted(f"{self._sign(at)} {name}", wide + 2), "you" if at == self.row else "")
            drawn.append(cut([first, *self._value(at, one), *self._before(one)], width))
        return drawn

    def _in_a_row(self, knobs: Knobs, width: int) -> list[Line]:
        """Several in a line, as many as it has room for."""
        drawn: list[list[Piece]] = [[]]
        for at, (one, name) in enumerate(zip(knobs.settings, _names(knobs.settings), strict=True)):
            style = "you" if at == self.row else "quiet"
            pieces = [Piece(f"{self._sign(at)} {name} ", style), *self._value(at, one), *self._before(one)]
            if drawn[-1] and width_of([*drawn[-1], *pieces]) + len(GAP) > width:
                drawn.append([])
            drawn[-1] += [Piece(GAP)] * bool(drawn[-1]) + pieces
        return [cut(line, width) for line in drawn]

    def _sign(self, at: int) -> str:
        return "▸" if at == self.row else " "

    def _value(self, at: int, one: Setting) -> list[Piece]:
        """The value, between arrows where a key leads to another one."""
        less, more = ("◂" if one.less is not None else " "), ("▸" if one.more is not None else " ")
        if at != self.row:
            less = more = " "
        style = "quiet" if one.value is None else "strong"
        return [Piece(f"{less} ", "key"), Piece(shown(one.value), style), Piece(f" {more}", "key")]

    def _before(self, one: Setting) -> list[Piece]:
        """The value in the run on the screen, if it is another one."""
        before = shown(self._of_run.get(one.key))
        if not self._of_run or before == shown(one.value):
            return []
        return [Piece(" " + _("was {value}", value=before), "warn")]


def _names(settings: Sequence[Setting]) -> list[str]:
    names = [one.name for one in settings]
    twice = short_names([one.key for one in settings])
    return [name if names.count(name) == 1 else twice[one.key] for one, name in zip(settings, names, strict=True)]
