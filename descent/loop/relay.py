"""What a script prints goes to its terminal as before, and into the run's output.log too.

A small process stands between the script and its terminal, this file as a program. The script keeps its own process,
with its id, signals, keyboard and exit code. Where its output was a terminal it still is one, of the same size.
"""

import atexit
import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

WAITS = "DESCENT_RELAY"  # the descriptor by which the script waits until all that it has printed is shown
PATIENCE = 5.0  # seconds for a terminal to take something; one behind a dead link takes nothing any more
_AT_ONCE = 1 << 16  # bytes
_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGTTOU", "SIGPIPE")


# --- in the process that becomes the script's ---


def begin(log: Path) -> dict[str, str]:
    """Have all that this process prints from now on, and the program that takes its place, kept in `log` too.

    Returns what the environment of that program needs. Raises OSError.
    """
    ours, theirs = socket.socketpair()
    inner: dict[int, int] = {}  # by descriptor: what to print to
    passed: list[int] = [theirs.fileno()]
    words: list[str] = []
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    passed.append(file)
    for number in (1, 2):
        if not _is_open(number):
            continue
        if number == 2 and _is_open(1) and os.path.samestat(os.fstat(1), os.fstat(2)):
            inner[2] = inner[1]
            continue
        source, inner[number] = _like(number)
        sink = os.dup(number)
        passed += [source, sink]
        words.append(f"{source}:{sink}")
    nothing = subprocess.DEVNULL
    command = [sys.executable, "-I", "-S", __file__, str(file), str(theirs.fileno()), *words]
    subprocess.run(command, pass_fds=passed, stdin=nothing, stdout=nothing, stderr=nothing, check=True)
    for number, to in inner.items():
        os.dup2(to, number)
    for number in {*passed[1:], *inner.values()}:
        os.close(number)
    theirs.close()
    ours.set_inheritable(True)
    return {WAITS: str(ours.detach())}


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _like(number: int) -> tuple[int, int]:
    """Return both ends of a terminal of the same size if the descriptor is a terminal, else of a pipe."""
    if not os.isatty(number):
        return os.pipe()
    source, inner = pty.openpty()
    _resize(number, source)
    mode = termios.tcgetattr(inner)
    mode[1] &= ~termios.OPOST  # the real terminal makes of each line's end what it did before
    termios.tcsetattr(inner, termios.TCSANOW, mode)
    return source, inner


def _resize(terminal: int, other: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(other, termios.TIOCSWINSZ, fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))


# --- in the script's process ---

_control: socket.socket | None = None


def settle_at_exit() -> None:
    """If this process prints through a relay, let it end only when all that it has printed is shown."""
    given = os.environ.pop(WAITS, "")  # it is not for the processes that this one starts
    if not given.isdigit() or not _is_open(int(given)):
        return
    global _control  # noqa: PLW0603 - a process has one relay
    control = _control = socket.socket(fileno=int(given))
    control.set_inheritable(False)
    pid = os.getpid()

    def settle() -> None:
        if os.getpid() != pid:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        with contextlib.suppress(OSError):
            control.settimeout(2 * PATIENCE)
            control.sendall(b".")
            control.recv(1)

    atexit.register(settle)


def handed_on() -> dict[str, str]:
    """Return what a program that takes this process's place needs to go on printing through the same relay."""
    if _control is None:
        return {}
    _control.set_inheritable(True)
    return {WAITS: str(_control.fileno())}


# --- the process between ---


class _Sink:
    """Where output goes in the end. A terminal that takes nothing for PATIENCE is given up; a pipe is waited for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._is_terminal = os.isatty(number)
        self._waiting = b""
        self._is_given_up = False
        self._changed = threading.Condition()
        threading.Thread(target=self._write, daemon=True).start()

    def put(self, data: bytes) -> None:
        """Write, sooner or later. Waits while much is not written yet."""
        with self._changed:
            if self._is_given_up:
                return
            self._waiting += data
            self._changed.notify_all()
        self.wait(_AT_ONCE)

    def wait(self, most: int) -> None:
        """Wait until at most `most` bytes are left to be written."""
        with self._changed:
            while len(self._waiting) > most and not self._is_given_up:
                before = len(self._waiting)
                self._changed.wait(PATIENCE if self._is_terminal else None)
                if len(self._waiting) >= before and self._is_terminal:
                    self._give_up()

    def _give_up(self) -> None:
        self._is_given_up, self._waiting = True, b""
        self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                piece = self._waiting[:1024]
            try:
                written = os.write(self.number, piece)
            except BlockingIOError:  # somebody else has made it so
                select.select([], [self.number], [], PATIENCE)
                continue
            except OSError:  # a terminal that was closed, a reader that is gone
                with self._changed:
                    self._give_up()
                return
            with self._changed:
                self._waiting = self._waiting[written:]
                self._changed.notify_all()


def _relay(log: int, control: int, pairs: Sequence[tuple[int, int]]) -> None:
    """Copy from each source into the log and to its sink, until nobody can write to any source."""
    sinks = {source: _Sink(sink) for source, sink in pairs}

    def resize(*_: object) -> None:
        for source, sink in pairs:
            _resize(sink, source)

    signal.signal(signal.SIGWINCH, resize)
    listening = [control]
    while sinks:
        ready = select.select([*sinks, *listening], [], [])[0]
        for source in [one for one in ready if one in sinks]:
            _copy(source, sinks, log)
        if control in ready:
            if not os.read(control, 1):
                listening = []
                continue
            until = time.monotonic() + PATIENCE  # other processes of the script may print for ever
            while time.monotonic() < until and (ready := select.select([*sinks], [], [], 0.02)[0]):
                for source in ready:
                    _copy(source, sinks, log)
            for sink in sinks.values():
                sink.wait(0)
            with contextlib.suppress(OSError):
                os.write(control, b".")


def _copy(source: int, sinks: dict[int, _Sink], log: int) -> None:
    try:
        data = os.read(source, _AT_ONCE)
    except OSError:  # of a terminal that nobody has open any more
        data = b""
    if not data:
        sinks.pop(source).wait(0)
        os.close(source)
        return
    with contextlib.suppress(OSError):  # the disk is full
        os.write(log, data)
    sinks[source].put(data)


def main(log: str, control: str, *pairs: str) -> None:
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if os.fork():
        os._exit(0)  # nobody who waits for children of the script's process finds this one
    _relay(
        int(log), int(control), [(int(one), int(other)) for one, _, other in (pair.partition(":") for pair in pairs)]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
