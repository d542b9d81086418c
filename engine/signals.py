"""What the system may ask of a worker."""

import os
import signal
from types import FrameType


class Signals:
    """The first SIGINT or SIGTERM asks for an end after the step under way; a second one ends at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a dropped SSH link costs the training nothing

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number

    def wanted(self) -> bool:
        return self.received is not None
