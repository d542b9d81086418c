"""A terminal of which a test holds the other end: it can be left unread, resized and closed."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.helpers.processes import DESCENT
from tests.helpers.waiting import wait_for

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cDEHM])")
UTF8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor"}


class BareTerminal:
    """`descent` in a session of its own, whose terminal it leads as one that a window or sshd has opened."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        *,
        size: tuple[int, int] = (120, 40),
        environment: Mapping[str, str] | None = None,
        ignore_hangup: bool = False,
    ) -> None:
        self._end, inside = pty.openpty()
        self._lock, self._open, self._reads = threading.Lock(), True, threading.Event()
        self.resize(*size)
        given = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "SSH_", "TMUX"))}
        given.pop("NO_COLOR", None)
        given |= {"PYTHONPATH": str(Path(__file__).parents[2]), **UTF8, **(environment or {})}

        def prepare() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if ignore_hangup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

        self.process = subprocess.Popen(
            [*DESCENT, *words], stdin=inside, stdout=inside, stderr=inside, cwd=cwd, env=given,
            start_new_session=True, preexec_fn=prepare,  # noqa: PLW1509
        )  # fmt: skip
        os.close(inside)
        self.output = bytearray()
        self._reads.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        import select

        while self._open:
            self._reads.wait()
            with self._lock:
                if not (self._open and self._reads.is_set() and select.select([self._end], [], [], 0.02)[0]):
                    continue
                try:
                    self.output += os.read(self._end, 1 << 16)
                except OSError:  # nobody has the terminal open any more
                    return

    def stop_reading(self) -> None:
        """From now on what the console writes stays where it is, until there is no more room."""
        self._reads.clear()
        with self._lock:
            pass

    def read_on(self) -> None:
        self._reads.set()

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def unread(self) -> int:
        """Bytes that wait to be read."""
        return int(struct.unpack("i", fcntl.ioctl(self._end, termios.FIONREAD, b"1234"))[0])

    def type(self, keys: str) -> None:
        self.send(keys.encode())

    def send(self, sent: bytes) -> None:
        """Send these bytes as a terminal would, in one piece."""
        os.write(self._end, sent)

    def close(self) -> None:
        """As a window that is closed."""
        self._open = False
        self._reads.set()
        with self._lock:
            os.close(self._end)

    def text(self, since: int = 0) -> str:
        """All that was ever written to the screen since that byte, without its control sequences."""
        return bytes(_SEQUENCE.sub(b"", self.output[since:])).decode(errors="replace")

    def see(self, what: str, since: int = 0) -> None:
        try:
            wait_for(lambda: what in self.text(since), what)
        except AssertionError:
            raise AssertionError(f"{what!r} was never written; last:\n{self.text(since)[-3000:]}") from None

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._open:
            self.close()
