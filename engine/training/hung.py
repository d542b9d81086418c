"""A signal that asks rank 0 to end while it waits for another process in vain, such as one that stands still.

Python calls a signal's handler between two of its own instructions only, and torch.distributed may wait for half an
hour in one. So a thread hears of the signal, and ends the processes that do not answer; then the wait fails.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Sequence

from descent.warm import Process

PATIENCE = 20.0  # seconds that one exchange may take after a signal
_LOOK = 0.2  # seconds
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class HungExchange:
    """Watches the exchanges of this process with the others, from its main thread, until `close`."""

    def __init__(self, others: Sequence[Process]) -> None:
        self._others = others
        self._since: float | None = None  # when the exchange under way began
        self._is_over = threading.Event()
        self._here, self._there = socket.socketpair()
        self._there.setblocking(False)
        os.register_at_fork(after_in_child=self._leave)
        self._before = signal.set_wakeup_fd(self._there.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="hung", daemon=True).start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def close(self) -> None:
        """Watch no longer."""
        signal.set_wakeup_fd(self._before)
        self._is_over.set()
        self._there.close()

    def _leave(self) -> None:
        """In a forked process: its signals are its own."""
        if not self._is_over.is_set():
            signal.set_wakeup_fd(-1)

    def _watch(self) -> None:
        while heard := self._here.recv(1):
            if heard[0] in _SIGNALS:
                break
        asked = time.monotonic()
        while heard and not self._is_over.wait(_LOOK):
            began = self._since
            if began is not None and time.monotonic() - max(began, asked) > PATIENCE:
                for process in self._others:
                    process.kill()
                break
        self._here.close()
