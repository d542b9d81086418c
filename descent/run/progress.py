"""How far a run is, and where it tells so while it trains."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from descent.run.state import State


@dataclass(frozen=True)
class Progress:
    """The numbers of this moment. candidate: of a sweep, the name of the best one so far, whose numbers they are."""

    step: int = 0
    total_steps: int = 0
    epoch: int = 0  # the one under way, from 1
    epochs: int | None = None
    steps_per_second: float | None = None
    lr: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    grad_norm: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    candidate: str = ""
    is_paused: bool = False

    @property
    def eta(self) -> float | None:
        """Seconds of training to go: what evaluations and pauses took does not count. None while it is paused."""
        if not self.steps_per_second or self.is_paused:
            return None
        return (self.total_steps - self.step) / self.steps_per_second


class Display(Protocol):
    """Where a worker tells of its run. No method waits."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def doing(self, what: str) -> None:
        """Show what the worker does before it trains. what: in the current language."""

    def watch(self, progress: Callable[[], Progress]) -> None:
        """Show from now on what `progress` returns. It is called from another thread."""


@dataclass(frozen=True)
class Ending:
    """The end of a worker's training. receipt: the checkpoint written last. cpu_seconds: as Clock counts them."""

    exit_code: int
    state: State
    receipt: Path | None = None
    error: str | None = None
    cpu_seconds: float | None = None
