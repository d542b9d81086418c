"""A dialog with a text to read. It alone needs Textual's Markdown, which Home's first frame does not wait for."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from descent.common.i18n import N_
from descent.common.stdio import lines
from tui.widgets.prose import Prose


class Reading(ModalScreen[bool]):
    """A text to read. Dismissed with whether the reader wants more.

    title: a line. text: Markdown. close: what enter is said to do. further: what h does, if anything.
    """

    CSS = """
    Reading {
        .dialog { width: 84; max-width: 96%; }
        VerticalScroll { height: auto; max-height: 1fr; scrollbar-size-vertical: 1; }
        Markdown { background: transparent; margin: 0; padding: 0; }
        .keys { color: $quiet; margin-top: 1; height: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,space,q", "dismiss(False)", N_("close"), show=False, id="reading.close"),
        Binding("h", "further", N_("more"), show=False, id="reading.further"),
    ]

    def __init__(self, title: str, text: str, close: str, *, further: str = "") -> None:
        super().__init__()
        self._title, self._text, self._close, self._further = title, text, close, further

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Text(self._title)
            with VerticalScroll():
                yield Prose(lines(self._text))
            more = f"   h {self._further}" if self._further else ""
            yield Static(f"enter {self._close}{more}", classes="keys", markup=False)

    def action_further(self) -> None:
        if self._further:
            self.dismiss(True)
