"""Checks of the rows that reach the host: the run's progress, numbers that are not finite, and a drop of its speed.

A training becomes much slower mostly because another program uses the cores that its threads need. Steps are timed in
windows of a second. The usual rate is the median of the earlier windows. SLOW windows in a row below half of it are
reported once, and again only after the rate has been back for a while. When a person changes the batch size, the
threads or how often statistics are taken, the rate may change, so the watch begins again.
"""

import statistics
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from descent.common.arrays import Rows, Seconds, mean_over_members
from descent.run.layout import Layout
from descent.run.sweep import SweepPoint, points_of
from engine.training.train_state import TrainState

WINDOW = 1.0  # seconds of training
MEMORY = 30  # windows that the usual rate is taken from
WARM_UP = 5  # windows before a drop is reported, or reported again
SLOW = 3  # windows in a row, so that a short pause does not count
HALF, BACK = 0.5, 0.75  # of the usual rate: slow is below the first, back to normal above the second


@dataclass(frozen=True)
class NonFinite:
    """The first step with a number that is not finite, and what that number was."""

    step: int
    # "loss", "loss of every member", "update", "gradient of layer NAME" or "buffer of layer NAME", where NAME is the
    # buffer's own; nonfinite.py has the words
    what: str


class Monitor:
    """Gets rows from the recorder. Read by the loop and, from another thread, by the display."""

    def __init__(self, layout: Layout, *, gradients_may_overflow: bool) -> None:
        """gradients_may_overflow: true for fp16, which skips such updates by itself."""
        names = layout.columns
        self._loss = names.index("loss")
        self._accuracy = names.index("accuracy") if "accuracy" in names else None
        self._flags = [] if gradients_may_overflow else [i for i, n in enumerate(names) if n.endswith(".non_finite")]
        self._names = names
        self._norm = names.index("grad_norm")
        self.non_finite: NonFinite | None = None
        self.known_ended: set[int] = set()  # members that no longer train, so that their NaN is expected
        self.diverged: list[
            tuple[int, int]
        ] = []  # members that went non-finite, and at which step; the caller empties it
        self._points = points_of(layout.members)
        self.best: SweepPoint | None = None  # of a sweep: the candidate that the last evaluation found the best
        self.candidate = ""  # whose numbers `last` has, in a sweep
        self.last: dict[str, float | None] = {"loss": None, "accuracy": None, "grad_norm": None}
        self.steps_per_second: float | None = None
        self._seen: tuple[float, float] | None = None  # step and time at which the window begins
        self._rate_before: float | None = None

    def rows(self, first: int, rows: Rows, seconds: Seconds) -> None:
        """rows: (n, M, columns) float32, of steps `first` on. seconds: (n,), of training so far."""
        losses = rows[:, :, self._loss]
        if losses.shape[1] == 1:
            self._look_for_trouble(first, rows)
        else:
            self._look_for_diverged(first, losses)
        shown = self._shown(losses[-1:])
        accuracies = None if self._accuracy is None else rows[-1:, shown, self._accuracy]
        self.last = {
            "loss": float(mean_over_members(losses[-1:, shown])[0]),
            "accuracy": None if accuracies is None else float(mean_over_members(accuracies)[0]),
            "grad_norm": self._latest_norm(rows[:, shown]),
        }
        if self._seen is None:
            self._seen = float(first), float(seconds[0])
        self._rate(first + len(rows), float(seconds[-1]))

    def _shown(self, losses: Rows) -> list[int]:
        """Return the members whose mean is told: all, or of a sweep those of the best candidate. losses: (1, M)."""
        if not self._points:
            return list(range(losses.shape[1]))

        def loss(point: SweepPoint) -> float:
            mean = float(mean_over_members(losses[:, list(point.members)])[0])
            return mean if np.isfinite(mean) else np.inf

        best = self.best or min(self._points, key=loss)
        self.candidate = best.name
        return list(best.members)

    def _look_for_trouble(self, first: int, rows: Rows) -> None:
        bad = ~np.isfinite(rows[:, 0, self._loss])
        flagged = np.nan_to_num(rows[:, 0, self._flags]).any(axis=1)
        if self.non_finite is None and (bad.any() or flagged.any()):
            row = int(np.argmax(bad | flagged))
            self.non_finite = NonFinite(first + row, self._what(rows[row], bool(bad[row])))

    def _look_for_diverged(self, first: int, losses: Rows) -> None:
        """Find members that diverged. losses: (n, M), NaN for members that no longer train."""
        bad = ~np.isfinite(losses)
        for member in np.flatnonzero(bad.any(axis=0)).tolist():
            if member not in self.known_ended:
                self.known_ended.add(member)
                self.diverged.append((member, first + int(np.argmax(bad[:, member]))))

    def report(self, step: int, what: str) -> None:
        """Take note of a number that is not finite, but is not in the rows, such as a weight."""
        if self.non_finite is None:
            self.non_finite = NonFinite(step, what)

    def _what(self, row: Rows, loss: bool) -> str:
        """Return what was not finite. row: (M, columns) of the first step in which something was not."""
        flagged = [self._names[i] for i in self._flags if (row[:, i] == 1).any()]
        if loss or not flagged:
            return "loss"
        # Backward runs from the last layer to the first, so it began in the last layer that is flagged.
        return f"gradient of layer {flagged[-1].removeprefix('layer.').removesuffix('.non_finite')}"

    def _latest_norm(self, rows: Rows) -> float | None:
        norms = mean_over_members(rows[:, :, self._norm])
        measured = norms[~np.isnan(norms)]
        return float(measured[-1]) if len(measured) else self.last["grad_norm"]

    def _rate(self, step: int, seconds: float) -> None:
        """Update the steps per second of training time, taken over the last half second and the one before it."""
        assert self._seen is not None
        then, when = self._seen
        if seconds <= when:
            return
        rate = (step - then) / (seconds - when)
        self.steps_per_second = rate if self._rate_before is None else 0.5 * (rate + self._rate_before)
        if seconds - when >= 0.5:
            self._seen, self._rate_before = (float(step), seconds), rate


class RateWatch:
    """Watches the speed in the rows that reach the host.

    Reports a drop by `slow(step=…, steps_per_second=…, usual=…)`, with `threads=…` and `try=…` where that may help.
    """

    def __init__(self, run: TrainState, slow: Callable[..., Any]) -> None:
        self._run, self._tell = run, slow
        self._begin(None)

    def _begin(self, conditions: Hashable) -> None:
        self._conditions = conditions
        self._usual: deque[float] = deque(maxlen=MEMORY)
        self._since: tuple[int, float] | None = None  # step and time at which the window begins
        self._slow_windows, self._good_windows, self._told = 0, 0, False

    def rows(self, first: int, times: Seconds) -> None:
        """times: (n,), the seconds of training after each of the steps `first` on."""
        conditions = _conditions(self._run)
        if conditions != self._conditions:
            self._begin(conditions)
        seconds = float(times[-1])
        if self._since is None:
            self._since = first + len(times), seconds
            return
        step, then = self._since
        if seconds - then >= WINDOW:
            self._since = first + len(times), seconds
            self._observe(self._since[0], (self._since[0] - step) / (seconds - then))

    def _observe(self, step: int, rate: float) -> None:
        usual = statistics.median(self._usual) if len(self._usual) >= WARM_UP else rate
        self._slow_windows = self._slow_windows + 1 if rate < HALF * usual else 0
        self._good_windows = self._good_windows + 1 if rate >= BACK * usual else 0
        if self._good_windows >= WARM_UP:
            self._told = False
        if self._slow_windows >= SLOW and not self._told:
            self._told = True
            self._tell(step=step, steps_per_second=rate, usual=usual, **_advice(self._run))
        if not self._slow_windows or self._told:  # a slow window counts for the usual rate only after it was reported
            self._usual.append(rate)


def _conditions(run: TrainState) -> Hashable:
    """Return the settings that change a run's rate."""
    return run.batches.size, torch.get_num_threads(), run.statistics_every, run.batches.augment is None


def _advice(run: TrainState) -> dict[str, Any]:
    """Return what may help: fewer threads, because all wait for each other when one has no core."""
    threads = torch.get_num_threads()
    return {"threads": threads, "try": "train.threads=1"} if run.device.type == "cpu" and threads > 1 else {}
