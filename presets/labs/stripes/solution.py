"""One training step, called for every batch: the reference solution."""


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch: x (batch, 2), y (batch,). Returns the loss, a scalar tensor."""
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
