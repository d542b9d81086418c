"""A screen on a run beside its console: one layer, the pictures."""

from typing import TYPE_CHECKING

from textual.screen import Screen

from tui.data.snapshot import Snapshot
from tui.widgets.key_line import KeyLine
from tui.widgets.top_line import TopLine

if TYPE_CHECKING:
    from tui.screens.console.screen import Console


class SideScreen(Screen[None]):
    """A screen on the same run, which the console's reader serves as long as it is on top."""

    console: "Console"

    def is_on(self, console: "Console") -> bool:
        """Whether that console serves it; it learns of its own only when it is mounted."""
        return getattr(self, "console", None) is console

    @property
    def is_whole(self) -> bool:
        """Whether its parts are there: a snapshot may come before they are, or when some are gone already."""
        return bool(self.query(TopLine)) and bool(self.query(KeyLine))

    def draw(self, now: Snapshot) -> None:
        raise NotImplementedError
