"""The folds of cross-validation. Fill in the function."""

import numpy as np


def folds(n, k, seed):
    """Cut the indices 0 … n − 1 into k folds, in shuffled order.

    n: how many samples there are. k: how many folds, 2 … n. seed: of the shuffling.
    Each index is in exactly one fold; the sizes differ by 1 at most; the same seed gives the same folds.
    Returns a list of k arrays of integers.
    """
    raise NotImplementedError("shuffle the indices with the seed, then cut them into k parts")
