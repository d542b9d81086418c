"""How the steps of a run lie in epochs, which a change of the batch size in its log may alter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RECENT = 100  # steps whose mean is the training loss of a live run, and of a loop without epochs


@dataclass(frozen=True)
class Epochs:
    """The length of an epoch from step `since` on, where `passed` epochs were over.

    per_epoch: steps of an epoch. size, last: samples in a batch, and in the last batch of an epoch; both are None in
    the files of an older Descent.
    """

    per_epoch: int
    since: int = 0
    passed: int = 0
    size: int | None = None
    last: int | None = None

    def at(self, step: int) -> float:
        """Return the passes over the data at a step."""
        return self.passed + max(0, step - self.since) / self.per_epoch


def resized(event: Mapping[str, Any]) -> Epochs:
    """Return the epochs from an event of kind batch_size on."""
    size = event.get("size") if "last_batch" in event else None
    since, passed = int(event["step"]), int(event["epoch"])
    return Epochs(max(1, int(event["per_epoch"])), since, passed, size, event.get("last_batch"))


def epochs_since(change: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> Epochs | None:
    """Return the epochs since `change`, the last event of kind batch_size. Without one, those of `facts`, run.json.

    None if neither is known: a fork has the rows of its parent before it has a run.json.
    """
    if change is not None:
        return resized(change)
    if not facts.get("steps_per_epoch"):
        return None
    return Epochs(max(1, int(facts["steps_per_epoch"])), size=facts.get("batch_size"), last=facts.get("last_batch"))


def epochs_before(step: int, events: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> Epochs | None:
    """Return the epochs that the last update before `step` belonged to. A change at that very step comes after it."""
    changes = [event for event in events if event.get("event") == "batch_size" and int(event["step"]) < step]
    return epochs_since(changes[-1] if changes else None, facts)
