"""Time spent training."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Seconds of training alone: evaluations, checkpoints and pauses are left out."""

    def __init__(self, device: torch.device, seconds: float) -> None:
        self._device = device
        self._seconds = seconds
        self._since: float | None = None

    def seconds(self) -> float:
        return self._seconds if self._since is None else self._seconds + time.perf_counter() - self._since

    def set(self, seconds: float) -> None:
        """Count from `seconds` on."""
        self._seconds = seconds
        if self._since is not None:
            self._since = time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens inside."""
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._seconds, self._since = self.seconds(), None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave out what happens inside."""
        if self._since is None:
            yield  # stopped already, by a caller
            return
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # steps under way are training still
        self._seconds, self._since = self.seconds(), None
        try:
            yield
        finally:
            self._since = time.perf_counter()
