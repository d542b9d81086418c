"""One training step, called for every batch. It has a bug: find it."""


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch.

    model: torch.nn.Module. loss_function(outputs, targets) -> scalar tensor. optimizer: of torch.optim.
    x: tensor (batch, 2), the points. y: tensor (batch,), their classes, 0 or 1.
    Returns the loss of the batch, a scalar tensor.
    """
    outputs = model(x)  # forward
    loss = loss_function(outputs, y)
    loss.backward()  # backward
    optimizer.step()  # update
    return loss
