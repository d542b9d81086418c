"""A Dataset from a preset's data section, with checks of the samples before they are split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from descent.common.errors import CannotGoOnError, DataError, PresetError
from descent.common.i18n import N_, _, ngettext
from engine.preset import schema
from engine.training.data import (
    array_files,
    arrays,
    augment,
    image_folder,
    preprocess,
    public_sets,
    splits,
    synthetic,
    tables,
)
from engine.training.data.dataset import Array, Dataset, Inputs, Samples
from engine.training.data.randomness import seed_all
from engine.training.user_code import call_user_code

CPU = torch.device("cpu")
_LARGEST = float(np.finfo(np.float32).max)
_UNUSABLE = {
    "inputs": N_(
        "{where}: {count:,} of the inputs can't be used as numbers; the first is {kind}, in {place}. "
        "Remove or fill in such samples."
    ),
    "targets": N_(
        "{where}: {count:,} of the targets can't be used as numbers; the first is {kind}, in {place}. "
        "Remove or fill in such samples."
    ),
}
CodeLoader = Callable[[str], Any]


def check_settings(section: schema.Data, samples: Samples) -> None:
    """Raise DataError for settings that make no sense for these data."""
    if section.random_labels and not samples.is_classification:
        raise DataError(
            _(
                "data.random_labels = {share:g}, but {where} has no class labels: it is a regression. Leave it out.",
                share=section.random_labels,
                where=samples.where,
            )
        )
    if augment.is_on(section.augment) and len(samples.inputs.shape) != 4:
        raise DataError(
            _(
                "data.augment changes images, but the inputs of {where} are not images: a sample has the shape "
                "{shape}, an image would have (channels, height, width). Leave it out.",
                where=samples.where,
                shape=tuple(samples.inputs.shape[1:]),
            )
        )

    if section.kept == "bytes" and not preprocess.are_bytes(samples.inputs):
        raise DataError(
            _(
                'data.kept = "bytes", but the inputs of {where} are not images of 8 bits: they have the type {type} '
                "and {axes} axes. Leave it out.",
                where=samples.where,
                type=samples.inputs.dtype,
                axes=len(samples.inputs.shape),
            )
        )
    if section.kept == "bytes" and preprocess.adds_noise(section):
        raise DataError(
            _(
                'data.kept = "bytes" can\'t be had with data.noise = {noise:g}, which makes other numbers of the '
                "images: leave one of the two out.",
                noise=section.noise,
            )
        )


def check_samples(samples: Samples) -> None:
    """Check lengths, finiteness and labels, of the samples and of their own splits. Raises DataError."""
    _check(samples, samples.inputs, samples.targets, "")
    for split, own in (("validation", samples.validation), ("test", samples.test)):
        if own is None:
            continue
        _check(samples, *own, f" ({split})")
        if own.inputs.shape[1:] != samples.inputs.shape[1:]:
            raise DataError(
                _(
                    "{where}: a training sample has the shape {shape}, but one of the {split} split has {other}.",
                    where=samples.where,
                    shape=tuple(samples.inputs.shape[1:]),
                    split=split,
                    other=tuple(own.inputs.shape[1:]),
                )
            )


def _check(samples: Samples, inputs: Inputs, targets: Array, split: str) -> None:
    where = samples.where + split
    if inputs.shape[0] != len(targets):
        raise DataError(
            _(
                "{where}: {inputs} inputs but {targets} targets; each needs the other.",
                where=where,
                inputs=inputs.shape[0],
                targets=len(targets),
            )
        )
    if len(targets) == 0:
        raise DataError(_("{where} holds no samples.", where=where))
    if 0 in inputs.shape[1:]:
        raise DataError(
            _("{where}: a sample is empty; its shape is {shape}.", where=where, shape=tuple(inputs.shape[1:]))
        )
    if isinstance(inputs, np.ndarray):
        _check_finite(where, "inputs", inputs, samples)
    if samples.is_classification:
        _check_labels(where, targets, samples)
        if not split and (targets == targets[0]).all():
            raise DataError(
                _(
                    "{where}: every sample is of the class {name!r}, so there is nothing to tell apart.",
                    where=where,
                    name=samples.classes[int(targets[0])],
                )
            )
    else:
        _check_finite(where, "targets", targets, samples)


def _check_finite(where: str, what: str, values: Array, samples: Samples) -> None:
    """Raise DataError for a NaN, an infinity, or a number that becomes infinite as float32."""
    if values.dtype.kind != "f":
        return
    # In the good case one pass is enough, and no array is made. NaN and both infinities compare false.
    with np.errstate(invalid="ignore"):
        low, high = values.min(), values.max()
    if low >= -_LARGEST and high <= _LARGEST:
        return
    bad = ~(np.abs(values) <= _LARGEST)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    value = float(values[first])
    kind = "NaN" if np.isnan(value) else _("infinite") if np.isinf(value) else _("too large for float32")
    place = samples.row(first[0])
    if len(first) > 1:
        place += f", {_column(what, first[1:], samples)}"
    raise DataError(_(_UNUSABLE[what], where=where, count=int(bad.sum()), kind=kind, place=place))


def _column(what: str, place: tuple[int, ...], samples: Samples) -> str:
    if what == "inputs" and len(place) == 1 and samples.input_names:
        return _("column {name!r}", name=samples.input_names[place[0]])
    return _("column {name!r}", name=place[0]) if len(place) == 1 else _("place {place}", place=place)


def _check_labels(where: str, labels: Array, samples: Samples) -> None:
    wrong = (labels < 0) | (labels >= len(samples.classes))
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    raise DataError(
        ngettext(
            "{where}: {count:,} label is outside of 0 … {last}; it is {label}, in {place}. Labels count from 0.",
            "{where}: {count:,} labels are outside of 0 … {last}; the first is {label}, in {place}. "
            "Labels count from 0.",
            int(wrong.sum()),
            where=where,
            last=len(samples.classes) - 1,
            label=int(labels[first]),
            place=samples.row(first),
        )
    )


def load(section: schema.AnyData, *, root: Path, device: torch.device, code: CodeLoader | None) -> Dataset:
    """Return the data of a section on `device`. The same section gives the same tensors.

    root: folder of downloaded data sets. code: returns the object that "file.py:name" names; None if code may not
    run. Raises DataMissingError if the data are missing, DataError if they can't be trained on, and CannotGoOnError
    if memory runs out.
    """
    try:
        samples = read_samples(section, root, device, code)
        plan = splits.plan(section, samples)
        splits.check_training_classes(samples, plan.train)
        return preprocess.assemble(section, samples.fitted(plan.train), plan, name_of(section), device)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise CannotGoOnError(
            _(
                "The data ({name}) do not fit into the memory of {device}: train on fewer samples with data.size, "
                "or on another device.",
                name=section.name,
                device=device,
            )
        ) from error


def read_samples(
    section: schema.AnyData, root: Path, device: torch.device = CPU, code: CodeLoader | None = None
) -> Samples:
    """Return all samples of a data set, checked, but not split or scaled. Raises the errors of `load`."""
    samples = _read(section, root, device, code)
    check_samples(samples)
    check_settings(section, samples)
    return samples


def name_of(section: schema.AnyData) -> str:
    """Return what messages call the data."""
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
        case schema.DownloadedData(source="images"):
            samples = public_sets.read_images(section, root, device)
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
    """Return the samples of the user's function `load(**arguments) -> (inputs, targets)`.

    The global generators, which it may draw from, are seeded with `data.seed`.
    """
    if code is None:
        raise PresetError(
            _(
                "data.code = {code!r} is your own code, and nobody has agreed to run it: use --allow-code.",
                code=section.code,
            )
        )
    seed_all(section.seed)
    returned = call_user_code(section.code, code(section.code), **section.arguments)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise DataError(
            _(
                "data.code = {code!r} must return (inputs, targets); it returned {returned}.",
                code=section.code,
                returned=type(returned).__name__,
            )
        )
    return arrays.as_samples(section.code, returned[0], returned[1], section.task)
