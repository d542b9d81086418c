"""Standardise the inputs of a data set. Fill the function."""

import numpy as np


def standardise(train, test):
    """Both arrays with each column moved to mean 0 and stretched to standard deviation 1.

    train: array (n, features), of the training samples. test: array (m, features).
    What is needed to do so is learned from `train` alone, and used for both.
    A column that has one value only becomes 0, not nan.
    Returns the two arrays.
    """
    raise NotImplementedError("return train and test, standardised")
