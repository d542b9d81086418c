"""The app as its screens know it, and the messages by which they ask it for other screens."""

import asyncio
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.style import Style
from textual import events
from textual.app import App, ScreenStackError, SuspendNotSupported
from textual.color import Color
from textual.dom import DOMNode
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme
from textual.widget import AwaitMount

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean
from descent.run.folder import RunFolder
from tui import settings as settings_
from tui import terminal as terminal_
from tui import themes
from tui.settings import Settings
from tui.terminal import Terminal, TerminalDriver

STAYS = 8.0  # seconds that an acknowledgement stays before the log's last line takes its place
READING = 12.0  # characters that are read in a second: a long notice stays longer
OPENING = "opening"  # the group of the workers that a key starts and that end in another screen, or in a dialog
_ROUNDS = 8  # of messages that one key leads to; a screen that is never quiet holds up the next key no longer
_STUCK = 1.0  # seconds after which a part that takes no message holds up the next key no longer
_AGAIN = 0.02  # seconds between looks whether a screen has opened
_Typed = events.Key | events.Paste


class _WholeCells(ScrollBarRender):
    """Draws scrollbars without parts of cells, which are no ASCII."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "]
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "]


@dataclass(frozen=True)
class Notice:
    """A line about a command that is under way, done, or refused."""

    text: str
    style: str = ""  # "good", "trouble" or "warn"; each has a sign too
    busy: bool = False
    since: float = 0.0
    stays: bool = False  # until the next one takes its place

    @property
    def sign(self) -> str:
        return "… " if self.busy else {"good": "✓ ", "trouble": "✗ "}.get(self.style, "")

    @property
    def is_fresh(self) -> bool:
        """Return whether it is still shown: its command is under way, or nobody had time to read it yet."""
        return self.busy or self.stays or time.monotonic() - self.since < max(STAYS, len(self.text) / READING)


class KeyQueue:
    """A queue of keys and pastes, each passed on to the app once all that the one before led to is done.

    Textual passes each at once. Those of one burst, as a line that stalls delivers them, are then taken in a wrong
    order: letters are taken by the field itself, and bound keys by the app later; and keys behind one that opens a
    screen reach the screen before it.
    """

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._waiting: deque[_Typed] = deque()
        self._task: asyncio.Task[None] | None = None
        self._passed: _Typed | None = None
        self._target: DOMNode = app  # what had the focus when the last was passed

    def is_passed(self, event: events.Event) -> bool:
        """Return whether the app takes this event now. If not, the event comes again when it is its turn."""
        if not isinstance(event, _Typed) or event.is_forwarded:
            return True
        try:
            if event is self._passed or (self._quits(event) and self.is_opening):
                self._target = self._app.focused or self._app.screen
                return True
        except ScreenStackError:
            return False  # the app has ended
        self._waiting.append(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._pass_all())
        return False

    @property
    def is_opening(self) -> bool:
        """Return whether something is under way that will open another screen, or the screen is not yet built."""
        if not self._app.screen.is_mounted:
            return True
        workers = [each for each in self._app.workers if each.group == OPENING and not each.is_finished]
        return any(each.node.is_attached and each.node.screen is self._app.screen for each in workers)

    def _quits(self, event: _Typed) -> bool:
        active = self._app.screen.active_bindings.get(event.key) if isinstance(event, events.Key) else None
        return active is not None and active.binding.action == "quit"

    async def _pass_all(self) -> None:
        try:
            while self._waiting:
                while self.is_opening:
                    await asyncio.sleep(_AGAIN)
                    await self._settled()
                self._passed = self._waiting.popleft()
                self._app.post_message(self._passed)
                await _asked(self._app)
                await self._settled()
        except ScreenStackError:
            self._waiting.clear()  # the app has ended

    async def _settled(self) -> None:
        """Wait until all parts of the screen have taken what they were sent, and what that led to."""
        target = self._target
        for _round in range(_ROUNDS):
            way = [node for node in target.ancestors_with_self if isinstance(node, MessagePump)]  # as events bubble
            for node in [*self._busy(), *way]:
                await _asked(node)
            if not self._busy():
                return
            target = self._app.focused or self._app.screen

    def _busy(self) -> list[MessagePump]:
        parts = [*self._app.screen.walk_children(with_self=True), self._app]
        return [part for part in parts if part.message_queue_size]


async def _asked(part: MessagePump) -> None:
    """Wait until a part has taken all messages that it was sent up to now."""
    answered = asyncio.Event()
    if part.call_later(answered.set):
        try:
            async with asyncio.timeout(_STUCK):
                await answered.wait()
        except TimeoutError:
            return


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
        own_themes: Sequence[Theme] = (),
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
        self._key_queue = KeyQueue(self)
        for known in list(self.available_themes):
            if not known.startswith("textual-"):
                self.unregister_theme(known)
        for known_theme in (*themes.THEMES, *own_themes):
            self.register_theme(known_theme)
        self.theme_names = (*themes.NAMES, *(own.name for own in own_themes))
        self._choose_theme(theme or self.settings.theme)
        self.set_keymap(self.settings.keys)
        if not self.terminal.unicode:
            self.add_class("-ascii")
        ScrollBar.renderer = ScrollBarRender if self.terminal.unicode else _WholeCells

    def _get_screen(self, screen: Screen[Any] | str) -> tuple[Screen[Any], AwaitMount]:
        """As Textual's, which gives a new screen the classes of its size only after its first frame."""
        found, mounted = super()._get_screen(screen)
        for cells, own, of_app in (
            (self.size.width, found.HORIZONTAL_BREAKPOINTS, self.HORIZONTAL_BREAKPOINTS),
            (self.size.height, found.VERTICAL_BREAKPOINTS, self.VERTICAL_BREAKPOINTS),
        ):
            breakpoints = (of_app if own is None else own) or []
            fitting = found._get_breakpoint_classes(cells, breakpoints)
            for _least, name in breakpoints:
                found.set_class(name in fitting, name)
        return found, mounted

    async def _process_messages_loop(self) -> None:
        """As Textual's, but what is cancelled while the app waits for it does not end the app.

        The app waits for each part that is removed. When a worker that waits for the same part is cancelled, Textual
        takes that for the end of the app, and ends it without a word.
        """
        while True:
            try:
                await super()._process_messages_loop()
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._exit or task is None or task.cancelling():
                    raise

    async def on_event(self, event: events.Event) -> None:
        if self._key_queue.is_passed(event):
            await super().on_event(event)

    def use_theme(self, name: str) -> None:
        """Draw in one of `theme_names`."""
        if name not in self.available_themes:
            self.register_theme(themes.theme(name))
        self.theme = name

    def _choose_theme(self, setting: str) -> None:
        self.use_theme(themes.chosen(setting, self.terminal.colours, self.theme_names))

    def colour(self, name: str) -> Style:
        """Return one of the theme's colours (train, validation, trouble, planned, quiet …) as a foreground."""
        return themes.style(self.theme_variables, name)

    def cursor_style(self) -> Style:
        """Return how the line under a cursor stands out: by the theme's own ground, or inverted without colours."""
        if self.no_color or self.current_theme.ansi:
            return Style(reverse=True)  # without the signs' colours, which would become backgrounds
        return Style(bgcolor=Color.parse(self.theme_variables["cursor"]).rich_color, bold=True)

    def tell(self, text: str, *, trouble: bool = False, seconds: float = 5) -> None:
        """Show a line in the corner for a few seconds. `text` is never read as markup."""
        self.notify(
            self.terminal.plain(text), severity="error" if trouble else "information", timeout=seconds, markup=False
        )

    def leave_to(self, words: Sequence[str]) -> tuple[bool, str]:
        """Leave the terminal to another program until it ends.

        Return whether it was there, and what went wrong, or "".
        """
        try:
            with self.suspend():
                code = subprocess.run(words, check=False).returncode
        except SuspendNotSupported:
            return False, _("{program} can't take over this terminal", program=clean(words[0]))
        except OSError as error:
            return False, f"{clean(words[0])}: {error.strerror}"
        ended = _("{program} ended with exit code {code}", program=clean(words[0]), code=code)
        return True, ended if code else ""

    def use_settings(self, new: Settings) -> None:
        """Use and keep new settings. Where they can't be written, they hold until the app ends."""
        self.settings = new
        self._choose_theme(new.theme)
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
