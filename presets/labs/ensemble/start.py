"""Two ways to make one answer of several networks'. Fill the two functions."""

import numpy as np


def average(logits):
    """The mean of the members' probabilities.

    logits: array (members, samples, classes), the raw outputs. The softmax of each member's comes first.
    Returns an array (samples, classes).
    """
    raise NotImplementedError("return the mean probabilities")


def vote(logits):
    """The class that most members choose; of those with as many votes, the one with the smallest number.

    logits: array (members, samples, classes). Returns an array (samples,) of whole numbers.
    """
    raise NotImplementedError("return a class for each sample")
