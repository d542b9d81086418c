"""Fit y = b + w·x by gradient descent, by hand: the reference solution."""

import torch


def gradient(b, w, x, y):
    """dMSE/db and dMSE/dw at (b, w); x, y: arrays (n,)."""
    error = b + w * x - y
    return 2 * error.mean(), 2 * (error * x).mean()


def descend(x, y, lr, steps):
    """b, w after `steps` updates from b = 0, w = 0."""
    b = w = 0.0
    for _ in range(steps):
        db, dw = gradient(b, w, x, y)
        b, w = b - lr * db, w - lr * dw
    return b, w


def loss(b, w, x, y, power):
    """mean((b + w·x − y)^power)"""
    return ((b + w * x - y) ** power).mean()


def descend_autograd(x, y, lr, steps, power=2):
    """The same with autograd, for any power."""
    b = torch.zeros((), dtype=x.dtype, requires_grad=True)
    w = torch.zeros((), dtype=x.dtype, requires_grad=True)
    for _ in range(steps):
        loss(b, w, x, y, power).backward()
        with torch.no_grad():
            b -= lr * b.grad
            w -= lr * w.grad
        b.grad = w.grad = None
    return b.item(), w.item()
