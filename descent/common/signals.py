"""What the system may ask of a worker."""

import os
import signal
from collections.abc import Callable
from types import FrameType

_INSISTENT = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """The first SIGINT, SIGTERM or SIGUSR1 asks for an end after the step under way, with a checkpoint.

    A second SIGINT or SIGTERM ends at once. SIGUSR1 does not count for that: a batch system sends it as a warning,
    and its SIGTERM follows when the time is up, perhaps in the middle of the checkpoint that the warning asked for.
    """

    def __init__(self) -> None:
        self.received: int | None = None  # the first; the exit code is 128 + this
        self.on_first: Callable[[], None] = _nothing  # called in the handler: it must not wait for anything
        self.on_second: Callable[[], None] = _nothing
        self._insisted = False
        self._before = {number: signal.signal(number, self._handle) for number in (*_INSISTENT, signal.SIGUSR1)}
        # A dropped SSH link costs the training nothing.
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._insisted and number in _INSISTENT:
            self.on_second()
            os._exit(128 + number)
        self._insisted = self._insisted or number in _INSISTENT
        if self.received is None:
            self.received = number
            self.on_first()

    def wanted(self) -> bool:
        return self.received is not None

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """From here on the signals mean what they meant before: nothing is left to save."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _nothing() -> None:
    pass
