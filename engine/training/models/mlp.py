"""The multi-layer perceptron."""

from collections import OrderedDict
from math import prod

from torch import nn

from engine import schema
from engine.training.models.activations import activation
from engine.training.models.initialisation import initialise


def mlp(section: schema.MlpModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Flatten, then for each width Linear (BatchNorm) activation (Dropout), then Linear."""
    parts = OrderedDict[str, nn.Module](flatten=nn.Flatten())
    before = prod(input_shape)
    pieces = section.pieces if section.activation == "maxout" else 1
    for i, width in enumerate(section.widths, start=1):
        # A batch norm takes the mean away, and any bias before it.
        parts[f"hidden{i}"] = nn.Linear(before, width * pieces, bias=not section.batch_norm)
        if section.batch_norm:
            parts[f"norm{i}"] = nn.BatchNorm1d(width * pieces)
        parts[f"act{i}"] = activation(section.activation, pieces)
        if section.dropout:
            parts[f"dropout{i}"] = nn.Dropout(section.dropout)
        before = width
    parts["head"] = nn.Linear(before, outputs)
    return initialise(nn.Sequential(parts), section, section.activation)
