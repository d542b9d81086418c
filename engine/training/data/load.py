"""From a preset's data section to a Dataset, with checks of what the samples must hold before they are split."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from descent.common.errors import CannotGoOnError, DataError, DescentError, PresetError
from engine.preset import schema
from engine.training.data import array_files, arrays, augment, image_folder, public_sets, splits, synthetic, tables
from engine.training.data.dataset import Array, Dataset, Inputs, Samples
from engine.training.data.preprocess import assemble

_LARGEST = float(np.finfo(np.float32).max)


def check_settings(section: schema.Data, samples: Samples) -> None:
    """Settings that only some data have a meaning for."""
    if section.random_labels and not samples.is_classification:
        raise DataError(
            f"data.random_labels = {section.random_labels:g}, but {samples.where} has no class labels: it is "
            "a regression. Leave it out."
        )
    if augment.is_on(section.augment) and len(samples.inputs.shape) != 4:
        raise DataError(
            f"data.augment changes images, and the inputs of {samples.where} are not images: a sample has "
            f"the shape {tuple(samples.inputs.shape[1:])}, an image would be (channels, height, width). "
            "Leave it out."
        )


def check_samples(samples: Samples) -> None:
    """Lengths, finiteness and labels, of the samples and of their own test split."""
    _check(samples, samples.inputs, samples.targets, "")
    if samples.test is not None:
        _check(samples, *samples.test, " (test)")
        if samples.test.inputs.shape[1:] != samples.inputs.shape[1:]:
            raise DataError(
                f"{samples.where}: a training sample has the shape {tuple(samples.inputs.shape[1:])}, a test "
                f"sample {tuple(samples.test.inputs.shape[1:])}."
            )


def _check(samples: Samples, inputs: Inputs, targets: Array, split: str) -> None:
    where = samples.where + split
    if inputs.shape[0] != len(targets):
        raise DataError(f"{where}: {inputs.shape[0]} inputs but {len(targets)} targets; each needs the other.")
    if len(targets) == 0:
        raise DataError(f"{where} holds no samples.")
    if 0 in inputs.shape[1:]:
        raise DataError(f"{where}: a sample is empty, its shape is {tuple(inputs.shape[1:])}.")
    if isinstance(inputs, np.ndarray):
        _check_finite(where, "inputs", inputs, samples)
    if samples.is_classification:
        _check_labels(where, targets, samples)
    else:
        _check_finite(where, "targets", targets, samples)


def _check_finite(where: str, what: str, values: Array, samples: Samples) -> None:
    """No NaN, no infinity, nothing that becomes infinite as float32."""
    if values.dtype.kind != "f":
        return
    # One pass that makes no array in the good case: NaN compares false, as do both infinities.
    with np.errstate(invalid="ignore"):
        low, high = values.min(), values.max()
    if low >= -_LARGEST and high <= _LARGEST:
        return
    bad = ~(np.abs(values) <= _LARGEST)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    value = float(values[first])
    kind = "NaN" if np.isnan(value) else "infinite" if np.isinf(value) else "too large for float32"
    place = samples.row(first[0])
    if len(first) > 1:
        place += f", {_column(what, first[1:], samples)}"
    count = int(bad.sum())
    raise DataError(
        f"{where}: {count:,} of the {what} {'is' if count == 1 else 'are'} not a usable number; the first is "
        f"{kind}, in {place}. Remove or fill in such samples."
    )


def _column(what: str, place: tuple[int, ...], samples: Samples) -> str:
    if what == "inputs" and len(place) == 1 and samples.input_names:
        return f"column {samples.input_names[place[0]]!r}"
    return f"column {place[0]}" if len(place) == 1 else f"place {place}"


def _check_labels(where: str, labels: Array, samples: Samples) -> None:
    wrong = (labels < 0) | (labels >= len(samples.classes))
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    raise DataError(
        f"{where}: {int(wrong.sum()):,} labels are outside 0 … {len(samples.classes) - 1}; the first is "
        f"{int(labels[first])}, in {samples.row(first)}. Labels count from 0."
    )


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
    check_samples(samples)
    check_settings(section, samples)
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
            samples = public_sets.read_bundled(section)
        case schema.DownloadedData():
            read = public_sets.read_idx if section.name in public_sets.CLASSES else public_sets.read_torchvision
            samples = read(section.name, root)
        case schema.ImagesData():
            samples = image_folder.read(section, device)
        case schema.NpzData():
            samples = array_files.read(section)
        case schema.CsvData():
            samples = tables.read(section)
        case schema.CodeData():
            samples = read_user_code(section, code)
        case _:
            samples = synthetic.make(section)
    return samples


def read_user_code(section: schema.CodeData, code: Callable[[str], Any] | None) -> Samples:
    """What `load(**arguments) -> (inputs, targets)` returns."""
    if code is None:
        raise PresetError(
            f"data.code = {section.code!r} is code of your own, which nobody has agreed to run: use --allow-code."
        )
    function = code(section.code)
    try:
        returned = function(**section.arguments)
    except DescentError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"data.code = {section.code!r} failed: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})."
        ) from error
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise DataError(
            f"data.code = {section.code!r} must return (inputs, targets); it returned {type(returned).__name__}."
        )
    return arrays.as_samples(section.code, returned[0], returned[1], section.task)
