"""Fit y = b + w·x by gradient descent, with NumPy alone. Fill the two functions."""

import numpy as np


def gradient(b, w, x, y):
    """The gradient of MSE = mean((b + w·x − y)²) at the point (b, w).

    b, w: numbers. x, y: NumPy arrays of shape (n,).
    Returns two numbers: dMSE/db, dMSE/dw.
    """
    raise NotImplementedError("return dMSE/db and dMSE/dw")


def descend(x, y, lr, steps):
    """Gradient descent from b = 0, w = 0.

    x, y: NumPy arrays of shape (n,). lr: the learning rate. steps: how many updates.
    Each step: b ← b − lr · dMSE/db and w ← w − lr · dMSE/dw, both from the same gradient.
    Returns b, w after the last step.
    """
    raise NotImplementedError("call gradient(b, w, x, y) in a loop, then return b, w")
