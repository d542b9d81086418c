"""Fit y = b + w·x by gradient descent, by hand. Fill the three functions; the third way is gd-line.toml."""

import numpy as np
import torch


def gradient(b, w, x, y):
    """The gradient of MSE = mean((b + w·x − y)²) at the point (b, w).

    b, w: numbers. x, y: NumPy arrays of shape (n,).
    Returns two numbers: dMSE/db, dMSE/dw.
    """
    raise NotImplementedError("return dMSE/db and dMSE/dw")


def descend(x, y, lr, steps):
    """Gradient descent with NumPy alone, from b = 0, w = 0.

    x, y: NumPy arrays of shape (n,). lr: the learning rate. steps: how many updates.
    Each step: b ← b − lr · dMSE/db and w ← w − lr · dMSE/dw, both from the same gradient.
    Returns b, w after the last step.
    """
    raise NotImplementedError("call gradient(b, w, x, y) in a loop, then return b, w")


def loss(b, w, x, y, power):
    """Already written: mean((b + w·x − y)^power); with power = 2 it is the MSE."""
    return ((b + w * x - y) ** power).mean()


def descend_autograd(x, y, lr, steps, power=2):
    """The same with PyTorch's autograd, without an optimizer.

    x, y: float64 tensors of shape (n,). Let autograd find the gradient of loss(b, w, x, y, power): you will be
    graded with power = 2 and with another one.
    Returns b, w after `steps` updates from b = 0, w = 0, as numbers: .item() makes one of a tensor.
    """
    raise NotImplementedError("loss(…).backward(), then an update, then the gradients back to zero")
