"""How hard a point pulls on the line: the reference solution."""

import numpy as np


def pull(e, delta):
    """The derivative of the Huber loss at each error; e: (n,)."""
    return np.clip(e, -delta, delta)


def rise(right, wrong, delta):
    """s with right · s = wrong · delta."""
    return wrong * delta / right
