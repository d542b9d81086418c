"""Models of one linear layer, and the multi-layer perceptron."""

from collections import OrderedDict
from math import prod

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.preset import schema
from engine.training.models.layers import activation, initialise


def mlp(section: schema.MlpModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build an MLP: Flatten, then for each width Linear (BatchNorm) activation (Dropout), then Linear."""
    parts = OrderedDict[str, nn.Module](flatten=nn.Flatten())
    before = prod(input_shape)
    pieces = section.pieces if section.activation == "maxout" else 1
    for i, width in enumerate(section.widths, start=1):
        # A batch norm subtracts the mean, and with it any bias before it.
        parts[f"hidden{i}"] = nn.Linear(before, width * pieces, bias=not section.batch_norm)
        if section.batch_norm:
            parts[f"norm{i}"] = nn.BatchNorm1d(width * pieces)
        parts[f"act{i}"] = activation(section.activation, pieces)
        if section.dropout:
            parts[f"dropout{i}"] = nn.Dropout(section.dropout)
        before = width
    parts["head"] = nn.Linear(before, outputs)
    return initialise(nn.Sequential(parts), section, section.activation)


class Powers(nn.Module):
    """The powers x, x², …, x^degree of every feature: (…, F) -> (…, F · degree)."""

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.degree = degree

    def forward(self, x: Tensor) -> Tensor:
        # By repeated products, because the backward pass of pow() takes logarithms.
        powers = [x]
        for _power in range(1, self.degree):
            powers.append(powers[-1] * x)
        return torch.cat(powers, dim=-1)

    def extra_repr(self) -> str:
        return f"degree={self.degree}"


def linear(section: schema.LinearModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a linear model, wx + b."""
    parts = OrderedDict[str, nn.Module](
        flatten=nn.Flatten(), linear=nn.Linear(prod(input_shape), outputs, bias=section.bias)
    )
    return initialise(nn.Sequential(parts), section, activation="none")


def softmax(section: schema.LinearModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a model with one linear output for each class. The loss applies the softmax."""
    if outputs < 2:
        raise PresetError(
            _(
                'model.name = "softmax" has one output for each class, but the loss needs a single one: '
                'use loss.name = "cross-entropy", or model.name = "linear"'
            )
        )
    return linear(section, input_shape, outputs)


def perceptron(section: schema.LinearModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a model with one linear output, whose sign decides between two classes."""
    if outputs != 1:
        raise PresetError(
            _(
                'model.name = "perceptron" has one output, but the loss needs {count}: '
                'use loss.name = "perceptron" or "bce" (2 classes), or model.name = "softmax"',
                count=outputs,
            )
        )
    return linear(section, input_shape, outputs)


def polynomial(section: schema.PolynomialModel, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build a model that is linear in the powers 1 … degree of every input feature."""
    features = prod(input_shape) * section.degree
    parts = OrderedDict[str, nn.Module](
        flatten=nn.Flatten(),
        powers=Powers(section.degree),
        linear=nn.Linear(features, outputs, bias=section.bias),
    )
    return initialise(nn.Sequential(parts), section, activation="none")
