"""Editing what can be changed while a run trains: the worker itself says what it can't take."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from tui.labs.spoken import spoken
from tui.reading.live import HINTS, shown

Apply = Callable[[dict[str, str], Callable[[Any], None], Callable[[str], None]], None]


class Edit(ModalScreen[None]):
    """A line for each setting, with the value in force. Enter gives what differs to the worker; a refusal stays."""

    CSS = """
    Edit { align: center middle; background: $background 60%;
        .dialog { width: 76; max-height: 100%; padding: 0 2; }
        .row { height: 1; }
        .row Label { width: 25; color: $quiet; }
        .row Input { width: 14; height: 1; border: none; padding: 0 1; background: $background; }
        .row Input:focus { background: $cursor; }
        .row .hint { width: 1fr; color: $quiet; padding: 0 0 0 2; }
        .problem { color: $trouble; height: auto; max-height: 4; margin-top: 1; }
        .keys { color: $quiet; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, values: dict[str, Any], apply: Apply) -> None:
        """values: those that this run can take. apply: (edits, done, failed) gives them to the worker."""
        super().__init__()
        self._before = {key: shown(values[key]) for key in HINTS if key in values}
        self._apply = apply

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = spoken(self, "change the live run")
            for key, before in self._before.items():
                with Horizontal(classes="row"):
                    yield Label(key, markup=False)
                    yield Input(before, select_on_focus=True)
                    yield Label(spoken(self, HINTS[key]), classes="hint", markup=False)
            yield Static("", classes="problem", markup=False)
            keys = spoken(self, "enter applies what differs, ↑ ↓ move, esc leaves")
            yield Static(keys, classes="keys", markup=False)

    def edits(self) -> dict[str, str]:
        """What was typed and differs from what is in force."""
        typed = {key: field.value.strip() for key, field in zip(self._before, self.query(Input), strict=True)}
        return {key: value for key, value in typed.items() if value != self._before[key]}

    def on_input_submitted(self) -> None:
        edits = self.edits()
        if not edits:
            self.dismiss(None)
            return
        self._say("asking the worker…")
        self._apply(edits, self._done, self._say)

    def _done(self, answer: Any) -> None:
        if self.is_attached:
            self.dismiss(None)

    def _say(self, text: str) -> None:
        if self.is_attached:
            self.query_one(".problem", Static).update(spoken(self, text))
