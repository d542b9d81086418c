"""Signals by which the system asks a worker to end."""

import os
import signal
from collections.abc import Callable
from types import FrameType

_INSISTENT = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Handlers of SIGINT, SIGTERM and SIGUSR1. The first asks to save a checkpoint and end after the current step.

    A second SIGINT or SIGTERM ends the process at once. SIGUSR1 does not count as the first of the two: a batch
    system sends it as a warning, and SIGTERM when the time is up. That may be in the middle of the checkpoint that
    the warning asked for.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the first signal; the exit code is 128 plus its number
        self.on_first: Callable[[], None] = _nothing  # called in the signal handler, so it must not wait for anything
        self.on_second: Callable[[], None] = _nothing
        self._insisted = False
        self._before = {number: signal.signal(number, self._handle) for number in (*_INSISTENT, signal.SIGUSR1)}
        # A lost SSH connection does not end the training.
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._insisted and number in _INSISTENT:
            self.on_second()
            os._exit(128 + number)
        self._insisted = self._insisted or number in _INSISTENT
        if self.received is None:
            self.received = number
            self.on_first()

    def forget(self) -> None:
        """Take it that no signal has come yet."""
        self.received, self._insisted = None, False

    def wanted(self) -> bool:
        return self.received is not None

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Restore the earlier handlers. Called when nothing is left to save."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _nothing() -> None:
    pass
