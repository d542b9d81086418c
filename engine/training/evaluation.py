"""Loss and accuracy on a split that is not trained on, the best model so far, and early stopping."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.common.numbers import metric
from descent.common.text import show
from descent.loop.checkpoint import undisturbed
from descent.loop.device import for_sums
from descent.run.result_metrics import Split as SplitName
from descent.run.result_metrics import score_words, values_on
from engine.preset.schema import BestBy, EarlyStopping
from engine.training import losses
from engine.training.at_once import AtOnce
from engine.training.data import Split
from engine.training.scores import Scores, Sums


@dataclass(frozen=True)
class Evaluation:
    loss: float
    accuracy: float | None  # None for regression
    scores: Scores = field(default_factory=dict)


def nothing() -> None:
    """Do nothing: the default for what is called between two batches."""


class HasModes(Protocol):
    """A model, or several as one object."""

    @property
    def training(self) -> bool: ...

    def train(self, mode: bool) -> Any: ...


@contextmanager
def evaluating(model: HasModes, device: torch.device) -> Iterator[None]:
    """Use the model in evaluation mode inside the block. Draws there, by a user's model, do not change the run."""
    training = model.training
    with undisturbed(device):
        model.train(False)
        try:
            yield
        finally:
            model.train(training)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    split: Split,
    precision: AbstractContextManager[None],
    at_once: AtOnce,
    between: Callable[[], None] = nothing,
    sums: Sums | None = None,
) -> Evaluation:
    """Return the mean loss, the share of right answers, and the scores of `sums`, over `split`.

    The run goes on as if it had not been evaluated. at_once: how many samples to take at once. between: called after
    each batch.
    """
    counts_right = not split.targets.is_floating_point()
    total = torch.zeros(2, device=split.inputs.device, dtype=for_sums(split.inputs.device))
    with evaluating(model, split.inputs.device):

        def add(first: int, last: int) -> None:
            inputs, targets = split.inputs[first:last], split.targets[first:last]
            with precision:
                outputs = model(inputs)
                loss = criterion(outputs, targets)
            # Counted as whole numbers, so 163/180 is exact.
            right = (losses.predictions(outputs) == targets).sum() if counts_right else 0
            if sums is not None:
                sums.add(outputs.unsqueeze(0), targets)
            total[0] += loss.to(total.dtype) * len(targets)
            total[1] += right

        with precision:
            at_once.settle(model, split.inputs)
        for _done in at_once.over(len(split.inputs), add):
            between()
    loss_sum, right = (total / len(split.inputs)).tolist()
    return Evaluation(loss_sum, right if counts_right else None, sums.scores()[0] if sums is not None else {})


def values_of(result: Evaluation) -> dict[str, float]:
    """Return the values of an evaluation as its event holds them."""
    accuracy = {} if result.accuracy is None else {"accuracy": result.accuracy}
    return {"loss": result.loss, **accuracy, **result.scores}


def described(reached: Mapping[str, float], split: SplitName, *, brief: bool = False) -> str:
    """Return "0.123, 97.4%" or "0.123, R² 0.95, RMSE 2.10": the loss, and what else was measured.

    brief: with one number beside the loss.
    """
    values = values_on(reached, split)
    words = [metric(name, values[name]) for name in ("loss", "accuracy") if name in values] + score_words(values)
    return ", ".join(words[:2] if brief else words)


@dataclass
class Best:
    """The lowest validation loss so far, and early stopping's patience.

    by: another metric to go by; then `loss` and `reference` are its values, negated if the largest is the best.
    reference: the loss that a later one must fall below by `min_delta` to renew the patience. waited: evaluations
    since then.
    """

    settings: EarlyStopping | None
    by: BestBy | None = None
    loss: float = float("inf")
    step: int | None = None
    waited: int = 0
    reference: float = float("inf")

    def observe(self, loss: float, step: int) -> bool:
        """Take note of a loss. Returns whether this is the best model so far. A NaN never is."""
        margin = self.settings.min_delta if self.settings else 0.0
        if loss < self.reference - margin:
            self.reference, self.waited = loss, 0
        else:
            self.waited += 1
        if loss < self.loss:
            self.loss, self.step = loss, step
            return True
        return False

    @property
    def chooses(self) -> bool:
        """Return whether the best model is the one that is tested, and not the last one."""
        return self.settings is not None or self.by is not None

    def score(self, result: Evaluation) -> float:
        """Return the number of an evaluation that is gone by: the lower the better.

        Raises PresetError if it has no such number.
        """
        if self.by is None:
            return result.loss
        values = values_of(result)
        if self.by.metric not in values:
            raise PresetError(
                _(
                    "train.best.metric = {given}: the evaluations of this run have no such number; "
                    "they have: {names}",
                    given=show(self.by.metric),
                    names=", ".join(values),
                )
            )
        value = values[self.by.metric]
        return -value if self.by.mode == "max" else value

    def forget(self) -> None:
        """Forget the best model: it turned out to be broken or is lost, and no other is known."""
        self.loss, self.step, self.reference = float("inf"), None, float("inf")

    def patience_is_over(self) -> bool:
        return self.settings is not None and self.waited >= self.settings.patience

    def state(self) -> dict[str, Any]:
        return {"loss": self.loss, "step": self.step, "waited": self.waited, "reference": self.reference}

    def restore(self, state: dict[str, Any]) -> None:
        self.loss, self.step, self.waited = state["loss"], state["step"], state["waited"]
        self.reference = state.get("reference", self.loss)  # a checkpoint of Descent 0.1 has none
