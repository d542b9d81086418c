"""Loss surfaces over a point (x, y) of the plane: a training with no data, which shows what an optimizer does.

- bowl: (x² + y²) / 2. Round: the gradient points at the minimum, 0 at (0, 0). Gradient descent diverges above lr 2.
- ravine: x² / 20 + y². Twenty times as steep across as along; the minimum is 0 at (0, 0), gradient descent diverges
  above lr 1, and below it crawls along x.
- saddle: x² / 2 − y² / 2 + y⁴ / 4. A saddle point at (0, 0), where the gradient is 0 too; the minima are −1/4 at
  (0, 1) and (0, −1).
- plateau: 1 − exp(−(x² + y²) / 2). Nearly flat, at 1, farther than 3 from the minimum, which is 0 at (0, 0).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.preset import schema


class Point(nn.Module):
    """Two trained numbers, `x` and `y`. They are the outputs (B, 2) for any inputs (B, …)."""

    def __init__(self, x: float, y: float) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([x]))
        self.y = nn.Parameter(torch.tensor([y]))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([self.x, self.y]).expand(len(inputs), 2)


def point(section: schema.PointModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the point at its start."""
    return Point(*section.start)


def bowl(x: Tensor, y: Tensor) -> Tensor:
    return (x.square() + y.square()) / 2


def ravine(x: Tensor, y: Tensor) -> Tensor:
    return x.square() / 20 + y.square()


def saddle(x: Tensor, y: Tensor) -> Tensor:
    return x.square() / 2 - y.square() / 2 + y.square().square() / 4


def plateau(x: Tensor, y: Tensor) -> Tensor:
    return 1 - torch.exp(-bowl(x, y))


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bowl": bowl,
    "ravine": ravine,
    "saddle": saddle,
    "plateau": plateau,
}


def heights(shape: str, outputs: Tensor) -> Tensor:
    """Return the heights of the surface at points: (…, 2) -> (…,)."""
    return SHAPES[shape](outputs[..., 0], outputs[..., 1])
