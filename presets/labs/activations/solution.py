"""Activation functions and their slopes, in NumPy: the reference solution."""

import numpy as np


def tanh_slope(z):
    """1 − tanh², which is 1 at 0 and never more."""
    return 1 - np.tanh(z) ** 2


def leaky_relu(z):
    """The slope below 0 is 0.01."""
    return np.where(z > 0, z, 0.01 * z)


def elu(z):
    """exp of what is at most 0: np.where computes both branches everywhere."""
    return np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1)


def maxout(z):
    """The maximum over the pieces."""
    return z.max(axis=1)
