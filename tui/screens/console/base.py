"""Parts that a console may have: a panel around its charts, and screens on the same run, such as one layer."""

from collections.abc import Sequence
from typing import Protocol

from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget

from descent.run.folder import RunFolder
from tui.base import ConsoleApp
from tui.data.snapshot import Snapshot
from tui.widgets.key_line import Hints, KeyLine
from tui.widgets.top_line import TopLine


class Panel(Protocol):
    """The panel of a lab around the charts of its run. The console forwards keys to it.

    keys: bindings of the action panel('KEY'). lab_id: the lab.
    """

    lab_id: str
    keys: Sequence[BindingType]

    @property
    def watched(self) -> Sequence[str]:
        """The charts and pictures that the lab is about."""

    def around(self, panes: Widget, run: RunFolder) -> Widget:
        """The panel, with the panes of the run's console in it."""

    def is_home(self, focused: Widget) -> bool:
        """Whether the focus is where the panel has put it, so that nothing has to be left before the screen."""

    def opened(self, what: str) -> None:
        """Note that a picture, or the table of layers, was looked at."""

    def can(self, key: str) -> bool:
        """Return whether that key works now."""

    def press(self, key: str) -> None: ...

    def among_hints(self, steering: Hints, own: Hints) -> tuple[Hints, Hints]:
        """The console's hints with the panel's among them, the most wanted first."""

    def ask_to_stop(self) -> bool:
        """Ask whether to stop a check that is under way. Return whether there is one."""

    def may_leave(self) -> bool:
        """Return whether leaving stops nothing that is under way. Else it says how to stop it."""


class SideScreen(Screen[None]):
    """A screen on the same run. The console's reader serves it while it is on top."""

    app: ConsoleApp

    @property
    def is_whole(self) -> bool:
        """Return whether all its parts exist. A snapshot may come before they do, or after some are gone."""
        return bool(self.query(TopLine)) and bool(self.query(KeyLine))

    def draw(self, now: Snapshot) -> None:
        """Show a snapshot: the top line here, the rest in a subclass."""
        self.query_one(TopLine).show(now)
