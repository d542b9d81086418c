"""The dialog in which a text and tags are noted on a run."""

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from descent.common.i18n import N_, _
from descent.run.note import LONGEST


class EditNote(ModalScreen[str | None]):
    """Dismissed with the text, or None."""

    DEFAULT_CSS = """
    EditNote {
        .dialog { width: 72; max-width: 96%; }
        Input, Input:focus { height: 1; border: none; padding: 0; background: $surface; }
        .hint { color: $quiet; margin-top: 1; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", N_("back"), show=False)]

    def __init__(self, run: str, text: str) -> None:
        super().__init__()
        self._run, self._text = run, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = Text(_("note on {run}", run=self._run))  # as Text: never markup
            line = Input(
                self._text,
                placeholder=_("long run to see it overfit #demo #week3"),
                max_length=LONGEST,
                select_on_focus=False,
            )
            line.cursor_blink = False
            yield line
            yield Static(_("words with # are tags, and / finds them · enter keep · esc cancel"), classes="hint")

    @on(Input.Submitted)
    def _keep(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)
