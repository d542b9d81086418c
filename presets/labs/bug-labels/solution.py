"""A training step that shuffles each batch first. The reference solution."""

import torch


def shuffled(x, y):
    """The samples of a batch in a random order.

    x: tensor (batch, …), inputs. y: tensor (batch,), their labels.
    Returns both, in the new order.
    """
    order = torch.randperm(len(x))
    return x[order], y[order]


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch.

    x: tensor (batch, 1, 8, 8), images. y: tensor (batch,), their classes 0 … 9.
    Returns the loss of the batch, a scalar tensor.
    """
    x, y = shuffled(x, y)
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
