"""A Dataset from samples and a plan of the splits: on the device, with noise, scaling, outliers and random labels."""

import math

import numpy as np
import torch
from torch import Tensor

from descent.loop.device import for_exact, give_back_unused
from engine.preset import schema
from engine.training.data import synthetic
from engine.training.data.dataset import Array, ByColumn, Dataset, HeldOut, Inputs, Rows, Samples, Split
from engine.training.data.fingerprint import fingerprint_of
from engine.training.data.kept_inputs import ByteImages, KeptInputs, Scale, settled
from engine.training.data.randomness import Purpose, stream
from engine.training.data.splits import Plan
from engine.training.data.table_encoding import TableEncoding

_BLOCK = 2**23  # values that are float64 at once, 64 MB of them


def assemble(section: schema.Data, samples: Samples, plan: Plan, name: str, device: torch.device) -> Dataset:
    """Return the splits as tensors, each moved to the device once."""
    noisy = adds_noise(section)
    if isinstance(samples.inputs, ByColumn) and not noisy:
        train: KeptInputs
        train, scaling = _place_columns(samples.inputs, plan.train, device, section.scaling)
    else:
        train = keep(section, samples.inputs, plan.train, device, exact=section.scaling != "none" or noisy)
        if noisy:
            assert isinstance(train, Tensor)
            train = _add_noise(train, section)
        scaling = fit(train, section.scaling)
        train = settled(_finish(train, scaling), device)
        give_back_unused()  # of bytes, the numbers to fit the scaling by

    def split(own: HeldOut | None, rows: Rows) -> Split | None:
        inputs, targets, rows = held_out(samples, own, rows)
        if len(rows) == 0:
            return None
        placed: KeptInputs
        if isinstance(inputs, ByColumn):
            placed, _same = _place_columns(inputs, rows, device, scaling)
        else:
            placed = keep(section, inputs, rows, device, exact=scaling is not None or noisy)
            placed = settled(_finish(placed, scaling), device)
        return Split(placed, targets_of(targets[rows], device))

    validation, test = split(samples.validation, plan.validation), split(samples.test, plan.test)
    return Dataset(
        name=name,
        task="classification" if samples.is_classification else "regression",
        train=Split(train, targets_of(_training_targets(section, samples, plan), device)),
        validation=validation,
        test=test,
        classes=samples.classes,
        input_names=samples.input_names,
        mean=None if scaling is None else scaling.mean,
        std=None if scaling is None else scaling.std,
        are_bytes=are_bytes(samples.inputs),
        deep_range=samples.read_range(),
        notes=(*samples.notes, *samples.read_notes(), *plan.notes),
        fingerprint=fingerprint_of(section, samples),
        encoding=_with_scaling(samples, scaling),
        rows_left_out=samples.rows_left_out,
    )


def held_out(samples: Samples, own: HeldOut | None, rows: Rows) -> tuple[Inputs, Array, Rows]:
    """Return inputs and targets of a validation or test split, and its rows in them.

    own: the split that the data have of their own, all of which is used. rows: of the samples, if they have none.
    """
    if own is None:
        return samples.inputs, samples.targets, rows
    return own.inputs, own.targets, np.arange(len(own.targets), dtype=np.int64)


def _with_scaling(samples: Samples, scaling: Scale | None) -> TableEncoding | None:
    if samples.encoding is None or scaling is None:
        return samples.encoding
    return samples.encoding.with_scaling(scaling.mean.tolist(), scaling.std.tolist())


def keep(section: schema.Data, inputs: Inputs, rows: Rows, device: torch.device, *, exact: bool) -> KeptInputs:
    """Move the inputs of these rows to the device. exact: as in `place`.

    Images are moved as bytes. They stay so where `data.kept` says that, or become float32 in [0, 1] there.
    """
    if not are_bytes(inputs):
        return place(inputs, rows, device, exact=exact)
    images = ByteImages(torch.from_numpy(np.ascontiguousarray(inputs[rows])).to(device))
    return images if stay_bytes(section, device) else images[:]


def stay_bytes(section: schema.Data, device: torch.device) -> bool:
    """Return whether images of bytes stay bytes on the device."""
    if adds_noise(section):
        return False
    return device.type != "cpu" if section.kept == "auto" else section.kept == "bytes"


def place(inputs: Inputs, rows: Rows, device: torch.device, *, exact: bool) -> Tensor:
    """Move the inputs of these rows, numbers, to the device.

    exact: keep them as float64 if float32 can't hold them, because a column of large, close numbers (years, time
    stamps) would lose its digits before the scaling. They stay on the CPU for a device that has no float64.
    """
    is_narrow = len(inputs.shape) == 4 or not exact or np.can_cast(inputs.dtype, np.float32)
    dtype = np.dtype(np.float32 if is_narrow else np.float64)
    if exact and len(inputs.shape) != 4:
        device = for_exact(device)
    if inputs.dtype == dtype:
        return torch.from_numpy(np.ascontiguousarray(inputs[rows])).to(device)
    placed = np.empty((len(rows), *inputs.shape[1:]), dtype)
    block = _block(inputs.shape[1:])
    for start in range(0, len(rows), block):
        placed[start : start + block] = inputs[rows[start : start + block]]
    return torch.from_numpy(placed).to(device)


def _place_columns(
    inputs: ByColumn, rows: Rows, device: torch.device, scaling: str | Scale | None
) -> tuple[Tensor, Scale | None]:
    """Move the inputs of these rows to the device, scaled, and return the scaling too.

    scaling: the kind that these rows fit, or what others have fitted. One column at a time is float64.
    """
    placed = torch.empty((len(rows), *inputs.shape[1:]), dtype=torch.float32)
    found: list[Scale] = []
    at = 0
    for values in inputs.by_column(rows):
        part, end = torch.from_numpy(values), at + values.shape[1]
        if isinstance(scaling, Scale):
            own: Scale | None = Scale(scaling.mean[at:end].cpu(), scaling.std[at:end].cpu())
        else:
            own = None if scaling is None else fit(part, scaling)
        placed[:, at:end] = part if own is None else part.sub_(own.mean).div_(own.std)
        if own is not None:
            found.append(own)
        at = end
    if found:
        scaling = Scale(*(torch.cat(each).to(for_exact(device)) for each in zip(*found, strict=True)))
    return placed.to(device), scaling if isinstance(scaling, Scale) else None


def _block(shape: tuple[int, ...]) -> int:
    """Return how many samples of a shape are converted at once."""
    return max(1, _BLOCK // max(1, math.prod(shape)))


def are_bytes(inputs: Inputs) -> bool:
    """Return whether inputs are images of bytes, which become numbers from 0 to 1."""
    return inputs.dtype == np.uint8 and len(inputs.shape) == 4


def adds_noise(section: schema.Data) -> bool:
    """Return whether noise is added to inputs that were not made with it."""
    return bool(section.noise) and not isinstance(section, synthetic.Made)


def _add_noise(inputs: Tensor, section: schema.Data) -> Tensor:
    """Add noise, which is drawn on the host, so that every device trains on the same samples."""
    draws = stream(section.seed, Purpose.NOISE).standard_normal(tuple(inputs.shape))
    inputs = inputs if inputs.ndim == 4 else inputs.double()
    return inputs.add_(torch.from_numpy(draws).to(inputs.dtype).to(inputs.device), alpha=section.noise)


def fit(train: KeptInputs, kind: str, unit: Tensor | None = None) -> Scale | None:
    """Return the scaling by the training inputs: for each channel of images, else for each feature, as float64.

    unit: what a constant feature is divided by, in the shape of the scaling; None for 1.
    """
    if kind == "none":
        return None
    mean, std = _mean_and_std(train[:], kind)
    return Scale(mean, torch.where(std == 0, torch.ones_like(std) if unit is None else unit.to(std), std))


def _mean_and_std(train: Tensor, kind: str) -> Scale:
    """Return the scaling, with a deviation of 0 for constant features."""
    if train.ndim == 4:
        return _scale(train, (0, 2, 3), kind)
    features = train.flatten(1)
    width = max(1, _BLOCK // len(features))
    parts = [
        _scale(features[:, at : at + width].double(), (0,), kind) for at in range(0, max(1, features.shape[1]), width)
    ]
    mean, std = (torch.cat(own).reshape(train.shape[1:]) for own in zip(*parts, strict=True))
    return Scale(mean, std)


def _scale(train: Tensor, axes: tuple[int, ...], kind: str) -> Scale:
    low, high = train.amin(axes, keepdim=True), train.amax(axes, keepdim=True)
    if kind == "minmax":
        mean, std = low, high - low
    else:
        # The deviation of the split itself, not an estimate for a population, as in scikit-learn's StandardScaler.
        std, mean = torch.std_mean(train, axes, correction=0, keepdim=True)
    # Rounding may leave the deviation of a constant feature just above zero.
    std = torch.where(high == low, torch.zeros_like(std), std)
    return Scale(mean[0], std[0])


def _finish(inputs: KeptInputs, scaling: Scale | None) -> KeptInputs:
    """Return the inputs scaled. Numbers are overwritten. The arithmetic is that of the scaling's type."""
    if scaling is None:
        return inputs
    if isinstance(inputs, ByteImages):
        return inputs.scaled(scaling)
    if inputs.dtype == scaling.mean.dtype:
        return inputs.sub_(scaling.mean).div_(scaling.std)
    for part in torch.split(inputs, _block(tuple(inputs.shape[1:]))):
        part.copy_(part.to(scaling.mean.dtype).sub_(scaling.mean).div_(scaling.std))
    return inputs


def targets_of(targets: Array, device: torch.device) -> Tensor:
    dtype = np.int64 if targets.ndim == 1 else np.float32
    return torch.from_numpy(np.ascontiguousarray(targets, dtype=dtype)).to(device)


def _training_targets(section: schema.Data, samples: Samples, plan: Plan) -> Array:
    """Return the training targets, with the outliers and the random labels that the section asks for."""
    targets: Array = samples.targets[plan.train]
    if isinstance(section, schema.LineData) and section.outliers:
        # x is random, so the first samples are a random draw too, and the same for everybody.
        targets = targets.copy()
        targets[: round(section.outliers * len(targets))] += section.outlier_shift
    if section.random_labels:
        generator = stream(section.seed, Purpose.LABELS)
        targets = targets.copy()
        count = round(section.random_labels * len(targets))
        chosen = generator.permutation(len(targets))[:count]
        targets[chosen] = generator.randint(len(samples.classes), size=count)
    return targets
