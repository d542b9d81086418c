"""What the best model of a run is chosen by: `train.best` of its preset, else the validation loss."""

import math
import tomllib
from collections.abc import Mapping
from typing import NamedTuple

from descent.run.folder import RunFolder
from descent.run.result_metrics import MetricName


class BestBy(NamedTuple):
    """metric: the name of a result. highest: whether its largest value is the best."""

    metric: MetricName = "val_loss"
    highest: bool = False

    def rank(self, metrics: Mapping[MetricName, float | None]) -> float:
        """Return a number that is the lower the better; infinity without one."""
        value = metrics.get(self.metric)
        return math.inf if value is None else -value if self.highest else value


def best_by(run: RunFolder) -> BestBy:
    try:
        given = tomllib.loads(run.preset.read_text(encoding="utf-8"))["train"]["best"]
        return BestBy(f"val_{given['metric']}", given["mode"] == "max")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return BestBy()
