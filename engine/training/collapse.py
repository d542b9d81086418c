"""Detection of a collapsed model, which is broken although its numbers are finite.

Mostly the learning rate is too large. A collapse shows one of two signs for LASTS steps in a row:

- The loss is FAR times as high as before the first update, or it had fallen and has gone back BACK of the way. The
  first batch may have had a low loss by chance, so that the loss of a constant model counts where that is higher.
- No unit of a layer passes a gradient any more (`dead` is 1), so that the layer learns nothing.

It is reported once, with the step at which it began, and once more when it is over.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

LASTS = 50  # steps; a jump that is over sooner is a spike
FAR = 2.0
BACK = 0.9
FALLEN = 0.8  # of the starting loss; a smaller fall can't be told from noise
ALL = 0.999  # share of units that counts as all of them


class Collapse:
    """Detects a collapse of a run of one model from what `LossWatch` gives it. Reports by `write(event, **values)`.

    since: the step at which the current collapse began; None without one.
    """

    def __init__(self, start: float | None, lowest: float, write: Callable[..., Any], constant: float = 0.0) -> None:
        """start: the loss before the first update, None if unknown. lowest: the lowest average so far.

        constant: the loss of a model that knows the mean of the targets and nothing else, 0 if unknown.
        """
        self._constant = constant
        self._start, self._lowest, self._write = start, lowest, write
        self._high: int | None = None  # the step at which the loss began to be too high
        self._low: int | None = None  # the step since which it has not been too high
        self._dead: dict[str, int] = {}  # layers without a live unit, and the step at which that was first seen
        self.since: int | None = None

    def loss(self, first: int, step: int, average: float) -> None:
        """Take the mean loss of the steps from `first` to before `step`."""
        limit = self._limit()
        if limit is None or average < limit:
            self._high, self._low = None, first if self._low is None else self._low
            self._lowest = min(self._lowest, average)
            self._look_for_end(self._low, step)
            return
        self._high, self._low = first if self._high is None else self._high, None
        if step - self._high >= LASTS:
            self._tell(self._high, step, why="loss", loss=average, start=self._start, lowest=self._known_lowest)

    def dead(self, step: int, shares: Mapping[str, float]) -> None:
        """Take each layer's share of units that pass no gradient. NaN if it was not measured."""
        for name, share in shares.items():
            if share < ALL:
                self._dead.pop(name, None)
            elif not math.isnan(share):
                since = self._dead.setdefault(name, step)
                if step - since >= LASTS:
                    self._tell(since, step, why="dead", layer=name)

    def state(self) -> dict[str, Any]:
        """Return what it has seen so far, in plain containers, for a checkpoint."""
        return {
            "start": self._start,
            "lowest": self._lowest,
            "high": self._high,
            "low": self._low,
            "dead": dict(self._dead),
            "since": self.since,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._start, self._lowest = state["start"], state["lowest"]
        self._high, self._low = state["high"], state["low"]
        self._dead, self.since = dict(state["dead"]), state["since"]

    def _limit(self) -> float | None:
        """Return the loss above which the model counts as collapsed, or None if it is not known."""
        if self._start is None or not self._start > 0:
            return None
        start = max(self._start, self._constant)
        if self._lowest <= FALLEN * start:
            return self._lowest + BACK * (start - self._lowest)
        return FAR * start

    @property
    def _known_lowest(self) -> float | None:
        return self._lowest if math.isfinite(self._lowest) else None

    def _tell(self, since: int, step: int, **values: Any) -> None:
        if self.since is None:
            self.since = since
            self._write("collapse", step=step, since=since, **values)

    def _look_for_end(self, low: int, step: int) -> None:
        if self.since is not None and not self._dead and step - low >= LASTS:
            self.since = None
            self._write("recovered", step=step)
