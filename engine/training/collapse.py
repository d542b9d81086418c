"""Notes that a model has broken although its numbers are finite: a learning rate that is too large does that.

Two signs, each for LASTS steps in a row:

- the loss is FAR times as high as it was before the first update, or it had fallen and has gone back BACK of the way;
- no unit of a layer passes a gradient any more (`dead` is 1), so that the layer learns nothing.

It is told once, with the step at which it began, and once more when it is over.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

LASTS = 50  # steps: a jump that is soon mended is a spike
FAR = 2.0
BACK = 0.9
FALLEN = 0.8  # of the starting loss: from higher up, a way back is too short to be told from noise
ALL = 0.999  # share of units that is all of them


class Collapse:
    """Fed with what `LossWatch` sees of a run of one model; tells by `write(event, **values)`.

    since: the step at which the present one began; None while the model is whole.
    """

    def __init__(self, start: float | None, lowest: float, write: Callable[..., Any]) -> None:
        """start: the loss before the first update, where it is known. lowest: of the averages so far."""
        self._start, self._lowest, self._write = start, lowest, write
        self._high: int | None = None  # the step at which the loss began to be too high
        self._low: int | None = None  # the step from which on it has not been
        self._dead: dict[str, int] = {}  # layers without a live unit: the step at which that was first seen
        self.since: int | None = None

    def loss(self, first: int, step: int, average: float) -> None:
        """The mean loss of the steps from `first` to before `step`."""
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
        """shares: of each layer, of its units that pass no gradient; NaN where none was measured."""
        for name, share in shares.items():
            if share < ALL:
                self._dead.pop(name, None)
            elif not math.isnan(share):
                since = self._dead.setdefault(name, step)
                if step - since >= LASTS:
                    self._tell(since, step, why="dead", layer=name)

    def _limit(self) -> float | None:
        """The loss from which on it is too high; None where that can't be said."""
        if self._start is None or not self._start > 0:
            return None
        if self._lowest <= FALLEN * self._start:
            return self._lowest + BACK * (self._start - self._lowest)
        return FAR * self._start

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
