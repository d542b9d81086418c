"""What the two penalties do to weights: the reference solution."""

import numpy as np


def decay(w, lr, l2):
    """w after one step on λ‖w‖² alone, whose derivative is 2λw."""
    return w - lr * 2 * l2 * w


def shrink(w, lr, l1):
    """w after one step on λ‖w‖₁ alone: by lr·λ towards 0, and not beyond it."""
    return np.sign(w) * np.maximum(np.abs(w) - lr * l1, 0.0)
