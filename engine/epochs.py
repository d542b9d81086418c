"""How a run's steps lie in epochs: a batch size that is set live makes the later ones longer or shorter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Epochs:
    """per_epoch: steps of an epoch from step `since` on, where `passed` epochs were over."""

    per_epoch: int
    since: int = 0
    passed: int = 0

    def at(self, step: int) -> float:
        """Passes over the data at a step."""
        return self.passed + max(0, step - self.since) / self.per_epoch


def resized(event: Mapping[str, Any]) -> Epochs:
    """From an event of kind batch_size on."""
    return Epochs(max(1, int(event["per_epoch"])), int(event["step"]), int(event["epoch"]))


def epochs_since(change: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> Epochs:
    """Since the last `change`, an event of kind batch_size, if any; else as `facts`, run.json, tells."""
    return resized(change) if change is not None else Epochs(max(1, int(facts["steps_per_epoch"])))


def epochs_before(step: int, events: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> Epochs:
    """As the last update before `step` was made: of a change at that very step the next one is the first to know."""
    changes = [event for event in events if event.get("event") == "batch_size" and int(event["step"]) < step]
    return epochs_since(changes[-1] if changes else None, facts)
