"""How hard does a point pull on the line? Fill the two functions."""

import numpy as np


def pull(e, delta):
    """The derivative of the Huber loss: ½e² up to |e| = delta, and delta·(|e| − ½·delta) beyond.

    e: array (n,), the errors output − y. delta: a number > 0.
    Returns an array (n,): how hard, and in which direction, each point pulls.
    """
    raise NotImplementedError("return the derivative of the Huber loss at each e")


def rise(right, wrong, delta):
    """How far outliers lift a line that is fitted with the Huber loss.

    right: how many points lie around the true line. wrong: how many lie far above it.
    Each wrong point pulls up with its full delta. Once the line has risen by s < delta, each right point pulls
    down with s. The line stops where the two sums are equal.
    Returns s.
    """
    raise NotImplementedError("return the s at which the pulls are in balance")
