"""The x axis of a run's curves: steps as they are, as epochs, or as seconds of training."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.epochs import epochs_since
from engine.follow import Follower, rising
from engine.follow.pyramid import Pyramid, Steps
from tui.reading.digest import digest_of

XMode = Literal["step", "epoch", "time"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """Steps as x: themselves, epochs, or seconds of training."""

    mode: XMode
    breaks: tuple[Floats, Floats] | None = None  # steps and the epochs they lie at
    time: Pyramid | None = None

    def at(self, steps: NDArray[Any]) -> Floats:
        """The x of each step."""
        steps = np.asarray(steps, np.float64)
        if self.mode == "epoch" and self.breaks is not None:
            epochs: Floats = np.interp(steps, *self.breaks)
            return epochs
        if self.mode == "time" and self.time is not None:
            return np.nan_to_num(rising.take(self.time, steps.astype(np.int64)).astype(np.float64))
        return steps

    def steps(self, xs: Floats) -> Steps:
        """The first step at or behind each x."""
        if self.mode == "epoch" and self.breaks is not None:
            return np.ceil(np.interp(xs, self.breaks[1], self.breaks[0]) - 1e-6).astype(np.int64)
        if self.mode == "time" and self.time is not None:
            return rising.search(self.time, xs)
        return np.ceil(xs - 1e-6).astype(np.int64)


def scale(follower: Follower, mode: XMode) -> Scale:
    """How the run's steps lie on an x axis of that kind; by step where nothing else is known yet."""
    if mode == "epoch":
        breaks = _epochs(follower)
        return Scale("epoch", breaks) if breaks is not None else Scale("step")
    if mode == "time":
        return Scale("time", time=follower.series("time"))
    return Scale("step")


def _epochs(follower: Follower) -> tuple[Floats, Floats] | None:
    """Steps and the epochs they lie at: an epoch has fewer steps once the batch is larger."""
    if not follower.facts.get("steps_per_epoch"):
        return None
    changes = digest_of(follower).epochs
    last = changes[-1] if changes else epochs_since(None, follower.facts)
    steps, epochs = [0], [0.0]
    for change in changes:
        if change.since > steps[-1]:
            steps.append(change.since)
            epochs.append(change.passed)
    beyond = 10**12  # no run is longer: the last stretch goes on
    return np.array([*steps, beyond], np.float64), np.array([*epochs, last.at(beyond)], np.float64)


def total_steps(follower: Follower) -> int | None:
    """The run's last step as planned now."""
    total = digest_of(follower).total_steps or follower.facts.get("total_steps")
    return int(total) if total else None
