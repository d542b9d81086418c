"""Detection of spikes of the training loss, and of a loss that has stopped falling.

Spikes and stalls of the loss are only reported. A person decides what to do about them. The loss is averaged over ten
steps, which takes away the noise of single batches. Each average is compared with a running mean and deviation of the
averages before it (a smoothed z-score):

- A spike is an average that lies SPIKE deviations above the mean and is SPIKE_FACTOR times as high. The next one is
  reported only after the loss has been back at its usual level, and after SPIKE_REST of all steps so far.
- A stall is reported when the running mean has not fallen by LEAST_FALL of itself for STALL_SHARE of all steps so
  far, and for STALL_STEPS at least. It is reported again only after the mean has fallen.
- Neither is reported for a loss below FLOOR of the loss before the first update. So small a loss fluctuates anyway.
- A loss that goes back to where it began is a collapse, which collapse.py detects.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from descent.common.arrays import Floats, Rows, mean_over_members
from descent.run.layout import Layout
from engine.training.collapse import Collapse

BLOCK = 10  # steps to an average
MEMORY = 20  # averages that the running mean and deviation cover, about
WARM_UP = 20  # averages before anything is reported, because the loss falls steeply in the first steps
SPIKE = 6.0  # deviations
SPIKE_FACTOR = 1.5
SPIKE_REST = 0.02
FLOOR = 0.01
LEAST_FALL = 0.001
STALL_SHARE = 0.3
STALL_STEPS = 1000
_KEPT = ("next", "step", "start", "mean", "variance", "blocks", "spiking", "spiked", "lowest", "fell_at", "stalled")


class LossWatch:
    """Watches the loss in the rows that reach the host. Reports by `write(event, **values)`."""

    def __init__(
        self,
        layout: Layout,
        first: int,
        write: Callable[..., Any],
        past: Sequence[float] = (),
        constant: float = 0.0,
    ) -> None:
        """past: losses from before step `first`. The first of them is the one before the first update.

        constant: see Collapse.
        """
        self._constant = constant
        self._loss = layout.columns.index("loss")
        names = {layer["name"]: f"layer.{layer['name']}.dead" for layer in layout.layers}
        self._dead = {name: layout.columns.index(column) for name, column in names.items()}
        self._one = len(layout.members) == 1
        self._step, self._write, self._next = first, write, first
        self._start = past[0] if len(past) else None
        self._rest = np.empty(0, np.float64)
        self._mean, self._variance, self._blocks = 0.0, 0.0, 0
        self._spiking, self._spiked = False, -math.inf
        self._lowest, self._fell_at, self._stalled = float("inf"), first, False
        blocks = _averages(np.array(past, np.float64)) if first else np.empty(0)
        self.collapse = Collapse(self._start, float(np.nanmin(blocks, initial=math.inf)), write, constant)

    def state(self) -> dict[str, Any]:
        """Return what it has seen so far, in plain containers, for a checkpoint."""
        kept = {name: getattr(self, f"_{name}") for name in _KEPT}
        return kept | {"rest": self._rest.tolist(), "collapse": self.collapse.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state` was taken, so that a resume or a rewind changes nothing of what is reported."""
        for name in _KEPT:
            setattr(self, f"_{name}", state[name])
        self._rest = np.array(state["rest"], np.float64)
        self.collapse.restore(state["collapse"])

    def rows(self, rows: Rows) -> None:
        """rows: (n, M, columns) float32, the next ones. Members are averaged; of several none collapses alone."""
        new = mean_over_members(rows[:, :, self._loss]).astype(np.float64)
        if self._start is None and self._next == 0 and len(new):
            self._start = float(new[0])
            self.collapse = Collapse(self._start, math.inf, self._write, self._constant)
        if self._one:
            self._look_for_dead(rows[:, 0])
        self._next += len(rows)
        losses = np.concatenate([self._rest, new])
        self._rest = losses[len(losses) // BLOCK * BLOCK :]
        for average in _averages(losses).tolist():
            self._step += BLOCK
            if np.isfinite(average):
                self._observe(average)
                if self._one:
                    self.collapse.loss(self._step - BLOCK, self._step, average)

    def _look_for_dead(self, rows: Rows) -> None:
        """rows: (n, columns). Most steps hold no measured statistics."""
        columns = list(self._dead.values())
        for row in np.flatnonzero(np.isfinite(rows[:, columns]).any(axis=1)).tolist():
            shares = zip(self._dead, rows[row, columns].tolist(), strict=True)
            self.collapse.dead(self._next + row, dict(shares))

    def _observe(self, average: float) -> None:
        deviation = self._variance**0.5
        if self._blocks >= WARM_UP:
            self._look_for_spike(average, deviation)
            if self.collapse.since is None:
                self._look_for_stall()
        self._blocks += 1
        weight = max(1 / self._blocks, 1 / MEMORY)
        # A spike counts for the running mean like a large deviation at most. Otherwise the next one would be missed.
        usual = min(average, self._mean + SPIKE * deviation) if self._blocks > WARM_UP else average
        change = usual - self._mean
        self._mean += weight * change
        self._variance = (1 - weight) * (self._variance + weight * change * change)

    @property
    def _floor(self) -> float:
        return FLOOR * self._start if self._start is not None and self._start > 0 else -math.inf

    def _look_for_spike(self, average: float, deviation: float) -> None:
        far = average > self._mean + SPIKE * deviation and average > SPIKE_FACTOR * self._mean
        far = far and average > self._floor
        if far and not self._spiking and self._step - self._spiked >= SPIKE_REST * self._step:
            self._spiked = self._step
            z = (average - self._mean) / deviation if deviation else None
            self._write("spike", step=self._step, loss=average, usual=self._mean, z=z)
        self._spiking = far or (self._spiking and average > self._mean + deviation)

    def _look_for_stall(self) -> None:
        if self._mean < self._lowest - LEAST_FALL * abs(self._lowest) or self._lowest == float("inf"):
            self._lowest, self._fell_at, self._stalled = self._mean, self._step, False
        since = self._step - self._fell_at
        if not self._stalled and self._mean > self._floor and since >= max(STALL_STEPS, STALL_SHARE * self._step):
            self._stalled = True
            self._write("stall", step=self._step, since=self._fell_at, loss=self._mean)


def _averages(losses: Floats) -> Floats:
    """Return the mean of each whole block: (n,) -> (n // BLOCK,)."""
    blocks = len(losses) // BLOCK
    means: Floats = losses[: blocks * BLOCK].reshape(-1, BLOCK).mean(axis=1)
    return means
