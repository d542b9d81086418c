"""Least squares on random features, with fewer features than samples and with more: the reference solution."""

import torch
from torch.nn.functional import one_hot


def least_norm(features, targets):
    """The weights that fit best, and of several the shortest; features: (n, p), targets: (n, k)."""
    n, p = features.shape
    if p <= n:  # fewer features than samples: one best answer
        return torch.linalg.lstsq(features, targets).solution
    return features.T @ torch.linalg.solve(features @ features.T, targets)


def squared_error(outputs, labels):
    """The mean squared distance of the outputs, (n, 10), from 1 for the right class and 0 for the others."""
    return ((outputs - one_hot(labels, outputs.shape[1])) ** 2).mean()


def step(model, loss_function, optimizer, x, y):
    """Go the share lr of the way to the weights that least_norm finds. Only the last layer moves."""
    *before, head = model
    features = x
    for layer in before:
        features = layer(features)
    best = least_norm(features.double(), one_hot(y, head.out_features).double())
    lr = optimizer.param_groups[0]["lr"]
    with torch.no_grad():
        head.weight += lr * (best.T - head.weight)
        head.bias *= 1 - lr
        return loss_function(model(x), y)
