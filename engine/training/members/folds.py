"""The samples of each member: the rows of its fold, on which it trains and validates, or those drawn for it."""

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
from descent.common.i18n import _
from descent.loop.device import give_back_unused
from engine.preset import schema
from engine.training.data import synthetic
from engine.training.data.dataset import Array, Dataset, Inputs, Samples, Split
from engine.training.data.fingerprint import fingerprint_of, of_inputs
from engine.training.data.kept_inputs import KeptInputs, Scale, scaled, settled, subset
from engine.training.data.load import name_of, read_samples
from engine.training.data.preprocess import are_bytes, fit, held_out, keep, targets_of
from engine.training.data.randomness import Purpose, stream
from engine.training.data.splits import plan
from engine.training.packages import needed

Rows = NDArray[np.int64]
_OF_TRAINING_ALONE = ("noise", "random_labels", "outliers")  # changes of training samples only


class Fold(NamedTuple):
    """Rows of the samples, in ascending order. Together they are all rows."""

    train: Rows
    validation: Rows


def folds(labels: NDArray[np.int64] | None, samples: int, count: int, seed: int) -> tuple[list[Fold], list[str]]:
    """Return `count` folds in which each sample validates once, and notes for the user.

    labels: (N,) to keep the classes' shares, or None. The sizes of the folds differ by one at most. Raises DataError
    if there are too few samples.
    """
    with needed("scikit-learn", f"members.folds = {count}"):
        from sklearn.model_selection import KFold, StratifiedKFold

    if not 2 <= count <= samples:
        raise DataError(
            _(
                "members.folds = {count}: with {samples} samples there can be 2 to {samples} folds",
                count=count,
                samples=samples,
            )
        )
    generator = stream(seed, Purpose.VALIDATION)
    notes = []
    if labels is None:
        parts = KFold(count, shuffle=True, random_state=generator).split(np.zeros(samples))
    else:
        fewest = int(np.bincount(labels)[np.unique(labels)].min())
        if np.bincount(labels).max() < count:
            parts = KFold(count, shuffle=True, random_state=generator).split(labels)
            notes.append(_("folds not stratified: no class has {count} samples", count=count))
        else:
            parts = StratifiedKFold(count, shuffle=True, random_state=generator).split(labels, labels)
            if fewest < count:
                notes.append(
                    _(
                        "a class has {fewest} samples, fewer than the {count} folds: some folds do not validate on "
                        "it",
                        fewest=fewest,
                        count=count,
                    )
                )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the note says the same
        made = [Fold(np.sort(train), np.sort(validation)) for train, validation in parts]
    return made, notes


class Scaling(NamedTuple):
    """The scaling of each fold, scaled = (x − mean) / std.

    mean, std: (M, 1, *shape), broadcast over a sample, float32.
    """

    mean: Tensor
    std: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """Scale inputs, (M, B, *features), or (B, *features) if all have the same samples -> (M, B, *features)."""
        return (inputs - self.mean) / self.std


@dataclass(frozen=True)
class Folds:
    """The rows of the pool that each member trains and validates on, (n,) int64 on the device.

    validation: None if they are no folds, and all members validate on the data's own split.
    whole: the scaling of all samples, for samples outside of the pool. scaling: of each fold, applied after it.
    """

    train: list[Tensor]
    validation: list[Tensor] | None
    whole: Scale | None
    scaling: Scaling | None

    def for_members(self, chosen: Sequence[int]) -> "Folds":
        """Return one fold for each member. chosen: the number of each member's fold."""
        own = self.scaling
        if own is not None:
            rows = torch.tensor(list(chosen), device=own.mean.device)
            own = Scaling(own.mean[rows], own.std[rows])
        held = None if self.validation is None else [self.validation[n] for n in chosen]
        return Folds([self.train[n] for n in chosen], held, self.whole, own)

    def scale_of(self, member: int) -> Scale | None:
        """Return the scaling of one member's samples, both steps in one. None without scaling."""
        if self.whole is None or self.scaling is None:
            return None
        own_mean, own_std = (each[member, 0].to(self.whole.mean.device) for each in self.scaling)
        return Scale(self.whole.mean + self.whole.std * own_mean, self.whole.std * own_std)

    def dataset_of(self, member: int, pool: Dataset) -> Dataset:
        """Return the data of one member as a data set of its own. pool: the samples of all."""

        def split(samples: Split | None, rows: Tensor | None) -> Split | None:
            if samples is None:
                return None
            inputs, targets = samples
            if rows is not None:
                inputs, targets = subset(inputs, rows), targets[rows]
            own = None if self.scaling is None else Scale(self.scaling.mean[member], self.scaling.std[member])
            return Split(scaled(inputs, own), targets)

        train = split(pool.train, self.train[member])
        assert train is not None
        if self.validation is None:
            return replace(pool, train=train)
        scale = self.scale_of(member)
        mean, std = (None, None) if scale is None else scale
        validation = split(pool.train, self.validation[member])
        return replace(pool, train=train, validation=validation, test=split(pool.test, None), mean=mean, std=std)


def scaling(inputs: KeptInputs, train: list[Rows], kind: str) -> tuple[KeptInputs, Scale | None, Scaling | None]:
    """Return the inputs of all folds as a split holds them, their common scaling, and that of each fold.

    The scaling of a fold is by its training part. inputs: (N, *features), unscaled, float64 or, for images, float32
    or bytes. They are first scaled by statistics of all of them. This keeps the digits of large, close numbers, which
    float32 would lose. No fold learns of another by it, because each fold's own scaling undoes it. All folds share
    one copy of the inputs.
    """
    if kind == "none":
        return settled(inputs, inputs.device), None, None
    whole = fit(inputs, "standard")
    assert whole is not None
    inputs = scaled(inputs, whole)
    numbers = inputs[:]
    # A feature that is constant in one fold keeps the unit of the data, as it would in a run on that fold alone.
    own = [fit(numbers[torch.from_numpy(rows).to(numbers.device)], kind, 1 / whole.std) for rows in train]
    mean = torch.stack([of_one.mean for of_one in own if of_one is not None]).unsqueeze(1)
    std = torch.stack([of_one.std for of_one in own if of_one is not None]).unsqueeze(1)
    return settled(inputs, inputs.device), whole, Scaling(mean.float(), std.float())


def load_pool(
    section: schema.AnyData, count: int, *, root: Path, device: torch.device, code: Callable[[str], Any] | None
) -> tuple[Dataset, Folds]:
    """Return the data of a section in `count` folds. `train` and `validation` of the Dataset hold all samples.

    `data.validation` is not used, because every sample validates once; the data's own validation split joins the
    training samples. The test split is the same as in a run without folds. Raises the errors of `load`.
    """
    for key in _OF_TRAINING_ALONE:
        if getattr(section, key, 0) and not (key == "noise" and isinstance(section, synthetic.Made)):
            raise PresetError(
                _(
                    "members.folds with {key}: {key} changes training samples, but with folds each of them also "
                    "validates; leave one of the two out",
                    key=f"data.{key}",
                )
            )
    with_all = section.model_copy(update={"validation": 0.0})
    samples = _with_own_validation(read_samples(with_all, root, device, code))
    split = plan(with_all, samples)
    samples = samples.fitted(split.train)
    labels = samples.targets[split.train] if samples.is_classification else None
    parts, notes = folds(labels, len(split.train), count, section.seed)
    if samples.encoding is not None and samples.encoding.has_means:
        notes.append(
            _(
                "members.folds: what fills missing cells and scales the targets is of all samples but the test's; "
                "inputs are scaled by each fold's own training part"
            )
        )
    inputs, whole, own = scaling(
        keep(section, samples.inputs, split.train, device, exact=True),
        [fold.train for fold in parts],
        section.scaling,
    )
    give_back_unused()  # of bytes, the numbers to fit the scaling by
    pool = Split(settled(inputs, device), targets_of(samples.targets[split.train], device))
    own = None if own is None else Scaling(own.mean.to(device), own.std.to(device))
    test_inputs, test_targets, test_rows = held_out(samples, samples.test, split.test)
    test = None
    if len(test_rows):
        test = Split(
            settled(scaled(keep(section, test_inputs, test_rows, device, exact=True), whole), device),
            targets_of(test_targets[test_rows], device),
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
        notes=(*samples.notes, *samples.read_notes(), *split.notes, *notes),
        fingerprint=fingerprint_of(section, samples),
        are_bytes=are_bytes(samples.inputs),
        deep_range=samples.read_range(),
        encoding=samples.encoding,
        rows_left_out=samples.rows_left_out,
    )
    rows = [(_on(fold.train, device), _on(fold.validation, device)) for fold in parts]
    return dataset, Folds([train for train, _ in rows], [held for _, held in rows], whole, own)


def drawn(dataset: Dataset, count: int, seeds: Sequence[int]) -> Folds:
    """Return `count` training samples for each member, drawn without repetition for its seed.

    Raises PresetError if there are fewer. Inputs stay scaled by all training samples.
    """
    there = len(dataset.train.inputs)
    if count > there:
        raise PresetError(
            _(
                "members.samples = {count}: there are {there} training samples to draw from; allowed: 1 to {there}",
                count=count,
                there=there,
            )
        )
    device = dataset.train.inputs.device
    rows = [np.sort(stream(seed, Purpose.MEMBERS).permutation(there)[:count]) for seed in seeds]
    return Folds([_on(of_one, device) for of_one in rows], None, None, None)


class _Joined:
    """The inputs of two sets, one after the other, for rows in ascending order."""

    def __init__(self, first: Inputs, second: Inputs) -> None:
        self._first, self._second = first, second
        self.shape: tuple[int, ...] = (first.shape[0] + second.shape[0], *first.shape[1:])
        self.dtype = first.dtype

    def __getitem__(self, rows: Rows) -> Array:
        here, there = np.split(rows, [np.searchsorted(rows, self._first.shape[0])])
        return np.concatenate([self._first[here], self._second[there - self._first.shape[0]]])

    def identity(self) -> str:
        """Return what a fingerprint of the data holds of them."""
        return f"{of_inputs(self._first)} {of_inputs(self._second)}"


def _with_own_validation(samples: Samples) -> Samples:
    if samples.validation is None:
        return samples
    inputs, targets = samples.validation
    return replace(
        samples,
        inputs=_Joined(samples.inputs, inputs),
        targets=np.concatenate([samples.targets, targets]),
        validation=None,
    )


def _on(rows: Any, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(rows).to(device)
