"""The field that narrows a list as its user types."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from descent.common.i18n import N_


class Find(Input):
    """Posts `Changed` as its user types. Up, down and enter go to the list. Escape clears it, then leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", N_("back to the list"), show=False, id="find.leave")
    ]
    DEFAULT_CSS = """
    Find, Find:focus {
        height: 1; border: none; padding: 0; background: transparent; background-tint: transparent;
    }
    Find > .input--placeholder { color: $quiet; }
    """

    class Left(Message):
        """The user is done with typing."""

    class Moved(Message):
        """A key that is meant for the list: up, down, pageup, pagedown or enter."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def on_key(self, event: events.Key) -> None:
        if event.key in ("up", "down", "pageup", "pagedown", "enter"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Moved(event.key))

    def action_leave(self) -> None:
        if self.value:
            self.value = ""
        self.post_message(self.Left())
