"""How the error falls with more data: error = a · n^(−b). Fill the two functions."""

import numpy as np


def fit(n, error):
    """a and b of error = a · n^(−b), by least squares of the logarithms.

    n: array (k,), numbers of samples. error: array (k,), the test error with each.
    The logarithm of both sides is a straight line: log error = log a − b · log n.
    Returns two numbers, a and b.
    """
    raise NotImplementedError("return a and b")


def needed(a, b, error):
    """How many samples it takes to come down to this error; need not be a whole number."""
    raise NotImplementedError("return n")
