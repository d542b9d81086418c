"""The app as its screens know it, and the messages by which they ask it for other screens."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.style import Style
from textual.app import App
from textual.message import Message

from descent.common.errors import DescentError
from descent.run.folder import RunFolder
from tui import settings as settings_
from tui import terminal as terminal_
from tui import themes
from tui.settings import Settings
from tui.terminal import Terminal, TerminalDriver


@dataclass(frozen=True)
class Notice:
    """A line about a command: under way, done, or refused."""

    text: str
    style: str = ""  # "good", "trouble" or "warn"; each has a sign too
    busy: bool = False
    since: float = 0.0

    @property
    def sign(self) -> str:
        return "… " if self.busy else {"good": "✓ ", "trouble": "✗ "}.get(self.style, "")

    @property
    def is_fresh(self) -> bool:
        """Whether to show it still: it is under way, or was not shown long enough to be read."""
        return self.busy or time.monotonic() - self.since < max(STAYS, len(self.text) / READING)


STAYS = 8.0  # seconds that an acknowledgement stays before the log's last line takes its place
READING = 12.0  # characters that are read in a second: a long notice stays longer


class ConsoleApp(App[None]):
    """The part of the app that every screen may use.

    terminal: facts about it. settings: the user's. read_only: whether nothing steers or starts a run. clock: returns
    seconds since 1970.
    """

    def __init__(
        self,
        *,
        terminal: Terminal | None = None,
        settings: Settings | None = None,
        theme: str | None = None,
        read_only: bool = False,
        runs_dir: Path | None = None,
        data_root: Path | None = None,
    ) -> None:
        super().__init__(driver_class=TerminalDriver)
        self.terminal = terminal or terminal_.look()
        self.settings = settings or Settings()
        self.read_only = read_only
        self.runs_dir, self.data_root = runs_dir, data_root
        self.clock: Callable[[], float] = time.time
        self.opened: list[RunFolder] = []  # in this session, each once
        for known in list(self.available_themes):
            if not known.startswith("textual-"):
                self.unregister_theme(known)
        for known_theme in themes.THEMES:
            self.register_theme(known_theme)
        self.theme = themes.chosen(theme or self.settings.theme, self.terminal.colours)
        self.set_keymap(self.settings.keys)
        if not self.terminal.unicode:
            self.add_class("-ascii")

    def colour(self, name: str) -> Style:
        """One of the theme's colours (train, validation, trouble, planned, quiet …) as a foreground."""
        return themes.style(self.theme_variables, name)

    def tell(self, text: str, *, trouble: bool = False, seconds: float = 5) -> None:
        """Show a line in the corner for a few seconds. `text` is never read as markup."""
        self.notify(
            self.terminal.plain(text), severity="error" if trouble else "information", timeout=seconds, markup=False
        )

    def use_settings(self, new: Settings) -> None:
        """Use and keep new settings. Where they can't be written, they hold until the app ends."""
        self.settings = new
        self.theme = themes.chosen(new.theme, self.terminal.colours)
        self.set_keymap(new.keys)
        try:
            settings_.save(new)
        except DescentError as error:
            self.tell(str(error), trouble=True)


# --- what a screen asks the app for; each bubbles up to it ---


@dataclass
class OpenRun(Message):
    """Show the console of a run, live or ended. A lab's run has the lab's text beside it."""

    folder: RunFolder


@dataclass
class OpenLab(Message):
    """Show a lab: its text and its next step. It replaces the screens of another lab."""

    lab_id: str


@dataclass
class CompareRuns(Message):
    """Compare runs. The user chooses which, where these are too few or `choose` is set."""

    folders: Sequence[RunFolder]
    choose: bool = False


@dataclass
class RunsChanged(Message):
    """Look at the runs at once: some may have been started or deleted."""


@dataclass
class WatchRuns(Message):
    """Set whether to look at all runs; else only at the live ones, and more rarely."""

    all: bool


# --- what a widget asks its screen for ---


@dataclass
class ShowNotice(Message):
    """Show the notice where the screen shows those of its commands."""

    notice: Notice
