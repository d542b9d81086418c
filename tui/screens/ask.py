"""A question with its answers, each on a key: shared by all screens."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.output import lines
from tui.labs.spoken import spoken

Value = TypeVar("Value")
_NAMES = {"enter": "enter", "escape": "esc", "space": "space"}


class Ask(ModalScreen[Value | None], Generic[Value]):
    """Asks and is dismissed with the chosen value, or with None on Escape.

    choices: (key, label, value) each; the key as Textual names it. title and text are shown as they are, never as
    markup; text may have several lines.
    """

    def __init__(
        self, title: str, text: str | Text, choices: Sequence[tuple[str, str, Value]], *, trouble: bool = False
    ) -> None:
        super().__init__(classes="-trouble" if trouble else None)
        self._title, self._text, self._choices = title, text, tuple(choices)
        self._highlighted = 0

    def compose(self) -> ComposeResult:
        box = Vertical(id="ask", classes="dialog")
        box.border_title = Text(spoken(self, lines(self._title).replace("\n", " ")))  # as Text: never markup
        with box:
            with VerticalScroll(id="ask-text", can_focus=False):
                yield Static(self._shown(), markup=False)
            yield Static(id="ask-choices", markup=False)

    def on_mount(self) -> None:
        self._show_choices()

    def _shown(self) -> Text:
        terminal = getattr(self.app, "terminal", None)
        text = self._text if isinstance(self._text, Text) else Text(spoken(self, lines(self._text)))
        return text if terminal is None or terminal.unicode else Text(terminal.plain(text.plain))

    def _show_choices(self) -> None:
        rows = Text()
        width = max(len(_name(key)) for key, _, _ in self._choices)
        for position, (key, label, _) in enumerate(self._choices):
            chosen = position == self._highlighted
            rows.append("\n" if position else "")
            rows.append(f" {_name(key):<{width}} ", "bold reverse" if chosen else "bold")
            rows.append(f"  {spoken(self, label)}", "bold" if chosen else "")
        self.query_one("#ask-choices", Static).update(rows)

    def on_key(self, event: events.Key) -> None:
        """A choice's own key takes it; up, down and enter take the highlighted one."""
        event.stop()
        for key, _, value in self._choices:
            if event.key == key or (event.character is not None and event.character == key):
                self.dismiss(value)
                return
        match event.key:
            case "escape":
                self.dismiss(None)
            case "up" | "left" | "shift+tab" | "down" | "right" | "tab":
                step = -1 if event.key in ("up", "left", "shift+tab") else 1
                self._highlighted = (self._highlighted + step) % len(self._choices)
                self._show_choices()
            case "enter":
                self.dismiss(self._choices[self._highlighted][2])
            case "pageup" | "pagedown":
                scroll = self.query_one("#ask-text", VerticalScroll)
                (scroll.scroll_page_up if event.key == "pageup" else scroll.scroll_page_down)()


def _name(key: str) -> str:
    return _NAMES.get(key, key)
