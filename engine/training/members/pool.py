"""The samples that K folds share, and which of them each fold trains and validates on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import schema
from engine.errors import PresetError
from engine.training.data import Dataset, Split, made
from engine.training.data.assembly import Scale, place, targets_of
from engine.training.data.loading import name_of, read_samples
from engine.training.data.splits import plan
from engine.training.members.folds import Folds, folds, scaling

_OF_TRAINING_ALONE = ("noise", "random_labels", "outliers")  # what is done to samples that train, and only to them


def load_pool(
    section: schema.AnyData, count: int, *, root: Path, device: torch.device, code: Callable[[str], Any] | None
) -> tuple[Dataset, Folds]:
    """The data of a section in `count` folds; `train` and `validation` of the Dataset are the samples of all.

    `data.validation` is not used: every sample validates once. The test split, where there is one, is that of a run
    without folds. Errors as load has them.
    """
    for key in _OF_TRAINING_ALONE:
        if getattr(section, key, 0) and not (key == "noise" and isinstance(section, made.Made)):
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
