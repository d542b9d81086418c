"""What the terminal can show, and a driver that ends the app with its terminal and never hangs on one."""

import codecs
import contextlib
import os
import re
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO, cast

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.keys import Keys
from textual.message import Message

from descent.common.errors import ExitCode
from descent.common.glyphs import ascii_text
from descent.common.i18n import _

_LOOK_EVERY = 1.0  # seconds between looks for a terminal that has gone without a signal
_INPUT_EVERY = 0.1  # seconds between looks whether an escape that came alone is the key
_NOT_UTF8 = "\ufffd"  # what bytes that are no UTF-8 are read as
_OLD_MOUSE = re.compile(rb"\x1b\[M[\x20-\xff]{3}", re.DOTALL)  # a report of X10, which Textual does not understand
_PATIENCE = 3.0  # seconds in which a killed app has time to leave the terminal as it was
LOCAL_FPS = 10.0
SSH_FPS = 4.0  # what an SSH line and the other side's terminal take without falling behind
FASTEST, SLOWEST = 60.0, 0.2
# Answers to a key are painted sooner than new numbers: typing at 4 frames a second would feel broken.
_PAINTS = 30
_SSH_PAINTS = 15


class TerminalDriver(LinuxDriver):
    """Textual's driver, whose writing thread dies with the terminal and leaves the app waiting for it forever."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        assert self._file is not None
        self._file = cast("Any", _Outlet(self._file, self._lose))
        self._watches = False
        self._told = False  # that what is typed is not UTF-8

    def start_application_mode(self) -> None:
        """Also called when the app comes back from the shell."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if not self._watches:
            self._watches = True
            threading.Thread(target=self._watch, name="hangup", daemon=True).start()

    def _run_input_thread(self) -> None:
        """As Textual's, but an exception ends the app by way of threading.excepthook, not without a word."""
        self.run_input_thread()

    def run_input_thread(self) -> None:
        """As Textual's, but no byte that a terminal may send ends it."""
        parser = _Parser(self._debug)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        inlet = select.poll()
        inlet.register(self.fileno, select.POLLIN)
        while not self.exit_event.is_set():
            if inlet.poll(_INPUT_EVERY * 1000):
                try:
                    given = os.read(self.fileno, 4096)
                except OSError:
                    given = b""
                if not given:
                    self._lose()
                    return
                text = decoder.decode(_OLD_MOUSE.sub(b"", given))
                if _NOT_UTF8 in text and not self._told:
                    self._told = True
                    self._loop.call_soon_threadsafe(self._tell_encoding)
                for event in parser.feed(text) if text else ():  # no text would mean the end of all
                    self.process_message(event)
            for event in parser.tick():
                self.process_message(event)

    def _tell_encoding(self) -> None:
        text = _("the terminal sends text that is not UTF-8, which is left out; set its encoding to UTF-8")
        self._app.notify(text, severity="warning", timeout=15, markup=False)

    def process_message(self, message: Message) -> None:
        # A size that nobody has asked for is no answer of a terminal.
        if not isinstance(message, events.Resize) or self._in_band_window_resize:
            super().process_message(message)

    def obey_signals(self) -> None:
        """A kill or a lost line ends the app as `q` does: with the terminal as it was."""
        codes = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGHUP: ExitCode.TERMINATED}
        for number, code in (codes | {signal.SIGINT: ExitCode.INTERRUPTED}).items():
            # Not the loop's own handlers: the loop may itself be waiting for room in the terminal.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, partial(self._leave, int(code)))

    def _leave(self, code: int, *_: object) -> None:
        self._loop.call_soon_threadsafe(partial(self._app.exit, return_code=code))
        timer = threading.Timer(_PATIENCE, self._leave_at_once, (code,))
        timer.daemon = True
        timer.start()

    def _leave_at_once(self, code: int) -> None:
        """The terminal takes nothing any more; nor would it take the end of what was begun."""
        if self.attrs_before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        os._exit(code)

    def _watch(self) -> None:
        terminal = select.poll()
        terminal.register(self.fileno, 0)
        while not terminal.poll(_LOOK_EVERY * 1000):
            pass
        self._lose()

    def _lose(self) -> None:
        """Called in any thread, more than once: the terminal is gone."""
        null = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):  # what is still said at the end would fail
            os.dup2(null, number)
        os.close(null)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._leave(int(ExitCode.TERMINATED))


class _Parser(XTermParser):
    """Textual's parser, which ignores what is no key: text that is not UTF-8, numbers that no terminal means."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        try:
            keys = list(super()._sequence_to_key_events(sequence, alt))
            "".join(key.character or "" for key in keys).encode()  # half a character can't be saved
        except (ValueError, OverflowError):
            return [events.Key(Keys.Ignore, sequence)]
        return [key for key in keys if key.character != _NOT_UTF8]

    def parse_mouse_code(self, code: str) -> Message | None:
        try:
            return super().parse_mouse_code(code)
        except (ValueError, ArithmeticError):
            return None


class _Outlet:
    """The terminal as Textual's writing thread sees it: there for as long as the thread wants."""

    def __init__(self, file: TextIO, lost: Callable[[], None]) -> None:
        self._file, self._lost = file, lost

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError:
            self._lost()

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            self._lost()


@dataclass(frozen=True)
class Terminal:
    """unicode: it shows more than ASCII. ssh: it is far away. fps: how often numbers are looked at and drawn.

    colour: false under NO_COLOR. colours: how many there are: 16, 256 or 16,777,216.
    """

    unicode: bool = True
    ssh: bool = False
    fps: float = LOCAL_FPS
    colour: bool = True
    colours: int = 1 << 24

    def plain(self, text: str) -> str:
        """`text` as this terminal can show it."""
        if self.unicode or text.isascii():
            return text
        return ascii_text(text)


def look(
    environment: Mapping[str, str] | None = None, *, fps: float | None = None, ascii_only: bool = False
) -> Terminal:
    """The facts, from the environment; `fps` and `ascii_only` as the user said."""
    variables = os.environ if environment is None else environment
    ssh = bool(variables.get("SSH_CONNECTION") or variables.get("SSH_TTY"))
    given = fps if fps is not None else SSH_FPS if ssh else LOCAL_FPS
    return Terminal(
        unicode=not ascii_only and _is_unicode(variables),
        ssh=ssh,
        fps=min(FASTEST, max(SLOWEST, given)),
        colour=not variables.get("NO_COLOR"),
        colours=_colours(variables),
    )


def refusal() -> str | None:
    """Return why no screen can be opened here; None if one can."""
    for stream, name in (
        (sys.stdin, _("standard input")),
        (sys.stdout, _("standard output")),
        (sys.stderr, _("standard error")),
    ):
        if not stream.isatty():  # Textual reads the first, and draws on the last
            return _("the console needs a terminal, and {stream} is not one", stream=name)
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return _("the console can't draw on this terminal (TERM={term})", term=os.environ.get("TERM", ""))
    return None


def prepare(terminal: Terminal) -> None:
    """Tell Textual, which reads its settings when it is imported."""
    paints = _SSH_PAINTS if terminal.ssh else _PAINTS
    os.environ.setdefault("TEXTUAL_FPS", str(max(paints, round(terminal.fps))))
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none" if terminal.ssh else "basic")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    with contextlib.suppress(OSError):
        if all(os.get_terminal_size(sys.__stdout__.fileno())):  # type: ignore[union-attr]
            # A shell has exported these long ago; Rich and Textual would believe them, and follow no resize.
            os.environ.pop("COLUMNS", None)
            os.environ.pop("LINES", None)
    if not terminal.colour:
        os.environ["NO_COLOR"] = "1"
    if _in_screen(os.environ):
        os.environ.pop("COLORTERM", None)  # Rich and Textual believe it


def _is_unicode(variables: Mapping[str, str]) -> bool:
    # Not sys.stdout.encoding: under LC_ALL=C Python writes UTF-8 all the same. The Linux console has no braille.
    if variables.get("TERM") == "linux":
        return False
    named = next((variables[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if variables.get(name)), "")
    return "utf" in named.lower()


def _in_screen(variables: Mapping[str, str]) -> bool:
    """Return whether GNU screen draws, which passes on its terminal's COLORTERM and misreads such colours."""
    return bool(variables.get("STY")) and not variables.get("TMUX")


def _colours(variables: Mapping[str, str]) -> int:
    if _in_screen(variables):
        return 256 if "256" in variables.get("TERM", "") else 16
    if variables.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 1 << 24
    return 256 if "256" in variables.get("TERM", "") or "kitty" in variables.get("TERM", "") else 16
