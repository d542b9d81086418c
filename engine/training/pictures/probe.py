"""Access to a run's model and data that changes neither."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.checkpoint import undisturbed
from descent.loop.device import for_exact
from descent.run.folder import RunFolder
from engine.training import losses
from engine.training.data import Split
from engine.training.data.batches import Batch
from engine.training.train_state import TrainState

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Points:
    """Samples of the training and validation splits, spread evenly over both.

    inputs: (P, *features) as the model takes them. targets: as in the splits. validation: (P,) bool.
    """

    inputs: Tensor
    targets: Tensor
    validation: NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What the model says of samples of a split.

    split: its name. of: how many samples it has. samples: those that were asked. probabilities: (N, classes) float32.
    """

    split: str
    of: int
    samples: Batch
    probabilities: Tensor


@dataclass(frozen=True)
class Probe:
    """The run, for reading only, and a copy of its model in evaluation mode."""

    run: TrainState
    model: nn.Module
    folder: RunFolder | None
    _answered: dict[tuple[str, int], Answers] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def at(cls, run: TrainState, folder: RunFolder | None = None) -> Iterator["Probe"]:
        """Copy the model, and restore the random generators afterwards.

        Hooks, gradients, running statistics and whatever a user's model stores must not reach the model that trains.
        A copy takes 0.3 ms for digits-mlp. The worker makes one for measuring at the start too.
        """
        with undisturbed(run.device):
            model = copy.deepcopy(run.model)
            model.eval()
            yield cls(run, model, folder)

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs for scaled inputs: (N, *features) -> (N, K) float32, with K as the loss needs it."""

        def forward(some: Tensor) -> Tensor:
            with self.run.precision:
                return self.model(some).float()  # type: ignore[no-any-return]

        return self.run.at_once.outputs(forward, inputs)

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Return the class probabilities for scaled inputs: (N, *features) -> (N, classes) float32.

        A perceptron's are 0 or 1.
        """
        return losses.probabilities(self.outputs(inputs), self.run.preset.loss)

    def answers(self, split: str, samples: int) -> Answers:
        """Return the class probabilities for at most so many samples of a split. Asked again, it has them already."""
        if (split, samples) not in self._answered:
            name, whole = self.split(split)
            chosen = few(whole, samples)
            self._answered[split, samples] = Answers(
                name, len(whole.inputs), chosen, self.probabilities(chosen.inputs)
            )
        return self._answered[split, samples]

    def original(self, inputs: Tensor) -> Tensor:
        """Return scaled inputs in the units of the data, float64."""
        inputs = inputs.to(for_exact(self.run.device)).double()
        mean, std = self.run.dataset.mean, self.run.dataset.std
        return inputs if mean is None or std is None else inputs * std.to(inputs.device) + mean.to(inputs.device)

    def scaled(self, inputs: Tensor) -> Tensor:
        """Return inputs in the units of the data as the model takes them, float32."""
        mean, std = self.run.dataset.mean, self.run.dataset.std
        return (inputs if mean is None or std is None else (inputs - mean) / std).float().to(self.run.device)

    def split(self, name: str) -> tuple[str, Split]:
        """Return the split and its name. It is the training split if the data have no validation split."""
        data = self.run.dataset
        if name == "validation" and data.validation is not None:
            return name, data.validation
        return "train", data.train

    def points(self, most: int) -> Points:
        """Return at most `most` samples of both splits, in proportion to their sizes."""
        train, validation = self.run.dataset.train, self.run.dataset.validation
        size = len(train.inputs)
        total = size + (0 if validation is None else len(validation.inputs))
        first = few(train, max(1, round(min(most, total) * size / total)))
        if validation is None:
            return Points(first.inputs, first.targets, np.zeros(len(first.inputs), bool))
        second = few(validation, max(1, min(most, total) - len(first.inputs)))
        marks = np.repeat([False, True], [len(first.inputs), len(second.inputs)])
        return Points(torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets]), marks)

    def input_names(self) -> list[str]:
        """Return the name of each feature of a table."""
        count = self.run.dataset.input_shape[0]
        return list(self.run.dataset.input_names) or [f"x{i + 1}" for i in range(count)]

    def classes(self) -> tuple[str, ...]:
        if not self.run.dataset.classes:
            raise DescentError(_("the data have no classes"))
        return self.run.dataset.classes


def few(split: Split, most: int) -> Batch:
    """Return at most `most` samples, evenly spread. They are always the same, so that pictures can be compared."""
    count = len(split.inputs)
    if count <= most:
        return Batch(split.inputs[:], split.targets)
    rows = places_of(most, count, split.inputs.device)
    return Batch(split.inputs[rows], split.targets[rows])


def places_of(some: int, count: int, device: torch.device) -> Tensor:
    """Return the places of `some` of `count` samples as `few` chooses them."""
    return torch.arange(some, device=device) * count // max(1, some)


def host(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array on the host."""
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def words(texts: Sequence[str]) -> NDArray[np.str_]:
    return np.array(list(texts), dtype=np.str_)
