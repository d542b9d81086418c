"""Measure, save and load a model. Fill the three functions."""

import torch


def accuracy(model, x, y):
    """The share of right predictions.

    model: torch.nn.Module; model(x) gives a score for each class, (n, 10).
    x: tensor (n, 1, 28, 28), images. y: tensor (n,), their classes 0 … 9.
    Measure in evaluation mode and without gradients; leave the model in the mode it was in.
    Returns a number from 0 to 1.
    """
    raise NotImplementedError("return the share of right predictions")


def save(path, model, optimizer, test_accuracy):
    """Write a checkpoint, one file.

    path: where. optimizer: of torch.optim. test_accuracy: a number from 0 to 1.
    The file holds a dict with the keys "model", "optimizer" and "test_accuracy".
    """
    raise NotImplementedError("torch.save a dict with model, optimizer and test_accuracy")


def load(path, model, optimizer):
    """Put what `save` wrote into this model and this optimizer.

    Returns the test accuracy that was saved.
    """
    raise NotImplementedError("torch.load the file, then load_state_dict for both")
