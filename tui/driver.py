"""The terminal's end of the app: it must leave when the terminal is gone, and not hang on one that takes nothing."""

import contextlib
import os
import select
import signal
import termios
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

from engine.errors import ExitCode

_LOOK_EVERY = 1.0  # seconds between looks for a terminal that has gone without a signal
_PATIENCE = 3.0  # seconds in which a killed app has time to leave the terminal as it was


class TerminalDriver(LinuxDriver):
    """Textual's driver, whose writing thread dies with the terminal and leaves the app waiting for it forever."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        assert self._file is not None
        self._file = cast("Any", _Outlet(self._file, self._lose))
        self._watches = False

    def start_application_mode(self) -> None:
        """Also called when the app comes back from the shell."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if not self._watches:
            self._watches = True
            threading.Thread(target=self._watch, name="hangup", daemon=True).start()

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
