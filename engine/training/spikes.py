"""Notes a training loss that jumps, or that has stopped falling. Nothing is done about either: a person may want to.

The loss of ten steps at a time is averaged, against the noise of single batches, and compared with a running mean and
deviation of the averages before it (a smoothed z-score):

- a spike is an average that lies SPIKE deviations above the mean and SPIKE_FACTOR times as high; the next one is told
  once the loss has been back at its usual level;
- a stall is told when the running mean has not fallen by LEAST_FALL of itself for STALL_SHARE of all steps so far,
  and STALL_STEPS at least; again only after it has fallen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.metrics import Layout
from engine.training.monitor import mean_of_known
from engine.training.recorder import Rows

BLOCK = 10  # steps to an average
MEMORY = 20  # averages that the running mean and deviation look back on, about
WARM_UP = 20  # averages before anything is told: the first steps of a training fall steeply
SPIKE = 6.0  # deviations
SPIKE_FACTOR = 1.5
LEAST_FALL = 0.001
STALL_SHARE = 0.3
STALL_STEPS = 1000


class LossWatch:
    """Fed with rows as they reach the host; tells by `write(event, **values)`."""

    def __init__(self, layout: Layout, first: int, write: Callable[..., Any]) -> None:
        self._loss = layout.columns.index("loss")
        self._step, self._write = first, write
        self._rest = np.empty(0, np.float64)
        self._mean, self._variance, self._blocks = 0.0, 0.0, 0
        self._spiking = False
        self._lowest, self._fell_at, self._stalled = float("inf"), first, False

    def rows(self, rows: Rows) -> None:
        """rows: (n, M, columns) float32, the next ones. Members are averaged."""
        losses = np.concatenate([self._rest, mean_of_known(rows[:, :, self._loss]).astype(np.float64)])
        blocks = len(losses) // BLOCK
        self._rest = losses[blocks * BLOCK :]
        for average in losses[: blocks * BLOCK].reshape(-1, BLOCK).mean(axis=1).tolist():
            self._step += BLOCK
            if np.isfinite(average):
                self._observe(average)

    def _observe(self, average: float) -> None:
        deviation = self._variance**0.5
        if self._blocks >= WARM_UP:
            self._look_for_spike(average, deviation)
            self._look_for_stall()
        self._blocks += 1
        weight = max(1 / self._blocks, 1 / MEMORY)
        # A spike teaches the running mean no more than a large deviation would, or the next one would be missed.
        usual = min(average, self._mean + SPIKE * deviation) if self._blocks > WARM_UP else average
        change = usual - self._mean
        self._mean += weight * change
        self._variance = (1 - weight) * (self._variance + weight * change * change)

    def _look_for_spike(self, average: float, deviation: float) -> None:
        far = average > self._mean + SPIKE * deviation and average > SPIKE_FACTOR * self._mean
        if far and not self._spiking:
            z = (average - self._mean) / deviation if deviation else None
            self._write("spike", step=self._step, loss=average, usual=self._mean, z=z)
        self._spiking = far or (self._spiking and average > self._mean + deviation)

    def _look_for_stall(self) -> None:
        if self._mean < self._lowest - LEAST_FALL * abs(self._lowest) or self._lowest == float("inf"):
            self._lowest, self._fell_at, self._stalled = self._mean, self._step, False
        since = self._step - self._fell_at
        if not self._stalled and since >= max(STALL_STEPS, STALL_SHARE * self._step):
            self._stalled = True
            self._write("stall", step=self._step, since=self._fell_at, loss=self._mean)
