"""Softmax and cross-entropy, from scratch. Fill the two functions."""

import torch


def softmax(z, temperature=1.0):
    """Probabilities from logits.

    z: tensor (batch, classes), the logits. temperature: a number > 0; the logits are divided by it first.
    It must stand large logits: exp(1000) is inf, and inf / inf is nan.
    Returns a tensor of the same shape. Each row adds up to 1.
    """
    raise NotImplementedError("return the probabilities")


def cross_entropy(z, y):
    """The mean of −log p over the batch, p being the probability that softmax gives to the right class.

    z: tensor (batch, classes), the logits. y: tensor (batch,), the right classes 0, 1, 2 …
    It must stand large logits, too: log(0) is −inf.
    Returns a scalar tensor. Descent trains with it.
    """
    raise NotImplementedError("return the mean of −log p of the right classes")
