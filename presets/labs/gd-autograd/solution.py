"""Fit y = b + w·x with PyTorch: the reference solution."""

import torch


def loss(b, w, x, y, power):
    """mean((b + w·x − y)^power)"""
    return ((b + w * x - y) ** power).mean()


def descend_autograd(x, y, lr, steps, power=2):
    """Gradient descent with autograd, for any power."""
    b = torch.zeros((), dtype=x.dtype, requires_grad=True)
    w = torch.zeros((), dtype=x.dtype, requires_grad=True)
    for _ in range(steps):
        loss(b, w, x, y, power).backward()
        with torch.no_grad():
            b -= lr * b.grad
            w -= lr * w.grad
        b.grad = w.grad = None
    return b.item(), w.item()


def train_step(model, loss_function, optimizer, x, y):
    """One step with torch.optim."""
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
