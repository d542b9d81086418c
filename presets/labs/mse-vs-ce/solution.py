"""Two losses of one sigmoid unit, and where they part: the reference solution."""

import numpy as np


def sigmoid(z):
    """1 / (1 + exp(−z))."""
    return 1 / (1 + np.exp(-z))


def gradient_mse(z, y):
    """The derivative of (σ(z) − y)² by z; z, y: (n,)."""
    p = sigmoid(z)
    return 2 * (p - y) * p * (1 - p)


def gradient_ce(z, y):
    """The derivative of the cross-entropy by z; z, y: (n,)."""
    return sigmoid(z) - y


def edge(ratio):
    """The negative z with 1 / (2p(1 − p)) = ratio, p being σ(z)."""
    p = (1 - np.sqrt(1 - 2 / ratio)) / 2
    return float(np.log(p / (1 - p)))
