"""The learning rates that a loop's own scheduler will have, as its process has foreseen them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from descent.common.arrays import Floats


@dataclass(frozen=True)
class ForeseenRates:
    """The rates from a step on, unless somebody changes them.

    at: (n,) steps, ascending. rates: (n,), straight between two steps. hand: `lr_scale`, which multiplies them.
    """

    at: Floats
    rates: Floats
    hand: float

    @classmethod
    def of(cls, event: Mapping[str, Any] | None, hand: float) -> "ForeseenRates | None":
        """Return what the latest event of kind `rates` tells. None where nothing is foreseen."""
        if event is None or not event.get("at") or len(event["at"]) != len(event.get("rates", ())):
            return None
        return cls(np.array(event["at"], np.float64), np.array(event["rates"], np.float64), hand)

    @property
    def total_steps(self) -> int:
        return int(self.at[-1]) + 1

    def rate(self, step: int) -> float:
        """Return the learning rate of update `step`."""
        return float(np.interp(step, self.at, self.rates)) * self.hand
