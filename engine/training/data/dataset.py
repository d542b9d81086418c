"""Samples of a source, on the host, and the data set to train on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, bincount

from descent.common.i18n import _, ngettext
from descent.common.text import clean, shorten
from engine.training.data import table_columns
from engine.training.data.kept_inputs import KeptInputs
from engine.training.data.table_columns import counted_row
from engine.training.data.table_encoding import TableEncoding

Task = Literal["classification", "regression"]


UNEQUAL = 1.5  # times as many samples in the largest class as in the smallest; MNIST has 1.24


class Split(NamedTuple):
    """The samples of one split, on the device.

    inputs: (N, *features) float32, or images of bytes that are read as float32. targets: (N,) int64 class labels, or
    (N, T) float32 for regression.
    """

    inputs: KeptInputs
    targets: Tensor


def _names(names: Sequence[str]) -> str:
    """Return names for a line: the first of many, and how many more there are."""
    shown = ", ".join(shorten(clean(name), 40) for name in names[:_NAMED])
    more = len(names) - _NAMED
    return _("{names} and {count} more", names=shown, count=more) if more > 0 else shown


@dataclass(frozen=True)
class Dataset:
    """The three splits, and their description.

    classes: names; () for regression. input_names: names of the columns; () if they have none.
    mean, std: the scaling that was applied, scaled = (x − mean) / std; for minmax the minimum and the range. Their
    shape broadcasts over a sample. They are float64, or float32 for images; None without scaling.
    are_bytes: whether the inputs were images of bytes, which became numbers from 0 to 1. deep_range: what became 0
    and 1 of image files with more than 8 bits; None if there were none.
    notes: messages for the user.
    fingerprint: of the user's own data; see fingerprint.py. None for data that can't change.
    encoding: how the cells of a table became inputs and targets; None for other data. For folds it has no scaling.
    rows_left_out: rows of a table that lack a value.
    """

    name: str
    task: Task
    train: Split
    validation: Split | None
    test: Split | None
    classes: tuple[str, ...]
    input_names: tuple[str, ...]
    mean: Tensor | None
    std: Tensor | None
    notes: tuple[str, ...]
    fingerprint: Mapping[str, Any] | None = None
    are_bytes: bool = False
    deep_range: tuple[float, float] | None = None
    encoding: TableEncoding | None = None
    rows_left_out: int = 0

    def split(self, name: str) -> Split:
        """Return the split called "train", "validation" or "test", which must exist."""
        split = {"train": self.train, "validation": self.validation, "test": self.test}[name]
        assert split is not None
        return split

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (C, H, W) for images."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def summary(self) -> str:
        """What the data are, on one line: classes or targets, inputs, and rows that are left out."""
        if self.classes:
            parts = [_("{count} classes: {names}", count=len(self.classes), names=_names(self.classes))]
        elif self.encoding is not None:
            names = _names(self.encoding.targets)
            parts = [ngettext("target: {names}", "{count} targets: {names}", self.target_size, names=names)]
        else:
            parts = [ngettext("{count} target", "{count} targets", self.target_size)]
        if self.input_names:
            names = _names(self.input_names)
            parts.append(
                ngettext("{count} input: {names}", "{count} inputs: {names}", len(self.input_names), names=names)
            )
        else:
            shape = " × ".join(map(str, self.input_shape))
            parts.append(_("inputs of {shape}", shape=shape))
        if self.rows_left_out:
            parts.append(ngettext("{count} row left out", "{count} rows left out", self.rows_left_out))
        return "; ".join(parts)

    @property
    def num_classes(self) -> int:
        """The number of classes; 0 for regression."""
        return len(self.classes)

    @cached_property
    def has_unequal_classes(self) -> bool:
        """Return whether the largest class of the training samples is much larger than the smallest.

        A model that always says the largest class has a high accuracy then. The first call waits for the device.
        """
        if self.task != "classification":
            return False
        counts = bincount(self.train.targets)
        return bool(counts.max() > UNEQUAL * counts[counts > 0].min())

    @property
    def target_size(self) -> int:
        """The number of targets of a sample for regression, else the number of classes."""
        return self.num_classes if self.task == "classification" else self.train.targets.shape[1]


_NAMED = 12  # in the summary
Array = table_columns.Array
Rows = NDArray[np.int64]


class Inputs(Protocol):
    """Inputs, (N, *features): an array, or images that are decoded when they are picked."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: Rows) -> Array: ...


class Undecoded(Inputs, Protocol):
    """Inputs that are not an array."""

    def identity(self) -> str:
        """Return what changes when any of the inputs does, or their order."""
        ...


@runtime_checkable
class ByColumn(Inputs, Protocol):
    """Inputs of a table, (N, F), that are encoded when they are picked."""

    def by_column(self, rows: Rows) -> Iterator[Array]:
        """Yield the inputs that each column of the table becomes, (n, f) float64, in their order."""
        ...


class HeldOut(NamedTuple):
    """A validation or test split that a data set has of its own."""

    inputs: Inputs
    targets: Array


@dataclass(frozen=True)
class Samples:
    """Inputs and targets of equal length.

    inputs: (N, *features), any real type; (N, C, H, W) uint8 are images, whose pixels become [0, 1].
    targets: (N,) int64 class labels, or (N, T) float64 for regression.
    where: what errors call them. row: returns what errors call row i. read_notes: returns notes that are known only
    once the inputs have been picked. read_range: returns `deep_range` of the Dataset, which is known only then too.
    fit: for a table, returns the samples encoded by what the rows of the training split show. encoding: how they were
    encoded. rows_left_out: rows of a table that lack a value.
    """

    where: str
    inputs: Inputs
    targets: Array
    classes: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    validation: HeldOut | None = None
    test: HeldOut | None = None
    notes: tuple[str, ...] = ()
    row: Callable[[int], str] = counted_row
    read_notes: Callable[[], tuple[str, ...]] = tuple
    read_range: Callable[[], tuple[float, float] | None] = lambda: None
    fit: "Callable[[Rows], Samples] | None" = None
    encoding: TableEncoding | None = None
    rows_left_out: int = 0

    def fitted(self, train: Rows) -> "Samples":
        """Return the samples encoded by what the training rows show; themselves, if nothing has to be fitted."""
        return self if self.fit is None else self.fit(train)

    @property
    def is_classification(self) -> bool:
        return bool(self.classes)
