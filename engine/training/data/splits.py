"""The training, validation and test splits, as rows of a data set, before any input is read.

Stratified draws keep the classes' shares. They give exactly the samples of scikit-learn's
`train_test_split(…, stratify=labels)` without importing it. That import takes over a second, half as long as
PyTorch's, and every start of a classifier would wait for it (`python -m tests.tools.benchmarks start`).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from descent.common.errors import DataError
from descent.common.i18n import N_, _
from engine.preset import schema
from engine.training.data.array_files import listed
from engine.training.data.dataset import Array, Rows, Samples
from engine.training.data.randomness import Purpose, stream

_TOO_LARGE = N_(
    "data.size = {size}, but {where} has {count} training samples: set data.size to {count} or fewer, or leave it "
    "out."
)
_TOO_LARGE_OF_REST = N_(
    "data.size = {size}, but {where} has {count} training samples (of {total}, the others are held out): "
    "set data.size to {count} or fewer, or leave it out."
)
Whole = NDArray[np.int64]


class Plan(NamedTuple):
    """Rows of the samples, in ascending order. A split that the data set has of its own is empty here."""

    train: Rows
    validation: Rows
    test: Rows
    notes: tuple[str, ...]


def plan(section: schema.Data, samples: Samples) -> Plan:
    """Draw the test split from all samples, the validation split from the rest, and `size` of the rest for training.

    Shares are of all samples. Random draws are stratified: they keep the classes' shares. A class with one sample
    stays in the training split, and a note says so. A data set's own splits are used whole. Raises DataError if
    there are too few samples.
    """
    n = len(samples.targets)
    cutter = _Cutter(section, samples)
    rest = np.arange(n, dtype=np.int64)
    test_share = section.test if isinstance(section, schema.SplitData) and samples.test is None else 0.0
    validation_share = section.validation if samples.validation is None else 0.0
    if validation_share + test_share >= 1:
        raise DataError(
            _(
                "data.validation = {validation:g} and data.test = {test:g} leave nothing to train on: "
                "together they must be below 1.",
                validation=validation_share,
                test=test_share,
            )
        )
    rest, test = cutter.hold_out(rest, test_share, Purpose.TEST)
    rest, validation = cutter.hold_out(rest, validation_share, Purpose.VALIDATION)
    if section.size is not None:
        rest = cutter.keep(rest, section.size)
    return Plan(rest, validation, test, (*_unused_shares(section, samples), *cutter.notes))


def _unused_shares(section: schema.Data, samples: Samples) -> list[str]:
    """Return notes on shares in the preset that do nothing, because the data have such a split of their own.

    A share that is the default goes without saying.
    """
    own = {"validation": samples.validation, "test": samples.test}
    defaults = type(section).model_fields
    return [
        _("data.{key} is not used: {where} has a {key} split of its own", key=key, where=samples.where)
        for key, split in own.items()
        if split is not None and key in defaults and getattr(section, key) != defaults[key].default
    ]


class _Cutter:
    """Draws rows, in order or at random, and collects notes for the user."""

    def __init__(self, section: schema.Data, samples: Samples) -> None:
        self.section = section
        self.samples = samples
        self.total = len(samples.targets)
        self.labels = samples.targets if samples.is_classification else None
        self.notes: list[str] = []

    def hold_out(self, rows: Rows, share: float, purpose: Purpose) -> tuple[Rows, Rows]:
        """Return the rows that are left and the rows that are held out."""
        if share == 0:
            return rows, rows[:0]
        key = f"data.{purpose.name.lower()}"
        count = math.floor(share * self.total + 0.5)
        if count == 0:
            raise DataError(self._too_few(key, share, count, 1))
        if count >= len(rows):
            raise DataError(
                _(
                    "{key} = {share:g} leaves none of the {count} samples to train on.",
                    key=key,
                    share=share,
                    count=self.total,
                )
            )
        if self.section.split == "ordered":
            return rows[:-count], rows[-count:]
        common, alone = self._without_lone_samples(rows)
        if self.labels is not None:
            classes = len(np.unique(self.labels[common]))
            if count < classes:
                raise DataError(self._too_few(key, share, count, classes))
            if len(common) <= count:
                raise DataError(
                    _(
                        "{key} = {share:g} of {total} samples is {count}, but only {common} are of classes with two "
                        "samples or more: set {key} = 0, or leave rare classes out; if the targets are quantities, "
                        'set data.task = "regression".',
                        key=key,
                        share=share,
                        total=self.total,
                        count=count,
                        common=len(common),
                    )
                )
            if len(common) - count < classes:
                raise DataError(
                    _(
                        "{key} = {share:g} leaves {left} of {count} samples to train on, fewer than the {classes} "
                        "classes: make it smaller.",
                        key=key,
                        share=share,
                        left=len(common) - count,
                        count=len(common),
                        classes=classes,
                    )
                )
        held_out = self._draw(common, count, purpose)
        left = np.setdiff1d(common, held_out, assume_unique=True)
        return np.sort(np.concatenate([left, alone])), np.sort(held_out)

    def keep(self, rows: Rows, count: int) -> Rows:
        """Draw `count` of the rows. Returns them in ascending order."""
        if count > len(rows):
            text = _TOO_LARGE if len(rows) == self.total else _TOO_LARGE_OF_REST
            raise DataError(_(text, size=count, where=self.samples.where, count=len(rows), total=self.total))
        if count == len(rows):
            return rows
        common, alone = self._without_lone_samples(rows)
        if self.labels is not None:
            classes = len(np.unique(self.labels[rows]))
            if count < classes:
                raise DataError(
                    _(
                        "data.size = {size} is less than the {classes} classes of {where}: set it to {classes} or "
                        "more.",
                        size=count,
                        classes=classes,
                        where=self.samples.where,
                    )
                )
        return np.sort(np.concatenate([self._draw(common, count - len(alone), Purpose.SIZE), alone]))

    def _draw(self, rows: Rows, count: int, purpose: Purpose) -> Rows:
        """Draw `count` of the rows at random, stratified if there are classes."""
        generator = stream(self.section.seed, purpose)
        if count == 0:
            return rows[:0]
        if self.labels is None:
            return generator.permutation(rows)[:count]
        labels = self.labels[rows]
        if len(rows) - count < len(np.unique(labels)):
            # Nearly all rows are wanted, so the others can't hold one of each class.
            return generator.permutation(rows)[:count]
        return draw_stratified(rows, labels, count, generator)

    def _without_lone_samples(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return the rows that can be stratified, and the rows that are the only one of their class."""
        if self.labels is None:
            return rows, rows[:0]
        labels = self.labels[rows]
        values, counts = np.unique(labels, return_counts=True)
        lone = values[counts == 1]
        for label in lone:
            note = _(
                "not stratified: class {name!r} has one sample left, which is kept for training",
                name=self.samples.classes[label],
            )
            if note not in self.notes:
                self.notes.append(note)
        is_lone = np.isin(labels, lone)
        return rows[~is_lone], rows[is_lone]

    def _too_few(self, key: str, share: float, count: int, needed: int) -> str:
        """needed: samples, one for each class."""
        text = self._what_is_needed(key, share, count, needed)
        if needed > 2 and all(name.lstrip("-").isdecimal() for name in self.samples.classes):
            text += " " + _('If the targets are quantities, set data.task = "regression".')
        return text

    def _what_is_needed(self, key: str, share: float, count: int, needed: int) -> str:
        given = {"key": key, "share": share, "total": self.total, "count": count, "needed": needed}
        enough = math.ceil(1000 * needed / self.total) / 1000
        if enough >= 1:
            return _(
                "{key} = {share:g} of {total} samples is {count}, but {needed} are needed, one of each class. "
                "The data set is too small for that. Set {key} = 0.",
                **given,
            )
        if needed == 1:
            return _(
                "{key} = {share:g} of {total} samples is {count}, but at least one is needed. "
                "Set {key} to {enough:g} or more, or to 0 for none.",
                **given,
                enough=enough,
            )
        return _(
            "{key} = {share:g} of {total} samples is {count}, but {needed} are needed, one of each class. "
            "Set {key} to {enough:g} or more, or to 0 for none.",
            **given,
            enough=enough,
        )


def check_training_classes(samples: Samples, rows: Rows) -> None:
    """Raise DataError if a class has no sample in the training split."""
    if not samples.is_classification:
        return
    missing = np.setdiff1d(np.arange(len(samples.classes)), np.unique(_labels(samples, rows)))
    if len(missing) == 0:
        return
    in_all = int(np.isin(samples.targets, missing).sum())
    raise DataError(
        _(
            "{where}: no sample in the training split for class {names} ({count} in all splits). "
            'Use data.split = "random", hold out less with data.validation and data.test, raise data.size, or '
            'leave the class out; if the targets are quantities, set data.task = "regression".',
            where=samples.where,
            names=listed((samples.classes[label] for label in missing), most=5),
            count=in_all,
        )
    )


def _labels(samples: Samples, rows: Rows) -> Array:
    labels: Array = samples.targets[rows]
    return labels


def draw_stratified(rows: Whole, labels: Whole, count: int, generator: np.random.RandomState) -> Whole:
    """Draw `count` of the rows, (N,), with the classes' shares. Returns them in random order.

    labels: (N,). Every class must have two rows or more. Both the drawn and the other rows must have room for one of
    each class.
    """
    of_row, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    wanted = shares(sizes, count, generator)
    shares(sizes - wanted, len(rows) - count, generator)  # scikit-learn also draws the others, from the same stream
    of_class = np.split(np.argsort(of_row, kind="stable"), np.cumsum(sizes)[:-1])
    drawn = [own[generator.permutation(len(own))[:some]] for own, some in zip(of_class, wanted, strict=True)]
    chosen: Whole = rows[generator.permutation(np.concatenate(drawn))]
    return chosen


def shares(sizes: Whole, count: int, generator: np.random.RandomState) -> Whole:
    """Return how many of each class to draw, in proportion to their sizes, (C,), and `count` in all.

    What is left after rounding down goes to the largest remainders. Among equal remainders it is drawn at random.
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
