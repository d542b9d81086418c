"""Fit y = b + w·x by gradient descent, by hand: the reference solution."""


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
