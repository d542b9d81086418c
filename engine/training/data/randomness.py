"""Streams of random numbers on the host, which are the same on every device.

Each purpose has its own stream, so that noise, say, does not change the split. The user's own code draws from the
global generators of torch, NumPy and Python, which are seeded here.
"""

import random
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """The purpose of a stream. Runs are repeatable only while these numbers stay as they are, so never change one."""

    MADE = 0
    TEST = 1
    VALIDATION = 2
    SIZE = 3
    NOISE = 4
    LABELS = 5
    MEMBERS = 6
    NOISE_COLUMNS = 7


def stream(seed: int, purpose: Purpose) -> np.random.RandomState:
    """Return the stream of `purpose`. seed: any whole number ≥ 0."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, purpose])))


def seed_all(seed: int) -> None:
    """Seed the global generators of torch, NumPy and Python. seed: any whole number ≥ 0."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def legacy(seed: int) -> np.random.RandomState:
    """Return NumPy's legacy generator as after `np.random.seed(seed)`, which the figures of the course need."""
    return np.random.RandomState(seed) if seed < 2**32 else stream(seed, Purpose.MADE)
