"""The line of the editor in which one writes what to find."""

from textual.events import Key
from textual.message import Message
from textual.widgets import Input

from descent.common.i18n import _


class Search(Input):
    """One line for what is sought. Enter and ↓ go to the next place, ↑ to the one before, escape back to the text."""

    DEFAULT_CSS = """
    Search, Search:focus { border: none; height: 1; padding: 0 1; display: none; }
    Search.-open { display: block; }
    """

    class Step(Message):
        """Asks for the next place (1) or the one before (-1)."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Left(Message):
        """Says that the reader goes back to the text."""

    def __init__(self) -> None:
        super().__init__(placeholder=_("find: enter ↓ next, ↑ previous, esc back"), select_on_focus=True)

    def on_key(self, event: Key) -> None:
        steps = {"enter": 1, "down": 1, "up": -1}
        if event.key in steps:
            self.post_message(self.Step(steps[event.key]))
        elif event.key == "escape":
            self.post_message(self.Left())
        else:
            return
        event.stop()
        event.prevent_default()
