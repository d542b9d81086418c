"""Activations by the names that a preset gives them: modules, so that their outputs can be watched."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Maxout(nn.Module):
    """The largest of `pieces` linear functions (Goodfellow et al., 2013).

    (…, width · pieces) -> (…, width)
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (-1, self.pieces)).amax(dim=-1)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}


def activation(name: str, pieces: int = 2) -> nn.Module:
    """pieces: of a maxout unit, whose layer must be that many times as wide."""
    return Maxout(pieces) if name == "maxout" else ACTIVATIONS[name]()
