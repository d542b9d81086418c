"""K folds of the samples that train: who trains and validates on which, and the scaling of each fold."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from descent.common.errors import DataError, PresetError
from engine.preset import schema
from engine.training.data import synthetic
from engine.training.data.dataset import Dataset, Split
from engine.training.data.load import name_of, read_samples
from engine.training.data.preprocess import Scale, fit, place, targets_of
from engine.training.data.randomness import Purpose, stream
from engine.training.data.splits import plan

Rows = NDArray[np.int64]


class Fold(NamedTuple):
    """Rows of the samples, in ascending order; together they are all."""

    train: Rows
    validation: Rows


def folds(labels: NDArray[np.int64] | None, samples: int, count: int, seed: int) -> tuple[list[Fold], list[str]]:
    """`count` folds in which each sample validates once; with the classes' shares where there are labels (N,).

    Their sizes differ by one at most. Returns also what there is to say about it. DataError where there are too few
    samples.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if not 2 <= count <= samples:
        raise DataError(f"members.folds = {count}: with {samples} samples there can be 2 to {samples} folds")
    generator = stream(seed, Purpose.VALIDATION)
    notes = []
    if labels is None:
        parts = KFold(count, shuffle=True, random_state=generator).split(np.zeros(samples))
    else:
        fewest = int(np.bincount(labels)[np.unique(labels)].min())
        if np.bincount(labels).max() < count:
            parts = KFold(count, shuffle=True, random_state=generator).split(labels)
            notes.append(f"folds not stratified: no class has {count} samples")
        else:
            parts = StratifiedKFold(count, shuffle=True, random_state=generator).split(labels, labels)
            if fewest < count:
                notes.append(
                    f"a class has {fewest} samples, fewer than the {count} folds: some do not validate on it"
                )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which says what the note says
        made = [Fold(np.sort(train), np.sort(validation)) for train, validation in parts]
    return made, notes


class Scaling(NamedTuple):
    """scaled = (x − mean) / std of each fold. mean, std: (M, 1, *shape that broadcasts over a sample) float32."""

    mean: Tensor
    std: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """(M, B, *features), or (B, *features) of the same samples for all -> (M, B, *features)"""
        return (inputs - self.mean) / self.std


@dataclass(frozen=True)
class Folds:
    """Of each member: the rows of the pool that it trains on and validates on, (n,) int64 on the device.

    whole: how all samples were scaled, for samples that were not among them. scaling: each fold's own, on top.
    """

    train: list[Tensor]
    validation: list[Tensor]
    whole: Scale | None
    scaling: Scaling | None

    def for_members(self, chosen: Sequence[int]) -> "Folds":
        """As many folds as members, who train on these ones."""
        own = self.scaling
        if own is not None:
            rows = torch.tensor(list(chosen), device=own.mean.device)
            own = Scaling(own.mean[rows], own.std[rows])
        return Folds([self.train[n] for n in chosen], [self.validation[n] for n in chosen], self.whole, own)

    def dataset_of(self, member: int, pool: Dataset) -> Dataset:
        """What one member sees, as a data set of its own. pool: the samples of all."""

        def split(samples: Split | None, rows: Tensor | None) -> Split | None:
            if samples is None:
                return None
            inputs, targets = samples if rows is None else Split(samples.inputs[rows], samples.targets[rows])
            if self.scaling is not None:
                inputs = (inputs - self.scaling.mean[member]) / self.scaling.std[member]
            return Split(inputs, targets)

        train = split(pool.train, self.train[member])
        assert train is not None
        mean, std = pool.mean, pool.std
        if self.whole is not None and self.scaling is not None:
            own_mean, own_std = self.scaling.mean[member, 0], self.scaling.std[member, 0]
            mean, std = self.whole.mean.float() + self.whole.std.float() * own_mean, self.whole.std.float() * own_std
        validation = split(pool.train, self.validation[member])
        return replace(pool, train=train, validation=validation, test=split(pool.test, None), mean=mean, std=std)


def scaling(inputs: Tensor, train: list[Rows], kind: str) -> tuple[Tensor, Scale | None, Scaling | None]:
    """The inputs of all folds, float32; how they were scaled as a whole; and each fold's own scaling, by its part.

    inputs: (N, *features), unscaled, float64 or, of images, float32. What comes first is a scaling by statistics of
    all of them, in which nothing is lost and no fold learns of another: each fold's own scaling undoes it. It
    keeps the digits of large, close numbers, which float32 would lose. One copy of the inputs serves all folds.
    """
    if kind == "none":
        return inputs.float(), None, None
    whole = fit(inputs, "standard")
    assert whole is not None
    inputs = (inputs - whole.mean) / whole.std
    own = [fit(inputs[torch.from_numpy(rows).to(inputs.device)], kind) for rows in train]
    mean = torch.stack([of_one.mean for of_one in own if of_one is not None]).unsqueeze(1)
    std = torch.stack([of_one.std for of_one in own if of_one is not None]).unsqueeze(1)
    return inputs.float(), whole, Scaling(mean.float(), std.float())


_OF_TRAINING_ALONE = ("noise", "random_labels", "outliers")  # what is done to samples that train, and only to them


def load_pool(
    section: schema.AnyData, count: int, *, root: Path, device: torch.device, code: Callable[[str], Any] | None
) -> tuple[Dataset, Folds]:
    """The data of a section in `count` folds; `train` and `validation` of the Dataset are the samples of all.

    `data.validation` is not used: every sample validates once. The test split, where there is one, is that of a run
    without folds. Errors as load has them.
    """
    for key in _OF_TRAINING_ALONE:
        if getattr(section, key, 0) and not (key == "noise" and isinstance(section, synthetic.Made)):
            raise PresetError(
                f"members.folds with data.{key}: it changes samples that train, and with folds each of them "
                "validates, too; leave one of the two out"
            )
    with_all = section.model_copy(update={"validation": 0.0})
    samples = read_samples(with_all, root, device, code)
    split = plan(with_all, samples)
    labels = samples.targets[split.train] if samples.is_classification else None
    parts, notes = folds(labels, len(split.train), count, section.seed)
    inputs, whole, own = scaling(
        place(samples.inputs, split.train, device), [fold.train for fold in parts], section.scaling
    )
    pool = Split(inputs, targets_of(samples.targets[split.train], device))
    test_inputs, test_targets, test_rows = samples.inputs, samples.targets, split.test
    if samples.test is not None:
        test_inputs, test_targets = samples.test
        test_rows = np.arange(len(test_targets), dtype=np.int64)
    test = None
    if len(test_rows):
        test = Split(
            _scaled(place(test_inputs, test_rows, device), whole), targets_of(test_targets[test_rows], device)
        )
    dataset = Dataset(
        name=name_of(section),
        task="classification" if samples.is_classification else "regression",
        train=pool,
        validation=pool,
        test=test,
        classes=samples.classes,
        input_names=samples.input_names,
        mean=None,
        std=None,
        notes=(*samples.notes, *split.notes, *notes),
    )
    rows = [(_on(fold.train, device), _on(fold.validation, device)) for fold in parts]
    return dataset, Folds([train for train, _ in rows], [held for _, held in rows], whole, own)


def _on(rows: Any, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(rows).to(device)


def _scaled(inputs: torch.Tensor, whole: Scale | None) -> torch.Tensor:
    return (inputs if whole is None else (inputs - whole.mean) / whole.std).float()
