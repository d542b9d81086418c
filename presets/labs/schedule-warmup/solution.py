"""Learning-rate schedules: the reference solution."""

import math


def warm_up(step, warmup):
    """(step + 1)/warmup, then 1."""
    return (step + 1) / warmup if step < warmup else 1.0


def cosine(step, total):
    """From 1 at update 0 to 0 at the last one."""
    return (1 + math.cos(math.pi * step / (total - 1))) / 2


def inverse_time(step, decay):
    """1/(1 + decay·step)."""
    return 1 / (1 + decay * step)


def rate(step, lr, warmup, total):
    """Warm-up, then a cosine over the updates that are left."""
    if step < warmup:
        return lr * warm_up(step, warmup)
    return lr * cosine(step - warmup, total - warmup)
