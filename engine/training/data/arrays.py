"""Arrays of the user's as inputs and targets: which are images, which are labels."""

from typing import Any, NamedTuple

import numpy as np

from descent.common.errors import DataError
from engine.training.data.dataset import Array, Samples

_COLOURS = (1, 3)


class Targets(NamedTuple):
    """values: (N,) int64 with names of classes, or (N, T) float64 without."""

    values: Array
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def as_samples(where: str, inputs: Any, targets: Any, task: str, classes: int | None = None) -> Samples:
    """Samples of two arrays whose first axes count samples; DataError when they can't be that."""
    values, notes = as_inputs(f"{where}: the inputs", as_array(f"{where}: the inputs", inputs))
    found = as_targets(f"{where}: the targets", as_array(f"{where}: the targets", targets), task, classes)
    return Samples(
        where=where,
        inputs=values,
        targets=found.values,
        classes=found.classes,
        notes=(*notes, *found.notes),
    )


def as_array(where: str, value: Any) -> Array:
    """An array of anything that is one: a NumPy array, a tensor, nested lists."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        value = value.numpy()
    try:
        array: Array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"{where} are not an array: {error}.") from error
    if array.ndim == 0:
        raise DataError(f"{where} are not an array but {type(value).__name__}.")
    if array.dtype.kind not in "biufUS":
        raise DataError(f"{where} have the type {array.dtype}; numbers are needed.")
    return array


def as_inputs(where: str, array: Array) -> tuple[Array, tuple[str, ...]]:
    """Inputs and notes. Arrays of bytes with 3 or 4 axes are images; a last axis of colours goes first."""
    if array.dtype.kind in "US":
        raise DataError(f"{where} are words; numbers are needed.")
    if array.ndim == 1:
        return array[:, None], ()
    notes = []
    if array.ndim == 4 and array.shape[-1] in _COLOURS and array.shape[1] not in _COLOURS:
        array = array.transpose(0, 3, 1, 2)
        notes.append("the inputs' last axis was taken for colours, and put first")
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        array = array[:, None] if array.ndim == 3 else array
        notes.append("the inputs are bytes and were taken for images: 0 … 255 became 0 … 1")
    return array, tuple(notes)


def as_targets(where: str, array: Array, task: str, classes: int | None = None) -> Targets:
    """Labels or quantities; `auto` takes words and whole numbers for labels."""
    if array.dtype.kind in "US":
        return _from_words(where, array, task)
    if array.ndim > 2:
        raise DataError(f"{where} have {array.ndim} axes, of lengths {array.shape}; 1 or 2 are allowed.")
    array = array.astype(np.float64) if array.dtype.kind == "f" else array
    if task == "regression" or not _are_whole(array):
        if task == "classification" and np.isfinite(array.astype(np.float64)).all():
            raise DataError(f'{where} are not whole numbers, so not labels: set data.task = "regression".')
        return Targets(_two_axes(array), ())
    if array.ndim == 2 and array.shape[1] > 1:
        if _are_one_hot(array):
            note = "the targets are one-hot rows and were taken for labels"
            return _from_labels(where, array.argmax(axis=1), classes or array.shape[1], (note,))
        if task == "classification":
            raise DataError(
                f"{where} have the shape {array.shape}; labels are one whole number a sample, or one-hot rows."
            )
        return Targets(_two_axes(array), ())
    labels = array.reshape(len(array)).astype(np.int64)
    if task == "auto" and classes is None:
        refuse_many_values(where, len(np.unique(labels)), len(labels))
    return _from_labels(where, labels, classes, ())


def refuse_many_values(where: str, distinct: int, count: int) -> None:
    """DataError when whole numbers may be labels as well as quantities, so that the user must say."""
    if distinct > 20 and distinct > count / 5:
        raise DataError(
            f"{where} are whole numbers, but {distinct} different ones in {count} samples: labels or "
            'quantities? Set data.task = "classification" or "regression".'
        )


def name_classes(words: Array) -> Targets:
    """Labels in the words' sorted order."""
    names, labels = np.unique(words, return_inverse=True)
    return Targets(labels.astype(np.int64), tuple(str(name) for name in names))


def _from_words(where: str, array: Array, task: str) -> Targets:
    if task == "regression":
        raise DataError(f'{where} are words; data.task = "regression" needs numbers.')
    if array.ndim != 1:
        raise DataError(f"{where} are words in {array.ndim} axes; one word a sample is needed.")
    words = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
    return name_classes(words)


def _from_labels(where: str, labels: Array, classes: int | None, notes: tuple[str, ...]) -> Targets:
    """Names 0 … K − 1. With `classes` given, a label out of range stays: the checks say where."""
    present = np.unique(labels)
    if classes is None:
        classes = _count_classes(where, present)
    elif classes > len(labels):
        raise DataError(f"data.classes = {classes}, but there are only {len(labels)} samples.")
    return Targets(labels.astype(np.int64), tuple(str(label) for label in range(classes)), notes)


def _count_classes(where: str, present: Array) -> int:
    if len(present) == 0:
        raise DataError(f"{where}: there are none.")
    low, high = int(present[0]), int(present[-1])
    if low == 0 and high == len(present) - 1:
        return high + 1
    if low == 1 and high == len(present):
        hint = "they count from 1: subtract 1"
    elif low < 0:
        hint = f"the lowest is {low}"
    else:
        gap = next(label for label, found in enumerate(present) if label != found)
        hint = f"there is no {gap}, but a {high}: set data.classes, or number them anew"
    raise DataError(
        f'{where} are not labels 0, 1, 2 …: {hint}. If they are quantities, set data.task = "regression".'
    )


def _are_whole(array: Array) -> bool:
    if array.dtype.kind != "f":
        return True
    # 2**53: beyond it every float64 is whole.
    return bool((np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2**53)).all())


def _are_one_hot(array: Array) -> bool:
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _two_axes(array: Array) -> Array:
    floats = array.astype(np.float64)
    return floats[:, None] if floats.ndim == 1 else floats
