"""300 patients, cut into three parts. There is a bug: find it."""

import numpy as np


def parts():
    """The rows that train, those that choose the checkpoint, and those that are reported: three arrays of numbers.

    180, 60 and 60 of the rows 0 … 299.
    """
    rows = np.arange(300)
    held_out = rows[240:]
    return rows[:180], held_out, held_out


def table():
    """What Descent trains on: inputs (300, 20) and classes (300,), in the order of `parts`. There is no bug here.

    The measurements are noise, and the classes are tosses of a coin: there is nothing to learn.
    """
    coin = np.random.default_rng(0)
    x, y = coin.normal(size=(300, 20)).astype(np.float32), coin.integers(0, 2, 300)
    order = np.concatenate(parts())
    return x[order], y[order]
