"""The straight pieces of a ReLU network with one input: the reference solution."""

import numpy as np


def relu(x):
    return np.maximum(x, 0.0)


def pieces(w, b, v, low, high):
    """One more than the places between low and high where a unit that counts bends."""
    bends = (w != 0) & (v != 0)
    places = np.unique(-b[bends] / w[bends])
    return int(((places > low) & (places < high)).sum()) + 1


def tent(x):
    """Slope 2, from ½ on 4 less."""
    return 2 * relu(x) - 4 * relu(x - 0.5)


def folded(x, depth):
    """The tent of the tent of the tent …"""
    for _ in range(depth):
        x = tent(x)
    return x
