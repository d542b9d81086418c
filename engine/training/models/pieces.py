"""The straight pieces that a network of one input is made of, where only ReLU or LeakyReLU bend it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

_SAME = 1e-9  # of the range: places closer than this are one
_STRAIGHT = 1e-6  # of the steepest slope: smaller changes are rounding


@torch.no_grad()
def kinks(model: nn.Module, low: float, high: float) -> Tensor | None:
    """Return the places between `low` and `high` where the output bends, in order, (K,) float64: K + 1 pieces.

    The places are exact: on each piece every unit is a straight line, so that its values at the ends of the piece say
    where it crosses 0. low, high: of the input as the model takes it. Returns None for a model that is something else
    than linear layers, one after another, with ReLU or LeakyReLU between them, and for one without any.
    """
    layers = list(_in_order(model))
    shapes = (nn.Flatten, nn.Identity, nn.Dropout)  # of a model in use, dropout changes nothing
    bending = (nn.ReLU, nn.LeakyReLU)
    if not all(isinstance(layer, (nn.Linear, *shapes, *bending)) for layer in layers):
        return None
    first = next((layer for layer in layers if isinstance(layer, nn.Linear)), None)
    if first is None or first.in_features != 1 or not any(isinstance(layer, bending) for layer in layers):
        return None
    ends = torch.tensor([low, high], dtype=torch.float64, device=first.weight.device)
    values = ends[:, None]  # (ends, units)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            values = values @ layer.weight.double().T
            values = values if layer.bias is None else values + layer.bias.double()
        elif isinstance(layer, bending):
            ends, values = _split_at_zeros(ends, values)
            values = torch.where(values > 0, values, values * getattr(layer, "negative_slope", 0.0))
    slopes = values.diff(dim=0) / ends.diff()[:, None]
    bends = slopes.diff(dim=0).abs() > _STRAIGHT * slopes.abs().max()
    return ends[1:-1][bends.any(dim=1)]


def _in_order(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of nested nn.Sequential, in their order."""
    for module in model.children() if isinstance(model, nn.Sequential) else [model]:
        if isinstance(module, nn.Sequential):
            yield from _in_order(module)
        else:
            yield module


def _split_at_zeros(ends: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Split the pieces where a unit crosses 0. ends: (E,). values: (E, units), straight between two ends."""
    before, after = values[:-1], values[1:]
    piece, unit = torch.nonzero(before * after < 0, as_tuple=True)
    share = before[piece, unit] / (before[piece, unit] - after[piece, unit])
    places = ends[piece] + share * ends.diff()[piece]
    new = torch.cat([ends, places])
    between = torch.cat([values, before[piece] + share[:, None] * (after[piece] - before[piece])])
    order = new.argsort()
    new, between = new[order], between[order]
    apart = torch.cat([torch.ones_like(new[:1], dtype=torch.bool), new.diff() > _SAME * (ends[-1] - ends[0])])
    return new[apart], between[apart]
