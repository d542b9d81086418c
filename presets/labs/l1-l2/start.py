"""What the two penalties do to weights. Fill the two functions."""

import numpy as np


def decay(w, lr, l2):
    """One step of gradient descent on the penalty λ‖w‖² alone.

    w: array (n,). lr: the learning rate. l2: λ.
    Returns the weights after the step, an array (n,).
    """
    raise NotImplementedError("take the derivative of λ·w², and a step against it")


def shrink(w, lr, l1):
    """One step on the penalty λ‖w‖₁ alone: each weight moves by lr·λ towards 0.

    A weight that is closer to 0 than that becomes 0 and does not change its sign.
    w: array (n,). lr: the learning rate. l1: λ.
    Returns the weights after the step, an array (n,).
    """
    raise NotImplementedError("move each weight towards 0, but not beyond it: np.sign, np.abs, np.maximum")
