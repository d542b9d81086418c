"""Learning-rate schedules: the factor, or the rate, of update number `step`, counted from 0. Fill all four."""

import math


def warm_up(step, warmup):
    """The factor of a warm-up over `warmup` updates: a straight line that is 1 at its last update, then 1."""
    raise NotImplementedError("return the factor")


def cosine(step, total):
    """Half a cosine: 1 at update 0, 0 at the last of `total` updates (there are at least two)."""
    raise NotImplementedError("return the factor; math.cos and math.pi are at hand")


def inverse_time(step, decay):
    """Robbins and Monro's: falls like 1/step in the long run, and is 1 at update 0."""
    raise NotImplementedError("return the factor")


def rate(step, lr, warmup, total):
    """The learning rate itself: warm-up first, then a cosine over the updates that are left of `total`."""
    raise NotImplementedError("return the rate; warm_up and cosine do most of it")
