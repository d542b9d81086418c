"""Drawing samples with their classes' shares, as scikit-learn's `train_test_split(…, stratify=labels)` draws them.

The very same samples, to the last one, without importing it: that takes over a second, half as long as PyTorch, and
every start of a classifier would wait for it (`python -m tests.benchmarks start`).
"""

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


def draw(rows: Whole, labels: Whole, count: int, generator: np.random.RandomState) -> Whole:
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
