"""Scores beside loss and accuracy, by scikit-learn's definitions, from sums over a split that stay on the device.

Quantities have R² and the root mean squared error, in the unit of the target. Classes of unequal size have the
balanced accuracy (the mean recall) and the macro F1 (the mean over classes), because a model that always says the
largest class has a high accuracy.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from descent.loop.device import for_sums
from engine.preset import schema
from engine.training import losses
from engine.training.data import Dataset

Scores = dict[str, float]  # by the name of the column; see METRICS


class Sums(Protocol):
    """Sums of M models over the batches of a split."""

    def add(self, outputs: Tensor, targets: Tensor, own: Tensor | None = None) -> None:
        """Add a batch. outputs: (M, B, K). targets: (M, B[, T]), or (B[, T]) if all models share them.

        own: (M,) bool, the models to which the samples belong; None for all.
        """

    def scores(self) -> list[Scores]:
        """Return the scores of each model. Waits for the device."""


def sums_for(loss: schema.AnyLoss, dataset: Dataset, members: int = 1) -> Sums | None:
    """Return the sums of the scores that tell something of these data, or None."""
    if isinstance(loss, schema.SurfaceLoss):
        return None  # a point on a surface predicts nothing
    if dataset.task == "regression":
        encoding = dataset.encoding
        return QuantitySums(members, None if encoding is None else encoding.target_std)
    return ClassSums(members, dataset.num_classes) if dataset.has_unequal_classes else None


class ClassSums:
    """For each class: how many samples it has, how many were predicted as it, and how many of these rightly."""

    def __init__(self, members: int, classes: int) -> None:
        self._members, self._classes = members, classes
        self._counts: Tensor | None = None  # (3, M, K)

    def add(self, outputs: Tensor, targets: Tensor, own: Tensor | None = None) -> None:
        predicted = losses.predictions(outputs)
        targets = targets.expand(predicted.shape)
        if self._counts is None:
            classes = max(self._classes, outputs.shape[-1])  # a model of the user's may have more outputs
            self._counts = torch.zeros(
                3, self._members, classes, dtype=for_sums(outputs.device), device=outputs.device
            )
        weights = torch.ones_like(predicted, dtype=for_sums(outputs.device))
        if own is not None:
            weights = weights * own.unsqueeze(1)
        right = weights * (predicted == targets)
        for row, labels, counted in zip(
            self._counts, (targets, predicted, targets), (weights, weights, right), strict=True
        ):
            row.scatter_add_(1, labels, counted)

    def scores(self) -> list[Scores]:
        if self._counts is None:
            return []
        samples, predicted, right = self._counts
        # A class without samples has no recall, and one that is neither there nor predicted has no F1.
        recall = _mean(right / samples, samples > 0)
        f1 = _mean(2 * right / (samples + predicted), samples + predicted > 0)
        names = ("balanced_accuracy", "f1")
        return [dict(zip(names, of_one, strict=True)) for of_one in torch.stack([recall, f1], dim=1).tolist()]


class QuantitySums:
    """For each target: the squared errors, and the squared distances of the targets from their mean.

    Means of batches are merged as by Chan, Golub and LeVeque (1979), which loses no digits where targets are large
    and close to each other.
    """

    def __init__(self, members: int, units: Sequence[float] | None = None) -> None:
        """units: what one of each target is in its own unit, where `data.scale_target` has changed it."""
        self._members, self._units = members, units
        self._fits = True  # whether each target has an output
        self._samples: Tensor | None = None  # (M, 1); the others (M, T)
        self._mean = self._spread = self._errors = torch.empty(0)

    def add(self, outputs: Tensor, targets: Tensor, own: Tensor | None = None) -> None:
        self._fits = self._fits and outputs.shape[-2:] == targets.shape[-2:]
        if not self._fits:
            return
        wanted = targets.to(for_sums(outputs.device)).expand(outputs.shape)
        count = torch.full(
            (self._members, 1), float(wanted.shape[1]), dtype=for_sums(outputs.device), device=outputs.device
        )
        if own is not None:
            count = count * own.unsqueeze(1)
        mean = wanted.mean(dim=1)
        spread = (wanted - mean.unsqueeze(1)).square().sum(dim=1)
        errors = (outputs.to(wanted.dtype) - wanted).square().sum(dim=1)
        if self._samples is None:
            self._samples, self._mean, self._spread, self._errors = count, mean, spread, errors
            return
        together, distance, here = self._samples + count, mean - self._mean, count > 0
        self._mean = self._mean + distance * count / together
        self._spread = self._spread + torch.where(here, spread, 0)
        self._spread = self._spread + distance.square() * self._samples * count / together
        self._errors = self._errors + torch.where(here, errors, 0)
        self._samples = together

    def scores(self) -> list[Scores]:
        if self._samples is None or not self._fits:
            return [{} for _ in range(self._members)]
        exact, constant = self._errors == 0, self._spread == 0
        # As scikit-learn has it where all targets are equal: 1 for a perfect prediction, else 0.
        r2 = torch.where(constant, exact.to(self._errors.dtype), 1 - self._errors / self._spread).mean(dim=1)
        rmse = (self._errors / self._samples).sqrt()
        if self._units is not None:
            rmse = rmse * torch.tensor(self._units, dtype=rmse.dtype, device=rmse.device)
        rmse = rmse.mean(dim=1)
        found = torch.stack([r2, rmse, self._samples[:, 0]], dim=1).tolist()
        return [{"r2": r2, "rmse": rmse} if n > 1 else {"rmse": rmse} for r2, rmse, n in found]


def _mean(values: Tensor, there: Tensor) -> Tensor:
    """Return the mean over the classes that are `there`: (M, K) -> (M,)."""
    return torch.where(there, values, 0).sum(dim=1) / there.sum(dim=1)
