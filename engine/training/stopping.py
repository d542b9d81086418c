"""What evaluations on the validation split decide: which model is best so far, and when to stop early."""

from dataclasses import dataclass
from typing import Any

from engine.schema import EarlyStopping


@dataclass
class Best:
    """The lowest validation loss so far, and how many evaluations have passed without a lower one."""

    settings: EarlyStopping | None
    loss: float = float("inf")
    step: int | None = None
    waited: int = 0

    def observe(self, loss: float, step: int) -> bool:
        """True where this is the best model so far. NaN never is."""
        margin = self.settings.min_delta if self.settings else 0.0
        if loss < self.loss - margin:
            self.loss, self.step, self.waited = loss, step, 0
            return True
        self.waited += 1
        return False

    def forget(self) -> None:
        """The model that was the best was none: no other is known."""
        self.loss, self.step = float("inf"), None

    def patience_is_over(self) -> bool:
        return self.settings is not None and self.waited >= self.settings.patience

    def state(self) -> dict[str, Any]:
        return {"loss": self.loss, "step": self.step, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.loss, self.step, self.waited = state["loss"], state["step"], state["waited"]
