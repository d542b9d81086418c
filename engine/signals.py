"""What the system may ask of a worker."""

import os
import signal
from collections.abc import Callable
from types import FrameType


class Signals:
    """The first SIGINT or SIGTERM asks for an end after the step under way; a second one ends at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.on_first: Callable[[], None] = _nothing  # called in the handler: it must not wait for anything
        self.on_second: Callable[[], None] = _nothing
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        # A dropped SSH link costs the training nothing.
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.on_second()
            os._exit(128 + number)
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
