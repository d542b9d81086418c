"""Commands on their way from the server's thread to the training loop's."""

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from engine.control.protocol import Answer


@dataclass(eq=False)
class Request:
    """A command that waits for the loop. `answer` may be called from any thread, once."""

    command: str
    arguments: dict[str, Any]
    _loop: asyncio.AbstractEventLoop
    _future: "asyncio.Future[Answer]"
    answered: bool = field(default=False)

    def answer(self, answer: Answer) -> None:
        self.answered = True
        with contextlib.suppress(RuntimeError):  # the server has gone; nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, answer)

    def _deliver(self, answer: Answer) -> None:
        if not self._future.done():
            self._future.set_result(answer)


class Queue:
    """Commands on their way from the server's thread to the loop's."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._arrived = threading.Event()

    def put(self, request: Request) -> None:
        self._waiting.append(request)
        self._arrived.set()

    def take_all(self) -> list[Request]:
        """What waits now. Asked between two steps, so an empty queue costs a tenth of a microsecond."""
        if not self._waiting:
            return []
        self._arrived.clear()
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._waiting.popleft())
        return taken

    def wait(self, seconds: float) -> None:
        """Return when something waits, or after `seconds`."""
        if self._arrived.wait(seconds):
            # `put` may raise the flag for a request that was taken already: left up, it would end every wait at once.
            self._arrived.clear()
