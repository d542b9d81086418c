"""Streams of random numbers on the host: the same on every device, and one for each purpose.

Each purpose has its own stream, so that asking for noise, say, does not change the split.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of what makes a run repeatable: never change one."""

    MADE = 0
    TEST = 1
    VALIDATION = 2
    SIZE = 3
    NOISE = 4
    LABELS = 5


def stream(seed: int, purpose: Purpose) -> np.random.RandomState:
    """The stream of `purpose`; `seed` may be any whole number from 0."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, purpose])))


def legacy(seed: int) -> np.random.RandomState:
    """NumPy's legacy generator as `np.random.seed(seed)` leaves it: the course's figures hold only for it."""
    return np.random.RandomState(seed) if seed < 2**32 else stream(seed, Purpose.MADE)
