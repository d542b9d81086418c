"""Which evaluation of a loop is the best, by a metric that its script has named."""

import math
from collections.abc import Mapping
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import show
from descent.run.result_metrics import is_free
from descent.run.scalars import check_name


class BestEvaluation:
    """The best evaluation on the validation split so far.

    step: at which it was; None before one. by: what `descent.init(best=…)` was given, as the run's settings have it.
    """

    def __init__(self, by: Mapping[str, Any] | None = None) -> None:
        """by: {"metric": NAME, "mode": "min" | "max"}, or None to choose nothing. Raises DescentError otherwise."""
        self.step: int | None = None
        self._value: float | None = None
        if by is not None and not (
            isinstance(by, Mapping) and set(by) == {"metric", "mode"} and by["mode"] in ("min", "max")
        ):
            raise DescentError(
                _('best = {given}: must be {{"metric": "f1", "mode": "max"}}, or with "min"', given=show(by))
            )
        if by is not None and not is_free(check_name(by["metric"])):
            raise DescentError(_("{name}: this name can't be a metric's; take another one", name=by["metric"]))
        self.by = None if by is None else {"metric": str(by["metric"]), "mode": str(by["mode"])}

    @property
    def is_missed(self) -> bool:
        """Return whether no evaluation has told the metric."""
        return self.by is not None and self._value is None

    def observe(self, numbers: Mapping[str, float], step: int) -> bool:
        """Take note of an evaluation. Returns whether it is the best so far; NaN never is."""
        if self.by is None or self.by["metric"] not in numbers:
            return False
        value = numbers[self.by["metric"]]
        before = self._value
        is_better = before is None or (value > before if self.by["mode"] == "max" else value < before)
        if math.isnan(value) or not is_better:
            return False
        self._value, self.step = value, step
        return True

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "value": self._value}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step, self._value = state["step"], state.get("value")
