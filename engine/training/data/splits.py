"""Which samples train, which validate, which test: rows of a set, before any input is touched.

Drawing samples with their classes' shares, as scikit-learn's `train_test_split(…, stratify=labels)` draws them.

The very same samples, to the last one, without importing it: that takes over a second, half as long as PyTorch, and
every start of a classifier would wait for it (`python -m tests.tools.benchmarks start`).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.common.errors import DataError
from engine.preset import schema
from engine.training.data.dataset import Array, Rows, Samples
from engine.training.data.randomness import Purpose, stream


class Plan(NamedTuple):
    """Rows of the samples, in ascending order. test is empty where the set has a test split of its own."""

    train: Rows
    validation: Rows
    test: Rows
    notes: tuple[str, ...]


def plan(section: schema.Data, samples: Samples) -> Plan:
    """Cut the test split from all samples, validation from the rest, then `size` for training from that.

    Shares are of all samples. Random cuts keep the classes' shares (stratified); a class with one sample
    stays in the training split, and a note says so. A set's own test split is kept whole.
    """
    n = len(samples.targets)
    cutter = _Cutter(section, samples)
    rest = np.arange(n, dtype=np.int64)
    test_share = section.test if isinstance(section, schema.SplitData) and samples.test is None else 0.0
    if section.validation + test_share >= 1:
        raise DataError(
            f"data.validation = {section.validation:g} and data.test = {test_share:g} leave nothing to train "
            "on: together they must stay below 1."
        )
    rest, test = cutter.hold_out(rest, test_share, Purpose.TEST)
    rest, validation = cutter.hold_out(rest, section.validation, Purpose.VALIDATION)
    if section.size is not None:
        rest = cutter.keep(rest, section.size)
    return Plan(rest, validation, test, tuple(cutter.notes))


class _Cutter:
    """Cuts rows into two, in order or at random, and collects what there is to say about it."""

    def __init__(self, section: schema.Data, samples: Samples) -> None:
        self.section = section
        self.samples = samples
        self.total = len(samples.targets)
        self.labels = samples.targets if samples.is_classification else None
        self.notes: list[str] = []

    def hold_out(self, rows: Rows, share: float, purpose: Purpose) -> tuple[Rows, Rows]:
        """(rows that are left, rows held out)."""
        if share == 0:
            return rows, rows[:0]
        key = f"data.{purpose.name.lower()}"
        count = math.floor(share * self.total + 0.5)
        if count == 0:
            raise DataError(self._too_few(key, share, count, 1, "sample"))
        if count >= len(rows):
            raise DataError(f"{key} = {share:g} leaves none of the {self.total} samples to train on.")
        if self.section.split == "ordered":
            return rows[:-count], rows[-count:]
        common, alone = self._without_lone_samples(rows)
        if self.labels is not None:
            classes = len(np.unique(self.labels[common]))
            if count < classes:
                raise DataError(self._too_few(key, share, count, classes, "of each class"))
            if len(common) - count < classes:
                raise DataError(
                    f"{key} = {share:g} leaves {len(common) - count} of {len(common)} samples to train on, "
                    f"fewer than the {classes} classes: make it smaller."
                )
        held_out = self._draw(common, count, purpose)
        left = np.setdiff1d(common, held_out, assume_unique=True)
        return np.sort(np.concatenate([left, alone])), np.sort(held_out)

    def keep(self, rows: Rows, count: int) -> Rows:
        """`count` of the rows, in ascending order."""
        if count > len(rows):
            held_out = "" if len(rows) == self.total else f" (of {self.total}, the others are held out)"
            raise DataError(
                f"data.size = {count}, but {self.samples.where} has {len(rows)} training samples{held_out}: "
                f"set data.size to {len(rows)} or fewer, or leave it out."
            )
        if count == len(rows):
            return rows
        common, alone = self._without_lone_samples(rows)
        if self.labels is not None:
            classes = len(np.unique(self.labels[rows]))
            if count < classes:
                raise DataError(
                    f"data.size = {count} is fewer than the {classes} classes of {self.samples.where}: "
                    f"set it to {classes} or more."
                )
        return np.sort(np.concatenate([self._draw(common, count - len(alone), Purpose.SIZE), alone]))

    def _draw(self, rows: Rows, count: int, purpose: Purpose) -> Rows:
        """`count` of the rows at random, with the classes' shares where there are classes."""
        generator = stream(self.section.seed, purpose)
        if count == 0:
            return rows[:0]
        if self.labels is None:
            return generator.permutation(rows)[:count]
        labels = self.labels[rows]
        if len(rows) - count < len(np.unique(labels)):
            # Nearly all are wanted, and there is not one of each class for the other side too.
            return generator.permutation(rows)[:count]
        return draw_stratified(rows, labels, count, generator)

    def _without_lone_samples(self, rows: Rows) -> tuple[Rows, Rows]:
        """(rows that can be stratified, rows that are their class's only one)."""
        if self.labels is None:
            return rows, rows[:0]
        labels = self.labels[rows]
        values, counts = np.unique(labels, return_counts=True)
        lone = values[counts == 1]
        for label in lone:
            note = (
                f"not stratified: class {self.samples.classes[label]!r} has one sample left, which is kept "
                "for training"
            )
            if note not in self.notes:
                self.notes.append(note)
        is_lone = np.isin(labels, lone)
        return rows[~is_lone], rows[is_lone]

    def _too_few(self, key: str, share: float, count: int, needed: int, of: str) -> str:
        enough = math.ceil(1000 * needed / self.total) / 1000
        if enough >= 1:
            return (
                f"{key} = {share:g} of {self.total} samples is {count}, and {needed} are needed ({of}): "
                f"there are too few samples for it. Set {key} = 0."
            )
        what = f"one {of}" if needed > 1 else f"at least one {of}"
        return (
            f"{key} = {share:g} of {self.total} samples is {count}; it needs {what}, so {needed}. Set "
            f"{key} to {enough:g} or more, or to 0 for none."
        )


def check_training_classes(samples: Samples, rows: Rows) -> None:
    """DataError when a class has no sample in the training split."""
    if not samples.is_classification:
        return
    missing = np.setdiff1d(np.arange(len(samples.classes)), np.unique(_labels(samples, rows)))
    if len(missing) == 0:
        return
    names = ", ".join(repr(samples.classes[label]) for label in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    in_all = int(np.isin(samples.targets, missing).sum())
    raise DataError(
        f"{samples.where}: no sample in the training split for class {names}{more} ({in_all} in all splits). "
        'Use data.split = "random", hold out less with data.validation and data.test, raise data.size, or '
        'leave the class out; if the targets are quantities, set data.task = "regression".'
    )


def _labels(samples: Samples, rows: Rows) -> Array:
    labels: Array = samples.targets[rows]
    return labels


Whole = NDArray[np.int64]


def draw_stratified(rows: Whole, labels: Whole, count: int, generator: np.random.RandomState) -> Whole:
    """(N,) rows, with a label each, -> `count` of them, in random order.

    Every class has two rows or more, and there is room for one of each among the drawn and among the others.
    """
    _, of_row, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = shares(sizes, count, generator)
    shares(sizes - wanted, len(rows) - count, generator)  # scikit-learn also draws the others, from the same stream
    of_class = np.split(np.argsort(of_row, kind="stable"), np.cumsum(sizes)[:-1])
    drawn = [own[generator.permutation(len(own))[:some]] for own, some in zip(of_class, wanted, strict=True)]
    chosen: Whole = rows[generator.permutation(np.concatenate(drawn))]
    return chosen


def shares(sizes: Whole, count: int, generator: np.random.RandomState) -> Whole:
    """(C,) sizes of the classes -> how many of each, in proportion, `count` in all.

    What rounding down leaves goes to the largest remainders, and among equal ones by lot.
    """
    exact = sizes / sizes.sum() * count
    given = np.floor(exact)
    left = int(count - given.sum())
    remainders = exact - given
    for remainder in np.unique(remainders)[::-1]:
        if left <= 0:
            break
        equal = np.flatnonzero(remainders == remainder)
        lucky = generator.choice(equal, size=min(len(equal), left), replace=False)
        given[lucky] += 1
        left -= len(lucky)
    counts: Whole = given.astype(np.int64)
    return counts
