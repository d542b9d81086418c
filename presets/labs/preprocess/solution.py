"""Standardise the inputs of a data set: the reference solution."""

import numpy as np


def standardise(train, test):
    """Both with mean 0 and standard deviation 1 in each column of train; constant columns become 0."""
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.where(std == 0, 1.0, std)
    return (train - mean) / std, (test - mean) / std
