"""The Textual app: themes, settings, the screens' order, starting and opening runs, and how it all ends."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from rich.style import Style
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from engine import loading
from engine.errors import DescentError
from engine.run import RunFolder
from tui import settings as settings_
from tui import terminal as terminal_
from tui import themes
from tui.driver import TerminalDriver
from tui.home import notices
from tui.home.glance import Glance
from tui.home.watch import Watch
from tui.settings import Settings
from tui.terminal import Terminal

_KEY_NAMES = {"enter": "enter", "escape": "esc", "space": "space", "delete": "del", "backspace": "backspace"}
_KEY_NAMES |= {"up": "up", "down": "down", "left": "left", "right": "right", "tab": "tab", "full_stop": "."}
_KEY_NAMES |= {"pageup": "page up", "pagedown": "page down", "home": "home", "end": "end", "shift+tab": "shift tab"}


class RunsSeen(Message):
    """The watch has looked, and something has changed. runs: all, the latest start first."""

    def __init__(self, runs: tuple[Glance, ...]) -> None:
        super().__init__()
        self.runs = runs


class DescentApp(App[None]):
    """The console. Quitting it never ends a run.

    terminal, settings: facts and wishes that every screen may read. read_only: nothing here steers or starts a run.
    run: open the console on this one at once; compare: lay these over one another; lab: open this lab, by its id.
    language: of the labs, "en" or "ko"; else the learner's. runs: all that are known; None until they were read.
    """

    CSS_PATH = "descent.tcss"
    TITLE = "Descent"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - as Textual types it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-middling"), (40, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "quit", "Quit; training goes on", show=False, priority=True, id="app.quit"),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding("ctrl+s", "picture", "Save the screen as SVG", show=False, id="app.picture"),
        Binding("ctrl+t", "next_theme", "Next theme", show=False, id="app.theme"),
        Binding("ctrl+z", "suspend_process", "Suspend to the shell", show=False, id="app.suspend"),
    ]

    def __init__(
        self,
        *,
        terminal: Terminal | None = None,
        settings: Settings | None = None,
        complaint: str | None = None,
        theme: str | None = None,
        read_only: bool = False,
        run: RunFolder | None = None,
        compare: Sequence[RunFolder] = (),
        lab: str | None = None,
        language: str | None = None,
        runs_dir: Path | None = None,
        data_root: Path | None = None,
    ) -> None:
        super().__init__(driver_class=TerminalDriver)
        self.terminal = terminal or terminal_.look()
        self.settings = settings or Settings()
        self.read_only = read_only
        self.clock: Callable[[], float] = time.time
        self.runs_dir, self.data_root = runs_dir, data_root
        self.crash: Exception | None = None  # what ended the app, where that was a bug
        self.runs: tuple[Glance, ...] | None = None
        self._watch = Watch(runs_dir, lambda runs: self.post_message(RunsSeen(runs)))
        self._complaint = complaint
        self._first_run, self._first_compared, self._first_lab = run, compare, lab
        self.language = language
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

    # --- beginning and end ---

    def get_default_screen(self) -> Screen[Any]:
        from tui.screens.home import Home

        return Home()

    def on_mount(self) -> None:
        if isinstance(self._driver, TerminalDriver):
            self._driver.obey_signals()
        self._watch.start()
        if self.settings.keys:
            self.call_later(self._check_keys)
        if self._complaint:
            self.tell(self._complaint, trouble=True, seconds=15)
        if self._first_run is not None:
            self.open_run(self._first_run)
        if self._first_compared:
            self.compare(self._first_compared)
        if self._first_lab is not None:
            self.open_lab(self._first_lab)

    def on_ready(self) -> None:
        if isinstance(self._driver, TerminalDriver):  # where a process has several apps, none may stay
            loading.settle()

    def _check_keys(self) -> None:
        from tui import key_names

        problem = key_names.problem(self.settings.keys)
        if problem:
            self.tell(problem, trouble=True, seconds=15)

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print the traceback with all locals; ours goes to the crash log, where the command line ends.
        if self._exit:
            return  # a message for a widget that is gone already; the user has left
        self.crash = self.crash or error
        super()._handle_exception(error)

    def _print_error_renderables(self) -> None:
        self._exit_renderables.clear()

    def on_unmount(self) -> None:
        self._watch.end()

    # --- the runs ---

    def on_runs_seen(self, message: RunsSeen) -> None:
        from tui.screens.home import Home

        if not self.screen_stack:
            return  # the app is ending
        before, self.runs = self.runs or (), message.runs
        for run in notices.ended(before, message.runs):
            self._announce(run)
        if isinstance(self.screen, Home):
            self.screen.show_runs(message.runs)

    def _announce(self, run: Glance) -> None:
        text = notices.text(run)
        trouble = run.state in ("failed", "lost")
        say = getattr(self.screen, "say_of_other", None)
        if say is not None and self.screen.folder != run.folder:  # type: ignore[attr-defined]
            say(text, trouble)  # a toast would cover its log
        elif say is None:
            self.tell(text, trouble=trouble, seconds=8)
        if self.settings.notify == "bell":
            self.bell()
        elif self.settings.notify == "osc9" and self._driver is not None:
            self._driver.write(notices.osc9(text))

    def watch_all_runs(self, wanted: bool) -> None:
        """Whether a screen shows the list of runs; else only the live ones are looked at, and more rarely."""
        self._watch.look_at_all(wanted)

    def look_now(self) -> None:
        """Look at the runs at once: something was started or deleted."""
        self._watch.look_now()

    # --- what screens use ---

    def colour(self, name: str) -> Style:
        """One of the theme's colours (train, validation, trouble, planned, quiet …) as a foreground."""
        return themes.style(self.theme_variables, name)

    def tell(self, text: str, *, trouble: bool = False, seconds: float = 5) -> None:
        """A line in the corner for a few seconds. `text` is shown as it is, never as markup."""
        self.notify(
            self.terminal.plain(text), severity="error" if trouble else "information", timeout=seconds, markup=False
        )

    def open_run(self, folder: RunFolder) -> None:
        """Show the console of a run, live or ended; that of a lab with its text beside it."""
        from tui.labs.opening import console

        if folder not in self.opened:
            self.opened.append(folder)
        opened = console(folder, self.language)
        # A lab is trained many times: the new run takes the place of the one before.
        if getattr(self.screen, "lab_id", None) is not None and getattr(self.screen, "folder", None) is not None:
            self.switch_screen(opened)
        else:
            self.push_screen(opened)

    def open_lab(self, lab_id: str) -> None:
        """Show a lab: its text, and what comes next in it. It takes the place of another lab's screens."""
        from tui.labs.opening import lab_screen

        try:
            opened = lab_screen(lab_id, self.language)
        except DescentError as error:
            self.tell(str(error), trouble=True, seconds=15)
            return
        while getattr(self.screen, "lab_id", None) is not None:
            self.pop_screen()
        self.push_screen(opened)

    def compare(self, folders: Sequence[RunFolder]) -> None:
        """Lay two to eight runs over one another."""
        from tui.screens.compare import Compare

        self.push_screen(Compare(folders))

    def start(self, preset: str, overrides: Sequence[str] = ()) -> None:
        """Start a run in the background and open it; what is in the way is told in a dialog."""
        from tui.home import starting

        self.run_worker(starting.start(self, preset, overrides), group="start", exclusive=True)

    def use_settings(self, new: Settings) -> None:
        """Take and keep new settings; where they can't be written they hold until the end."""
        self.settings = new
        self.theme = themes.chosen(new.theme, self.terminal.colours)
        self.set_keymap(new.keys)
        try:
            settings_.save(new)
        except DescentError as error:
            self.tell(str(error), trouble=True)

    # --- keys and the palette ---

    def get_key_display(self, binding: Binding) -> str:
        """A key by its name where Textual has a sign for it that not every font has."""
        if binding.key_display:
            return binding.key_display
        return _KEY_NAMES.get(binding.key) or super().get_key_display(binding)

    async def action_quit(self) -> None:
        """Leave, unless a screen has work that is not saved: it asks first."""
        if getattr(self.screen, "is_unsaved", False):
            await self.screen.run_action("close")
        else:
            self.exit()

    def action_help(self) -> None:
        from tui.screens.help import Help

        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.screen))

    def action_next_theme(self) -> None:
        after = themes.NAMES[(themes.NAMES.index(self.theme) + 1) % len(themes.NAMES)]
        self.theme = after
        self.tell(f"theme: {after}", seconds=2)

    def action_picture(self) -> None:
        try:
            file = self.save_screenshot()
        except OSError as error:
            self.tell(f"the screen can't be saved here: {error.strerror}", trouble=True)
        else:
            self.tell(f"saved {Path(file).absolute()}")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette's: the keys of the screen that is shown, then what every screen has."""
        from tui.screens.help import actions_of

        for action, (keys, does) in actions_of(screen).items():
            yield SystemCommand(does[:1].upper() + does[1:], keys, partial(screen.run_action, action))
        for name in themes.NAMES:
            yield SystemCommand(f"Theme: {name}", "Change the colours", partial(self._set_theme, name))
        yield SystemCommand("Settings", "Colours, speed, smoothing, notices", self.action_settings)
        yield SystemCommand("Help", "The keys of this screen", self.action_help)
        yield SystemCommand("Save the screen", "As an SVG file in this folder", self.action_picture)
        yield SystemCommand("Quit", "Leave; training goes on", self.action_quit)

    def _set_theme(self, name: str) -> None:
        self.theme = name

    def action_settings(self) -> None:
        from tui.screens.settings import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen())
