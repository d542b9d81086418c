"""Inputs that give the target away: columns of which each value tells the target by itself.

Such a column is often made from the target, or known only once the target is. A model that has it scores almost
perfectly, and is of no use afterwards. Columns are only pointed out, because some are honest.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from descent.common.i18n import _
from engine.training.data.dataset import Array, Rows
from engine.training.data.table_columns import Column
from engine.training.data.table_encoding import InputColumn
from engine.training.data.table_file import TableFile

_LOOKED_AT = 5000  # rows, evenly over the table
_FEWEST = 30  # rows of which anything is said
_LEFT = 0.01  # of the errors, or of the variance, that a column may leave: 0.99 of the target is told by it
_EACH = 5  # rows of each value at least, on average, that a value's own target means something


def notes_on_leaks(
    file: TableFile, planned: Sequence[InputColumn], names: Sequence[str], rows: Rows, targets: Array
) -> list[str]:
    """Return a note on each input column that tells a target alone. Nothing is said of a single input.

    names: of the target columns. rows: those that are used. targets: (N,) labels, or (N, T) quantities.
    """
    if len(planned) < 2 or len(rows) < _FEWEST:
        return []
    some = np.arange(0, len(rows), -(-len(rows) // _LOOKED_AT))
    found = []
    for plan in planned:
        column = file.column(plan.name).pick(rows[some])
        for place, name in enumerate(names):
            if _tells(column, targets[some] if targets.ndim == 1 else targets[some, place]):
                found.append(
                    _(
                        "column {name!r} alone tells {target!r} almost exactly. If it is known only once {target!r} "
                        "is, leave it out: data.exclude = [{name!r}]",
                        name=plan.name,
                        target=name,
                    )
                )
    return found


def _tells(column: Column, targets: Array) -> bool:
    there = ~column.is_missing
    if there.sum() < max(_FEWEST, len(there) / 2):
        return False
    column, targets = column.pick(np.flatnonzero(there)), targets[there]
    numbers = column.as_numbers()
    given = column.codes if numbers is None else numbers.numbers
    assert given is not None
    values, groups = np.unique(given, return_inverse=True)
    is_quantity = targets.dtype.kind == "f"
    if len(values) < 2 or len(np.unique(targets)) < 2:
        return False
    if _EACH * len(values) <= len(targets) and (_by_group(groups, targets, is_quantity=is_quantity)):
        return True
    if numbers is None:
        return False
    return _by_line(groups, given, targets) if is_quantity else _by_cuts(given, targets)


def _by_group(groups: Array, targets: Array, *, is_quantity: bool) -> bool:
    """Return whether each value has a target of its own. groups: (n,) the place of each row's value."""
    if is_quantity:
        sizes = np.bincount(groups)
        means = np.bincount(groups, targets) / sizes
        return bool(np.square(targets - means[groups]).sum() <= _LEFT * np.square(targets - targets.mean()).sum())
    counts = np.zeros((groups.max() + 1, targets.max() + 1), np.int64)
    np.add.at(counts, (groups, targets), 1)
    return _is_little(len(targets) - counts.max(axis=1).sum(), targets)


def _by_line(ranks: Array, values: Array, targets: Array) -> bool:
    """Return whether the target is a straight line of the value, or rises or falls with it."""
    ranks_of_targets = np.unique(targets, return_inverse=True)[1]
    with np.errstate(all="ignore"):
        correlations = [np.corrcoef(values, targets)[0, 1], np.corrcoef(ranks, ranks_of_targets)[0, 1]]
    return any(1 - correlation**2 <= _LEFT for correlation in correlations)


def _by_cuts(values: Array, labels: Array) -> bool:
    """Return whether each class has a range of the values to itself."""
    classes = sorted(np.unique(labels).tolist(), key=lambda label: float(np.median(values[labels == label])))
    wrong = 0
    for lower, upper in pairwise(classes):
        of_both = np.isin(labels, (lower, upper))
        order = np.argsort(values[of_both], kind="stable")
        ordered, is_upper = values[of_both][order], labels[of_both][order] == upper
        # Wrong with a cut before place i: those of `upper` below it, and those of `lower` from there on.
        below = np.concatenate([[0], np.cumsum(is_upper)])
        above = np.concatenate([np.cumsum(~is_upper[::-1])[::-1], [0]])
        is_cut = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])
        wrong += int((below + above)[is_cut].min())
    return _is_little(wrong, labels)


def _is_little(wrong: int, labels: Array) -> bool:
    """Return whether these are few errors beside those of always guessing the largest class."""
    return bool(wrong <= _LEFT * (len(labels) - np.bincount(labels).max()))
