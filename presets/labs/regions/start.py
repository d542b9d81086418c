"""The straight pieces of a ReLU network with one input. Fill the three functions."""

import numpy as np


def relu(x):
    return np.maximum(x, 0.0)


def pieces(w, b, v, low, high):
    """How many straight pieces Σ v·relu(w·x + b) has between low and high.

    w, b, v: arrays (h,), of h units. Kinks at low or high themselves don't count.
    """
    raise NotImplementedError("find the kinks and return a whole number")


def tent(x):
    """0 at 0, up to 1 at ½, down to 0 at 1: of two relu's. x: array, between 0 and 1."""
    raise NotImplementedError("return an array of the shape of x")


def folded(x, depth):
    """The tent, put into itself: depth 1 is tent(x), depth 2 is tent(tent(x))."""
    raise NotImplementedError("return an array of the shape of x")
