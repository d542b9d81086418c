"""What batch norm asks of a batch."""

from typing import Any

import torch
from torch import Tensor, nn


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """The modules that have no variance to divide by where there is one value a channel."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def fewest_samples(model: nn.Module, inputs: Tensor) -> int:
    """How many samples the model can train on at once: 2 where a batch norm sees one value a channel of each, else 1.

    inputs: (B, *input_shape), some samples. Leaves the model as it was.
    """
    learning = [module for module in batch_norms(model) if module.training]  # frozen ones never do
    if not learning:
        return 1
    found: list[bool] = []

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        found.append(given[0].shape[2:].numel() == 1)  # (B, channels, *places)

    handles = [module.register_forward_pre_hook(look) for module in learning]
    training = model.training
    model.eval()
    try:
        model(inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return 2 if any(found) else 1
