"""Notes a training that has become much slower: mostly, another program wants the cores that this one's threads
need.

Steps are timed in windows of a second. The usual rate is the median of the windows before; SLOW of them in a row
below half of it are an event, told once until the rate has been back for a while. What a person changes about a run
(the batch size, the threads, how often statistics are taken) changes its rate rightly, and the watch begins anew.
"""

import statistics
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

import torch

from engine.metrics import Layout
from engine.training.recorder import Rows
from engine.training.training import Training

WINDOW = 1.0  # seconds of training
MEMORY = 30  # windows that the usual rate is taken from
WARM_UP = 5  # windows before anything is told, or told again
SLOW = 3  # windows in a row: a moment's stutter is no matter
HALF, BACK = 0.5, 0.75  # of the usual rate: slow below the one, as usual again above the other


class RateWatch:
    """Fed with rows as they reach the host; tells by `slow(step=…, steps_per_second=…, usual=…)`, and `try=…`."""

    def __init__(self, run: Training, layout: Layout, slow: Callable[..., Any]) -> None:
        self._run, self._time, self._tell = run, layout.columns.index("time"), slow
        self._begin(None)

    def _begin(self, conditions: Hashable) -> None:
        self._conditions = conditions
        self._usual: deque[float] = deque(maxlen=MEMORY)
        self._since: tuple[int, float] | None = None  # step and time at which the window begins
        self._slow_windows, self._good_windows, self._told = 0, 0, False

    def rows(self, first: int, rows: Rows) -> None:
        """rows: (n, M, columns) float32, of steps `first` on."""
        conditions = _conditions(self._run)
        if conditions != self._conditions:
            self._begin(conditions)
        seconds = float(rows[-1, 0, self._time])
        if self._since is None:
            self._since = first + len(rows), seconds
            return
        step, then = self._since
        if seconds - then >= WINDOW:
            self._since = first + len(rows), seconds
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
        if not self._slow_windows or self._told:  # what is slow becomes the usual only once it was told
            self._usual.append(rate)


def _conditions(run: Training) -> Hashable:
    """What a run's rate rightly depends on."""
    return run.batches.size, torch.get_num_threads(), run.statistics_every, run.batches.augment is None


def _advice(run: Training) -> dict[str, Any]:
    """What may help: fewer threads, which wait for each other whenever one of them is without a core."""
    threads = torch.get_num_threads()
    return {"threads": threads, "try": "train.threads=1"} if run.device.type == "cpu" and threads > 1 else {}
