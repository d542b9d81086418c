"""Time spent training."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from descent.loop import device as devices


class Clock:
    """A clock of the seconds spent in training steps. Evaluations, checkpoints and pauses are left out.

    The processor's time of all threads is counted in this process only. Its first step, which warms up, is left out.
    """

    def __init__(self, device: torch.device, seconds: float) -> None:
        self._device = device
        self._seconds = seconds
        self._since: float | None = None
        self._cpu: float | None = None  # until the first step is over
        self._cpu_since = 0.0

    def seconds(self) -> float:
        return self._seconds if self._since is None else self._seconds + time.perf_counter() - self._since

    def cpu_seconds(self) -> float:
        """Return the processor's seconds since the end of the first step in this process."""
        if self._cpu is None:
            return 0.0
        return self._cpu if self._since is None else self._cpu + time.process_time() - self._cpu_since

    def end_first_step(self) -> None:
        """Count the processor's time from now on. Only the first call has an effect."""
        if self._cpu is None:
            self._cpu, self._cpu_since = 0.0, time.process_time()

    def set(self, seconds: float) -> None:
        """Set the seconds of training so far."""
        self._seconds = seconds
        if self._since is not None:
            self._since = time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside the block."""
        self._go()
        try:
            yield
        finally:
            self._halt()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out the time inside the block."""
        if self._since is None:
            yield  # a caller has stopped it already
            return
        devices.wait(self._device)  # steps that it has not finished count as training
        self._halt()
        try:
            yield
        finally:
            self._go()

    def _go(self) -> None:
        self._since, self._cpu_since = time.perf_counter(), time.process_time()

    def _halt(self) -> None:
        cpu = self.cpu_seconds()
        self._cpu = None if self._cpu is None else cpu
        self._seconds, self._since = self.seconds(), None
