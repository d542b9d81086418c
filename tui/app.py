"""The Textual app: themes, settings, key names, opening runs and labs, notices, and the end of the app."""

import asyncio
import contextlib
import importlib
import pkgutil
import sys
import threading
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual._context import active_message_pump
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, Provider
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen
from textual.worker import WorkerFailed, get_current_worker

from descent import warm
from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import N_, _, ngettext
from descent.common.text import clean, did_you_mean, likely, show
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.state import ALIVE
from engine.launch import loading
from engine.launch.options import Options
from tui import settings, terminal, user_themes
from tui.base import OPENING, CompareRuns, ConsoleApp, OpenLab, OpenRun, WatchRuns
from tui.data.hosts import HostsWatch, host_of
from tui.data.runs import RunStatus, Watch
from tui.terminal import TerminalDriver
from tui.widgets.run_line import metric

if TYPE_CHECKING:
    from tui.screens.console.screen import Console
    from tui.screens.lab.panel import LabPanel


_KEY_NAMES = {"enter": "enter", "escape": "esc", "space": "space", "delete": "del", "backspace": "backspace"}
_KEY_NAMES |= {"up": "up", "down": "down", "left": "left", "right": "right", "tab": "tab", "full_stop": "."}
_KEY_NAMES |= {"pageup": "pgup", "pagedown": "pgdn", "home": "home", "end": "end", "shift+tab": "shift+tab"}
_ENDED = {
    "finished": N_("{run} finished"),
    "stopped": N_("{run} stopped"),
    "failed": N_("{run} failed"),
    "lost": N_("{run} was lost"),
    "damaged": N_("{run} is damaged"),
}


# The letters of the Korean keyboard of two sets, by the key that each stands on.
_HANGUL = dict(zip(
    "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡㅃㅉㄸㄲㅆㅒㅖ",
    "qwertyuiopasdfghjklzxcvbnmQWERTOP",
    strict=True,
))  # fmt: skip
_LATIN = {unicodedata.name(letter).lower().replace(" ", "_"): key for letter, key in _HANGUL.items()} | _HANGUL


def latin(event: events.Key) -> events.Key:
    """Return the key of a Latin keyboard that was pressed, with ctrl and the like, in Korean mode; else `event`."""
    *held, base = event.key.split("+")
    if base not in _LATIN:
        return event
    key = _LATIN[base]
    return events.Key("+".join([*held, key.lower() if held else key]), None if held else key)


class RunsSeen(Message):
    """Something has changed in the folder of runs. runs: all of them, the latest start first."""

    def __init__(self, runs: tuple[RunStatus, ...]) -> None:
        super().__init__()
        self.runs = runs


class HostsSeen(Message):
    """A host has answered otherwise than before."""


def _commands() -> type[Provider]:
    from tui.screens.commands import Commands

    return Commands


class DescentApp(ConsoleApp):
    """The console. Quitting it never ends a run.

    run: the run whose console opens at once. compare: runs to compare at once. lab: the id of the lab that opens at
    once. complaint: what is wrong with the settings' file. options: those of ConsoleApp. runs: all known runs; None
    until they were read.
    """

    CSS_PATH = "descent.tcss"
    TITLE = "Descent"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS = {_commands}  # noqa: RUF012 - as Textual types it
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - as Textual types it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-middling"), (40, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", N_("Quit (training continues)"), show=False, priority=True, id="app.quit"),
        Binding(
            "ctrl+c", "copy_or_quit", N_("Copy what is selected, else quit"), show=False, priority=True, id="app.copy"
        ),
        Binding("question_mark,f1", "help", N_("Help"), key_display="?", id="app.help"),
        Binding("ctrl+s", "picture", N_("Save the screen as SVG"), show=False, id="app.picture"),
        Binding("ctrl+t", "next_theme", N_("Next theme"), show=False, id="app.theme"),
        Binding("ctrl+z", "suspend_process", N_("Suspend to the shell"), show=False, id="app.suspend"),
    ]

    def __init__(
        self,
        *,
        complaint: str | None = None,
        run: RunFolder | None = None,
        compare: Sequence[RunFolder] = (),
        lab: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.crash: Exception | None = None  # what ended the app, where that was a bug
        self.runs: tuple[RunStatus, ...] | None = None
        self._excepthook = threading.excepthook  # in force again when the app has ended
        self._watch = Watch(self.runs_dir, lambda runs: self.post_message(RunsSeen(runs)))
        hosts = [host_of(text) for text in self.settings.hosts]
        self._hosts = HostsWatch(hosts, lambda: self.post_message(HostsSeen()))
        self._complaint = complaint
        self._first_run, self._first_compared, self._first_lab = run, compare, lab

    # --- beginning and end ---

    def get_default_screen(self) -> Screen[Any]:
        from tui.screens.home.screen import Home

        return Home()

    def on_mount(self) -> None:
        self._excepthook = threading.excepthook
        threading.excepthook = partial(self._end_with_thread, asyncio.get_running_loop())
        if isinstance(self._driver, TerminalDriver):
            self._driver.obey_signals()
        self._watch.start()
        self._hosts.start()
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
        if isinstance(self._driver, TerminalDriver):  # else a process with several apps could never free one
            loading.settle()
            warm.hold()

    def _check_keys(self) -> None:
        problem = unknown_keys(self.settings.keys)
        if problem:
            self.tell(problem, trouble=True, seconds=15)

    def _handle_exception(self, error: Exception) -> None:
        # Textual would print the traceback with all locals; the command line writes it to the crash log instead.
        if self._exit or _is_of_what_leaves(error):
            return  # a message for a widget that is gone already; the user has left
        self.crash = self.crash or error
        try:
            raise error  # Textual renders the exception that is being handled
        except Exception:
            super()._handle_exception(error)

    def _end_with_thread(self, loop: asyncio.AbstractEventLoop, ended: threading.ExceptHookArgs) -> None:
        """End the app with the exception that a thread of it has died of, as with one of its own."""
        error = ended.exc_value
        if isinstance(error, Exception):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._handle_exception, error)

    def _print_error_renderables(self) -> None:
        self._exit_renderables.clear()

    def on_unmount(self) -> None:
        self._watch.end()
        self._hosts.end()
        threading.excepthook = self._excepthook

    # --- the runs ---

    def on_runs_seen(self, message: RunsSeen) -> None:
        if not self.screen_stack:
            return  # the app is ending
        before, self.runs = self.runs or (), message.runs
        for run in newly_ended(before, message.runs):
            self._announce(run)
        self._list_runs()

    def _list_runs(self) -> None:
        from tui.screens.home.screen import Home

        if isinstance(self.screen, Home):
            self.screen.show_runs(self.runs)
            self.screen.show_hosts(tuple(self._hosts.answers.values()))

    def on_hosts_seen(self) -> None:
        if self.screen_stack:
            self._list_runs()

    def _announce(self, run: RunStatus) -> None:
        text = ended_text(run)
        trouble = run.state in ("failed", "lost")
        say = getattr(self.screen, "say_of_other", None)
        if say is not None and self.screen.folder != run.folder:  # type: ignore[attr-defined]
            say(text, trouble)  # a toast would cover its log
        elif say is None:
            self.tell(text, trouble=trouble, seconds=8)
        if self.settings.notify == "bell":
            self.bell()
        elif self.settings.notify == "osc9" and self._driver is not None:
            self._driver.write(osc9(text))

    def on_watch_runs(self, message: WatchRuns) -> None:
        self._watch.look_at_all(message.all)
        self._hosts.look(message.all)
        if message.all:
            self._list_runs()

    def on_runs_changed(self) -> None:
        self._watch.look_now()
        self._hosts.look_now()

    # --- which screen is shown ---

    def on_open_run(self, message: OpenRun) -> None:
        self.open_run(message.folder)

    def on_open_lab(self, message: OpenLab) -> None:
        self.open_lab(message.lab_id)

    def on_compare_runs(self, message: CompareRuns) -> None:
        self.screen.run_worker(self._choose_and_compare(message), group=OPENING, exclusive=True)

    async def _choose_and_compare(self, wanted: CompareRuns) -> None:
        from tui.screens import starting

        chosen = await starting.runs_to_compare(self, self.runs, wanted.folders, choose=wanted.choose)
        if chosen is not None:
            self.compare(chosen)

    def open_run(self, folder: RunFolder) -> None:
        """Show the console of a run, live or ended. A lab's run has the lab's text beside it."""
        if folder not in self.opened:
            self.opened.append(folder)
        opened = console(folder)
        # A lab is trained many times: the new run takes the place of the one before.
        if getattr(self.screen, "lab_id", None) is not None and getattr(self.screen, "folder", None) is not None:
            self.switch_screen(opened)
        else:
            self.push_screen(opened)

    def open_lab(self, lab_id: str) -> None:
        """Show a lab: its text and its next step. It replaces the screens of another lab."""
        from tui.screens.lab.screen import LabScreen

        try:
            opened = LabScreen(lab_panel(lab_id))
        except DescentError as error:
            self.tell(str(error), trouble=True, seconds=15)
            return
        while getattr(self.screen, "lab_id", None) is not None:
            self.pop_screen()
        self.push_screen(opened)

    def compare(self, folders: Sequence[RunFolder]) -> None:
        """Compare two to eight runs, in place of a comparison that is on the screen."""
        from tui.screens.compare import Compare

        show = self.switch_screen if isinstance(self.screen, Compare) else self.push_screen
        show(Compare(folders))

    # --- keys and the palette ---

    def get_key_display(self, binding: Binding) -> str:
        """The name of a key. Textual's signs for some keys are not in every font."""
        if binding.key_display:
            return binding.key_display
        return _KEY_NAMES.get(binding.key) or super().get_key_display(binding)

    async def action_quit(self) -> None:
        """Quit. A screen with unsaved work asks first."""
        if getattr(self.screen, "is_unsaved", False):
            await self.screen.run_action("close")
        else:
            self.exit()

    async def action_copy_or_quit(self) -> None:
        """Copy the text that is selected, in a field or on the screen. Without any, quit."""
        text = self._selected()
        if not text:
            await self.action_quit()
            return
        self.copy_to_clipboard(text)
        self.screen.clear_selection()
        count = len(text)
        self.tell(ngettext("copied {count:,} character", "copied {count:,} characters", count), seconds=3)

    def _selected(self) -> str:
        return getattr(self.focused, "selected_text", "") or self.screen.get_selected_text() or ""

    async def on_event(self, event: events.Event) -> None:
        """As Textual's. Where no text is typed, a Korean letter is the key that it stands on."""
        if isinstance(event, events.InputEvent) and not self.screen_stack:
            return  # typed while the app ends: Textual would look for a screen
        if isinstance(event, events.Key) and ("+" in event.key or not hasattr(self.focused, "selected_text")):
            event = latin(event)
        await super().on_event(event)

    def action_help(self) -> None:
        from tui.screens.help import Help

        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.screen))

    def action_next_theme(self) -> None:
        after = self.theme_names[(self.theme_names.index(self.theme) + 1) % len(self.theme_names)]
        self.use_theme(after)
        self.tell(_("theme: {name}", name=after), seconds=2)

    def action_picture(self) -> None:
        try:
            file = self.save_screenshot()
        except OSError as error:
            self.tell(_("the screen can't be saved here: {why}", why=error.strerror), trouble=True)
        else:
            self.tell(_("saved {file}", file=Path(file).absolute()))

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder=_("Search for commands…"), id="--command-palette"))

    def action_settings(self) -> None:
        from tui.screens.settings import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen())


def _is_of_what_leaves(error: Exception) -> bool:
    """Return whether a part that is being removed has asked for a neighbour that is gone already."""
    if isinstance(error, WorkerFailed):
        return isinstance(error.error, NoMatches) and get_current_worker().node._pruning
    part = active_message_pump.get(None)  # none in a thread
    return isinstance(error, NoMatches) and isinstance(part, DOMNode) and part._pruning


def newly_ended(before: Sequence[RunStatus], now: Sequence[RunStatus]) -> list[RunStatus]:
    """The runs that have ended since the last look."""
    live = {run.folder.path for run in before if run.alive}
    return [run for run in now if run.folder.path in live and not run.alive]


def ended_text(run: RunStatus) -> str:
    """A line that says which run has ended, how, and what it reached."""
    name = f"{run.name} {run.letters}".strip()
    ended = _(_ENDED[run.state], run=name)
    if run.reason and run.state == "failed":
        return clean(f"{ended}: {run.reason}")
    reached = " ".join(metric(run)).strip()
    return clean(f"{ended}, {reached}" if reached else ended)


def osc9(message: str) -> str:
    """The escape sequence by which terminals show a desktop notice."""
    return f"\x1b]9;{clean(message)}\x07"


def known_keys() -> set[str]:
    """The id of every binding of the app, its screens and its widgets. Imports all of them, which takes a while."""
    from tui import screens, widgets

    for package in (screens, widgets):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    ours = [kind for kind in _all_below(DOMNode) if kind.__module__.startswith("tui.")]
    bindings = (binding for kind in {*ours, DescentApp} for binding in kind.__dict__.get("BINDINGS", ()))
    return {binding.id for binding in bindings if isinstance(binding, Binding) and binding.id}


def unknown_keys(keys: Iterable[str]) -> str | None:
    """A line for each unknown name of a binding; None where all are known."""
    known = known_keys()
    wrong = [key for key in keys if key not in known]
    lines = [_("settings.toml, [keys]: {key}: no such binding", key=clean(key)) + _hint(key, known) for key in wrong]
    return "\n".join(lines) or None


def _hint(key: str, known: set[str]) -> str:
    hint = did_you_mean(key, sorted(known))
    if hint:
        return hint
    groups = sorted({name.partition(".")[0] for name in known})
    group = likely(key.partition(".")[0], groups)
    allowed = sorted(name for name in known if group and name.startswith(f"{group}."))
    if allowed:
        return "; " + _("allowed: {names}", names=", ".join(allowed))
    prefixes = ", ".join(f"{group}." for group in groups)
    return "; " + _("a name begins with one of {prefixes}", prefixes=prefixes)


def _all_below(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from _all_below(below)


def console(folder: RunFolder) -> "Console":
    """The console of a run, with the lab's text beside it where its preset belongs to a lab."""
    from tui.screens.console.screen import Console

    lab_id = _lab_of(folder)
    if lab_id is not None:
        with contextlib.suppress(DescentError):  # the lab is broken or gone; the run can be shown without it
            return Console(folder, lab_panel(lab_id))
    return Console(folder)


def lab_panel(lab_id: str) -> "LabPanel":
    """The panel of a lab. Raises DescentError where there is no such lab, or its files are broken."""
    from tui.screens.lab.panel import LabPanel

    return LabPanel(lab_id)


def _lab_of(folder: RunFolder) -> str | None:
    try:
        lab = tomllib.loads(folder.preset.read_text(encoding="utf-8")).get("lab")
    except (OSError, ValueError):
        return None
    return lab if isinstance(lab, str) else None


def open_app(
    *,
    run: str | None,
    compare: Sequence[str],
    lab: str | None,
    preset: str | None,
    overrides: Sequence[str],
    run_id: str | None,
    runs_dir: Path | None,
    data_root: Path | None,
    fps: float | None,
    ascii_only: bool,
    theme: str | None,
    read_only: bool,
    allow_code: bool,
) -> int:
    """See tui.open_console. Raises what crashed the app, after the terminal is restored."""
    known = settings.theme_names()
    if theme is not None and theme not in known:
        given, names = f"--theme {show(theme)}", ", ".join(known)
        problem = _("{given}: must be one of {names}", given=given, names=names)
        raise DescentError(problem + did_you_mean(theme, known))
    if fps is not None and not terminal.SLOWEST <= fps <= terminal.FASTEST:
        least, most = f"{terminal.SLOWEST:g}", f"{terminal.FASTEST:g}"
        raise DescentError(_("--fps {given:g}: must be from {least} to {most}", given=fps, least=least, most=most))
    liked, complaint = settings.load()
    own_themes, wrong_themes = user_themes.load()
    facts = terminal.look(fps=fps if fps is not None else liked.fps, ascii_only=ascii_only)
    folder = _folder(run, preset, overrides, run_id, runs_dir, data_root, allow_code=allow_code)
    several = _several(compare, runs_dir)
    terminal.prepare(facts)

    app = DescentApp(
        terminal=facts,
        settings=liked,
        complaint="\n".join(filter(None, (complaint, *wrong_themes))),
        theme=theme,
        own_themes=own_themes,
        read_only=read_only,
        run=folder,
        compare=several,
        lab=lab,
        runs_dir=runs_dir,
        data_root=data_root,
    )
    app.run()
    if app.crash is not None:
        raise app.crash
    for opened in app.opened:
        if opened.state() in ALIVE:
            command = f"descent attach {find.word_for(opened.path)}"
            print(_("{run} continues training; come back with: {command}", run=opened.id, command=command))
    sys.stdout.flush()
    if app.return_code == ExitCode.TERMINATED:
        stdio.complain(_("ended from outside: by a signal, or because the terminal was closed"))
    return app.return_code or 0


def _several(words: Sequence[str], runs_dir: Path | None) -> list[RunFolder]:
    if not words:
        return []
    from descent.run import comparison

    return comparison.found(words, runs_dir)


def _folder(
    run: str | None,
    preset: str | None,
    overrides: Sequence[str],
    run_id: str | None,
    runs_dir: Path | None,
    data_root: Path | None,
    *,
    allow_code: bool,
) -> RunFolder | None:
    """The run to open at once, found or started; None for Home."""
    if run is not None:
        from descent.common import paths

        return RunFolder(find.find_run(run, paths.runs_dir(runs_dir)))
    if preset is not None:
        from engine.launch import start

        options = Options(run_id, runs_dir, data_root, allow_code)
        return start.detach(preset, overrides, options, watched=True)
    return None
