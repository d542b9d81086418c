"""Adam has begun the training, SGD goes on from its checkpoint. There is a bug: find it."""

import torch


def adam_checkpoint(model, loss_function, x, y):
    """Train with Adam for 20 steps, and return the checkpoint. There is no bug here.

    Returns a dict with two states: that under "model" and that of Adam under "optimizer".
    """
    adam = torch.optim.Adam(model.parameters(), lr=0.001)
    for _ in range(20):
        adam.zero_grad()
        loss_function(model(x), y).backward()
        adam.step()
    return {"model": model.state_dict(), "optimizer": adam.state_dict()}


def resume(checkpoint, model, optimizer):
    """Go on from a checkpoint. optimizer: torch.optim.SGD, with the rate and the momentum of the preset."""
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    for group in optimizer.param_groups:
        group.setdefault("momentum", 0.0)  # without these two lines, step() says KeyError: 'momentum'
        group.setdefault("dampening", 0.0)


def hand_over(model, loss_function, optimizer, x, y):
    """From Adam to the optimizer of the preset. There is no bug here."""
    resume(adam_checkpoint(model, loss_function, x, y), model, optimizer)


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch; at the first call, hand over before. There is no bug here.

    x: tensor (batch, 1, 8, 8), images. y: tensor (batch,), their classes 0 … 9.
    Returns the loss of the batch, a scalar tensor.
    """
    if not optimizer.state:  # it has made no step yet
        hand_over(model, loss_function, optimizer, x, y)
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
