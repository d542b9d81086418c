"""What may come with a console: a panel around its charts, and screens on the same run, such as one layer."""

from collections.abc import Sequence
from typing import Protocol

from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from tui.base import ConsoleApp
from tui.data.snapshot import Snapshot
from tui.widgets.key_line import Hints, KeyLine
from tui.widgets.top_line import TopLine


class Panel(Protocol):
    """What the app puts around the charts of a run that belongs to a lab. The console forwards keys to it.

    keys: bindings of the action panel('KEY'). lab_id: the lab.
    """

    lab_id: str
    keys: Sequence[BindingType]

    def around(self, panes: Widget) -> Widget:
        """The panel, with the console's panes in it."""

    def can(self, key: str) -> bool:
        """Whether that key works now."""

    def press(self, key: str) -> None: ...

    def among_hints(self, steering: Hints, own: Hints) -> tuple[Hints, Hints]:
        """The console's hints with those of the panel's keys among them; the most wanted first."""

    def stop(self) -> bool:
        """Stop what is under way; whether there was something."""

    def may_leave(self) -> bool:
        """Whether nothing is under way that leaving would stop; says how to stop it."""


class SideScreen(Screen[None]):
    """A screen on the same run, which the console's reader serves as long as it is on top."""

    app: ConsoleApp

    @property
    def is_whole(self) -> bool:
        """Whether its parts are there: a snapshot may come before they are, or when some are gone already."""
        return bool(self.query(TopLine)) and bool(self.query(KeyLine))

    def draw(self, now: Snapshot) -> None:
        """Show a snapshot: here the top line, in a subclass the rest too."""
        self.query_one(TopLine).show(now)
