"""Several processes that train one model together, as torchrun starts them: rank 0 leads, the others follow it.

They meet between two steps, about ten times a second: rank 0 says what commands it follows now, and at which step
they meet again. Between meetings nothing is exchanged. While the run is paused the others wait at a meeting.
"""

import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from torch import Tensor

from descent.common import job
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.commands import CommandHandler

MEET_EVERY = 0.1  # seconds
MOST_STEPS = 1000  # between two meetings
BEAT = 30.0  # seconds between signs of life while paused, far less than any limit of torch.distributed
# A pause holds the others by itself, and only rank 0 writes files.
_OF_RANK_0 = ("pause", "resume", "step", "checkpoint", "picture", "rewind")


class Ranks:
    """The way from rank 0 to the other processes, beside the one on which the training itself exchanges gradients.

    Every process makes one at the same time. Raises DescentError if torch.distributed is not ready.
    """

    def __init__(self) -> None:
        if not dist.is_available() or not dist.is_initialized():
            raise DescentError(
                _(
                    "this process trains with {count} others, and torch.distributed is not initialized; call "
                    "torch.distributed.init_process_group before run.watch",
                    count=job.size() - 1,
                )
            )
        self.size = dist.get_world_size()
        group = dist.new_group(backend="gloo")
        assert isinstance(group, dist.ProcessGroup)  # every process is in it
        self._group = group
        self._next = 0  # the step of the next meeting
        self._met: tuple[int, float] | None = None  # the step and the time of the last one
        self._told = time.monotonic()

    def send(self, message: dict[str, Any]) -> None:
        """Tell the others, of rank 0."""
        dist.broadcast_object_list([message], src=0, group=self._group)
        self._told = time.monotonic()

    def receive(self) -> dict[str, Any]:
        """Wait for what rank 0 tells."""
        messages: list[Any] = [None]
        dist.broadcast_object_list(messages, src=0, group=self._group)
        told: dict[str, Any] = messages[0]
        return told

    def gather(self, mine: Any) -> list[Any]:
        """Return what each process gives, by rank, on rank 0. The others get nothing."""
        found: list[Any] | None = [None] * self.size if dist.get_rank() == 0 else None
        dist.gather_object(mine, found, dst=0, group=self._group)
        return found or []

    def add_up(self, values: Tensor) -> None:
        """Add the values of all processes, in place."""
        dist.all_reduce(values, group=self._group)

    # --- rank 0 ---

    def tell(self, command: str, arguments: dict[str, Any]) -> None:
        """Let the others follow a command, which this process follows now."""
        if command not in _OF_RANK_0:
            self.send({"command": command, "arguments": arguments})

    def lead(self, handler: CommandHandler, step: int, signal: Callable[[], int | None]) -> int | None:
        """Follow commands together, if they meet at this step. Returns the signal that asks all to end."""
        if step < self._next:
            return None

        def interrupted() -> bool:
            self.beat()
            return signal() is not None

        handler.attend(interrupted)
        number = signal()
        self._next = step + (1 if handler.is_stepping else self.steps_until_next(step))
        self.send({"next": self._next, "signal": number})
        return number

    def beat(self) -> None:
        """Give a sign of life to those that wait, now and then."""
        if time.monotonic() - self._told > BEAT:
            self.send({})

    def steps_until_next(self, step: int) -> int:
        """Return after how many steps to meet again: as many as take about MEET_EVERY. step: of this meeting."""
        before, now = self._met, time.monotonic()
        self._met = step, now
        if before is None or step <= before[0]:
            return 1
        seconds = max(1e-9, now - before[1]) / (step - before[0])
        return max(1, min(MOST_STEPS, int(MEET_EVERY / seconds)))

    # --- the others ---

    def follow(self, step: int, take: Callable[[str, dict[str, Any]], None]) -> int | None:
        """Follow what rank 0 follows, if they meet at this step. Returns the signal that asks all to end."""
        if step < self._next:
            return None
        while True:
            message = self.receive()
            if "command" in message:
                take(message["command"], message["arguments"])
            elif "next" in message:
                self._next = message["next"]
                number: int | None = message["signal"]
                return number
