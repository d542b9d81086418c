"""Two ways to make one answer of several networks': the reference solution."""

import numpy as np


def average(logits):
    """Softmax over the classes first, then the mean over the members."""
    e = np.exp(logits - logits.max(axis=2, keepdims=True))
    return (e / e.sum(axis=2, keepdims=True)).mean(axis=0)


def vote(logits):
    """argmax takes the first of equal counts, which is the smallest class."""
    chosen = logits.argmax(axis=2)
    counts = [(chosen == k).sum(axis=0) for k in range(logits.shape[2])]
    return np.argmax(counts, axis=0)
