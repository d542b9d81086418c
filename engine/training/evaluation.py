"""Loss and accuracy of a model on a split it does not learn from, which model is best, and when to stop early."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.numbers import metric
from engine.preset.schema import EarlyStopping
from engine.training import losses
from engine.training.data import Split
from engine.training.data.batches import in_order

BATCH = 1024  # samples at a time: what memory allows on small GPUs, and large enough to be quick


@dataclass(frozen=True)
class Evaluation:
    loss: float
    accuracy: float | None  # None for regression


def nothing() -> None:
    """What there is to do between two batches, where nobody is attended to."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    split: Split,
    precision: AbstractContextManager[None],
    between: Callable[[], None] = nothing,
) -> Evaluation:
    """Mean loss and share of right answers over `split`. Draws no random number: the run goes on as if it had
    not been looked at. between: called after each batch."""
    counts_right = not split.targets.is_floating_point()
    total = torch.zeros(2, device=split.inputs.device, dtype=torch.float64)
    training = model.training
    model.eval()
    try:
        for batch in in_order(split, BATCH):
            with precision:
                outputs = model(batch.inputs)
                loss = criterion(outputs, batch.targets)
            total[0] += loss.double() * len(batch.targets)
            if counts_right:
                total[1] += (losses.predictions(outputs) == batch.targets).sum()  # whole numbers: 163/180, exactly
            between()
    finally:
        model.train(training)
    loss_sum, right = (total / len(split.inputs)).tolist()
    return Evaluation(loss_sum, right if counts_right else None)


def values_of(result: Evaluation) -> dict[str, float]:
    """What an event of an evaluation holds."""
    values = {"loss": result.loss}
    return values if result.accuracy is None else values | {"accuracy": result.accuracy}


def described(reached: dict[str, float], split: str) -> str:
    """0.123, 97.4%: the loss, and the accuracy where there is one."""
    return ", ".join(
        metric(name, reached[name]) for name in (f"{split}_loss", f"{split}_accuracy") if name in reached
    )


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
