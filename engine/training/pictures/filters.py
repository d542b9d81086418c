"""The weights of the layer that sees the images, as images."""

import math
from typing import Any

import numpy as np
from torch import nn

from engine.errors import DescentError
from engine.training import models
from engine.training.pictures.look import Arrays, Look, host


def filters(look: Look, options: dict[str, Any]) -> Arrays:
    """filters: (n, C, h, w) float32, each divided by its largest weight, so −1 to 1; scale: (n,) that weight.

    layer: its name; kind: in words; of: how many filters it has.
    """
    shape = look.run.dataset.input_shape
    # A norm before the first layer changes no shape.
    name, module = next((n, m) for n, m in models.layers(look.model) if " norm " not in models.describe(m))
    if isinstance(module, nn.Conv2d):
        weights = module.weight
    elif isinstance(module, nn.Linear) and module.in_features == math.prod(shape):
        weights = module.weight.view(-1, *shape)
    else:
        raise DescentError("its first layer is neither a convolution nor a linear layer over all pixels")
    first = host(weights[: options["most"]].float())
    scale = np.abs(first).max(axis=(1, 2, 3))
    divisor = np.where(scale > 0, scale, 1)[:, None, None, None]
    return {
        "filters": first / divisor,
        "scale": scale,
        "layer": np.array(name),
        "kind": np.array(models.describe(module)),
        "of": np.array(len(weights)),
    }
