"""A training step that shuffles each batch first. It has a bug: find it."""

import torch


def shuffled(x, y):
    """The samples of a batch in a random order.

    x: tensor (batch, …), inputs. y: tensor (batch,), their labels.
    Returns both, in the new order.
    """
    x = x[torch.randperm(len(x))]
    y = y[torch.randperm(len(y))]
    return x, y


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch. There is no bug here.

    x: tensor (batch, 1, 8, 8), images. y: tensor (batch,), their classes 0 … 9.
    Returns the loss of the batch, a scalar tensor.
    """
    x, y = shuffled(x, y)
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
