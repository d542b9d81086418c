"""One training step, in four parts: the reference solution."""

PARTS = 4


def train_step(model, loss_function, optimizer, x, y):
    """Update the model once, from one batch that is computed in parts, as if memory were short.

    model: torch.nn.Module. loss_function(outputs, targets) -> scalar tensor, a mean. optimizer: of torch.optim.
    x: tensor (batch, 1, 8, 8), images. y: tensor (batch,), their classes 0 … 9.
    Returns the loss of the batch, a scalar tensor.
    """
    optimizer.zero_grad()  # once a step: the parts of this batch add up, and nothing of the last one
    total = 0.0
    for part_x, part_y in zip(x.chunk(PARTS), y.chunk(PARTS)):
        share = len(part_y) / len(y)  # so that the parts add up to the mean over the batch
        loss = loss_function(model(part_x), part_y) * share
        loss.backward()
        total = total + loss.detach()
    optimizer.step()
    return total
