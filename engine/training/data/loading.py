"""From a preset's data section to a Dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine import schema
from engine.errors import CannotGoOnError
from engine.training.data import (
    bundled,
    checks,
    files,
    idx,
    images,
    made,
    splits,
    tables,
    torchvision_sets,
    user_code,
)
from engine.training.data.assembly import assemble
from engine.training.data.dataset import Dataset
from engine.training.data.samples import Samples

CodeLoader = Callable[[str], Any]


def load(section: schema.AnyData, *, root: Path, device: torch.device, code: CodeLoader | None) -> Dataset:
    """The data that a section describes, as float32 tensors on `device`; the same section, the same tensors.

    root: folder of downloaded sets. code: turns "file.py:name" into the object, None where that is not
    allowed. Raises DataMissingError when they are not here, DataError when they can't be trained on,
    CannotGoOnError when memory runs out.
    """
    try:
        samples = read_samples(section, root, device, code)
        plan = splits.plan(section, samples)
        splits.check_training_classes(samples, plan.train)
        return assemble(section, samples, plan, name_of(section), device)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise CannotGoOnError(
            f"The data ({section.name}) do not fit in the memory of {device}: train on fewer samples with "
            "data.size, or on another device."
        ) from error


def read_samples(section: schema.AnyData, root: Path, device: torch.device, code: CodeLoader | None) -> Samples:
    """All samples of a set, checked, before they are split or scaled. Errors as load has them."""
    samples = _read(section, root, device, code)
    checks.check_samples(samples)
    checks.check_settings(section, samples)
    return samples


def name_of(section: schema.AnyData) -> str:
    """What the data are called in messages."""
    match section:
        case schema.ImagesData() | schema.NpzData() | schema.CsvData():
            return Path(section.path).name
        case schema.CodeData():
            return Path(section.code).name
        case _:
            return section.name


def _read(section: schema.AnyData, root: Path, device: torch.device, code: CodeLoader | None) -> Samples:
    match section:
        case schema.BundledData():
            samples = bundled.read(section)
        case schema.DownloadedData():
            reader = idx if section.name in idx.CLASSES else torchvision_sets
            samples = reader.read(section.name, root)
        case schema.ImagesData():
            samples = images.read(section, device)
        case schema.NpzData():
            samples = files.read(section)
        case schema.CsvData():
            samples = tables.read(section)
        case schema.CodeData():
            samples = user_code.read(section, code)
        case _:
            samples = made.make(section)
    return samples
