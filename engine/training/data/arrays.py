"""The user's arrays as inputs and targets: which inputs are images, and which targets are labels."""

import math
from typing import Any, NamedTuple

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import _
from engine.training.data.dataset import Array, Samples
from engine.training.data.table_columns import text

_CHANNELS = (1, 2, 3, 4)  # grey, colour, and both with transparency


class Targets(NamedTuple):
    """Targets and their classes. values: (N,) int64 if there are classes, else (N, T) float64."""

    values: Array
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def as_samples(where: str, inputs: Any, targets: Any, task: str, classes: int | None = None) -> Samples:
    """Make samples of two arrays whose first axes count samples. Raises DataError if they can't be that."""
    of_inputs, of_targets = _("{file}: the inputs", file=where), _("{file}: the targets", file=where)
    values, notes = as_inputs(of_inputs, as_array(of_inputs, inputs))
    found = as_targets(of_targets, as_array(of_targets, targets), task, classes)
    return Samples(
        where=where,
        inputs=values,
        targets=found.values,
        classes=found.classes,
        notes=(*notes, *found.notes),
    )


def as_array(where: str, value: Any) -> Array:
    """Return a NumPy array, a tensor or nested lists as an array. where: what errors call it."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        value = value.numpy()
    try:
        array: Array = np.asarray(value)
    except ValueError as error:
        raise DataError(_("{where} are not an array: {error}.", where=where, error=error)) from error
    if array.ndim == 0:
        raise DataError(
            _("{where} are not an array, but have the type {type}.", where=where, type=type(value).__name__)
        )
    if array.dtype.kind in "OT":
        array = _plain(where, array)
    if array.dtype.kind not in "biufUS":
        raise DataError(_("{where} have the type {type}; numbers are needed.", where=where, type=array.dtype))
    return array


def _plain(where: str, array: Array) -> Array:
    """Return an array of objects or of NumPy's strings, as pandas makes them, as words or numbers."""
    values = array.ravel().tolist()
    for i, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            raise DataError(_("{where}: a value is missing, the first in place {place}.", where=where, place=i))
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=str).reshape(array.shape)
    if all(isinstance(value, bool | int | float | np.generic) for value in values):
        return np.array(values).reshape(array.shape)
    kinds = ", ".join(sorted({type(value).__name__ for value in values}))
    raise DataError(_("{where} are objects of type {type}; numbers or words are needed.", where=where, type=kinds))


def as_inputs(where: str, array: Array) -> tuple[Array, tuple[str, ...]]:
    """Return inputs and notes.

    Arrays of bytes with 3 or 4 axes are images. A last axis of colours is moved to the front.
    """
    if array.dtype.kind in "US":
        raise DataError(_("{where} are words; numbers are needed.", where=where))
    if array.ndim == 1:
        return array[:, None], ()
    notes = []
    if array.ndim == 4 and array.shape[-1] in _CHANNELS and array.shape[1] not in _CHANNELS:
        array = array.transpose(0, 3, 1, 2)
        notes.append(_("the last axis of the inputs was taken as colours, and moved to the front"))
    if array.dtype == np.uint8 and array.ndim in (3, 4):
        array = array[:, None] if array.ndim == 3 else array
        notes.append(_("the inputs are bytes, and were taken as images: 0 … 255 became 0 … 1"))
    return array, tuple(notes)


def as_targets(where: str, array: Array, task: str, classes: int | None = None) -> Targets:
    """Return targets as labels or quantities. With the task "auto", words and whole numbers are labels."""
    if array.dtype.kind in "US":
        return _from_words(where, array, task)
    if array.ndim > 2:
        raise DataError(
            _(
                "{where} have {count} axes, of lengths {shape}; allowed: 1 or 2 axes.",
                where=where,
                count=array.ndim,
                shape=array.shape,
            )
        )
    array = array.astype(np.float64) if array.dtype.kind == "f" else array
    if task == "regression" or not _are_whole(array):
        if task == "classification" and np.isfinite(array.astype(np.float64)).all():
            raise DataError(not_labels(where))
        return Targets(_two_axes(array), ())
    if array.ndim == 2 and array.shape[1] > 1:
        if _are_one_hot(array):
            note = _("the targets are one-hot rows, and were taken as labels")
            return _from_labels(where, array.argmax(axis=1), classes or array.shape[1], (note,))
        if task == "classification":
            raise DataError(
                _(
                    "{where} have the shape {shape}; labels are one whole number for each sample, or one-hot rows.",
                    where=where,
                    shape=array.shape,
                )
            )
        return Targets(_two_axes(array), ())
    labels = array.reshape(len(array)).astype(np.int64)
    if task == "auto" and classes is None:
        refuse_many_values(where, np.unique(labels, return_counts=True)[1])
    return _from_labels(where, labels, classes, ())


def refuse_many_values(where: str, counts: Array) -> None:
    """Raise DataError if whole numbers may be labels or quantities, so that the user must say which.

    counts: how often each of them occurs. Labels are few, none of many occurs once only, and a class has two samples
    at least on average.
    """
    distinct, count = len(counts), int(counts.sum())
    if (distinct > 20 and (distinct > count / 5 or counts.min() == 1)) or distinct > max(2, count / 2):
        raise DataError(
            _(
                "{where} are whole numbers, but {distinct} different ones in {count} samples: labels or quantities? "
                'Set data.task = "classification" or "regression".',
                where=where,
                distinct=distinct,
                count=count,
            )
        )


def not_labels(where: str) -> str:
    """Return the message for targets with fractions that are to be labels."""
    return _('{where} are not whole numbers, so not labels: set data.task = "regression".', where=where)


def name_classes(words: Array) -> Targets:
    """Return labels in the sorted order of the words."""
    given, places = np.unique(words, return_inverse=True)
    # Unicode may write the same word in several ways, and a word may hold what a terminal would obey.
    names, labels = np.unique([text(str(word)) for word in given], return_inverse=True)
    return Targets(labels[places].astype(np.int64), tuple(str(name) for name in names))


def _from_words(where: str, array: Array, task: str) -> Targets:
    if task == "regression":
        raise DataError(_('{where} are words; data.task = "regression" needs numbers.', where=where))
    if array.ndim != 1:
        raise DataError(
            _("{where} are words in {count} axes; one word for each sample is needed.", where=where, count=array.ndim)
        )
    words = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
    return name_classes(words)


def _from_labels(where: str, labels: Array, classes: int | None, notes: tuple[str, ...]) -> Targets:
    """Return labels with the class names 0 … K − 1.

    With `classes` given, a label out of range is left as it is. A later check says where it is.
    """
    present = np.unique(labels)
    if classes is None:
        classes = _count_classes(where, present)
    elif classes > len(labels):
        raise DataError(
            _("data.classes = {classes}, but there are only {count} samples.", classes=classes, count=len(labels))
        )
    return Targets(labels.astype(np.int64), tuple(str(label) for label in range(classes)), notes)


def _count_classes(where: str, present: Array) -> int:
    if len(present) == 0:
        raise DataError(_("{where}: there are none.", where=where))
    low, high = int(present[0]), int(present[-1])
    if low == 0 and high == len(present) - 1:
        return high + 1
    if low == 1 and high == len(present):
        hint = _("they count from 1: subtract 1")
    elif low < 0:
        hint = _("the lowest is {label}", label=low)
    else:
        gap = next(label for label, found in enumerate(present) if label != found)
        hint = _("there is no {gap}, but a {high}: set data.classes, or renumber them", gap=gap, high=high)
    raise DataError(
        _(
            '{where} are not labels 0, 1, 2 …: {hint}. If they are quantities, set data.task = "regression".',
            where=where,
            hint=hint,
        )
    )


def _are_whole(array: Array) -> bool:
    if array.dtype.kind != "f":
        return True
    # Beyond 2**53 every float64 is a whole number.
    return bool((np.isfinite(array) & (array == np.round(array)) & (np.abs(array) < 2**53)).all())


def _are_one_hot(array: Array) -> bool:
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())


def _two_axes(array: Array) -> Array:
    floats = array.astype(np.float64)
    return floats[:, None] if floats.ndim == 1 else floats
