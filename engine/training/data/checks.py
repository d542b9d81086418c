"""What must hold of samples before they are split, and what to say when it does not."""

import numpy as np

from engine import schema
from engine.errors import DataError
from engine.training.data import augment
from engine.training.data.samples import Array, Inputs, Samples

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
