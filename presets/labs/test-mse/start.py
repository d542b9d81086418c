"""The test MSE of any model, in PyTorch alone. Fill the function."""

import torch


def test_mse(model, x, y, batch_size=16):
    """The mean squared error of a model over all n test samples.

    model: a torch.nn.Module, anywhere (CPU or GPU), in any mode; its output is (batch, 1).
    x: tensor (n, features), y: tensor (n, 1) or (n,), both on the CPU.
    batch_size: at most so many samples go through the model at once.
    Returns a float, and leaves the model in the mode it was in.
    """
    raise NotImplementedError("the sum of squared errors over all batches, divided by n")
