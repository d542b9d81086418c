"""Layers: names, activations, initial weights, and the smallest batch for batch norm.

With a rule of initialisation biases begin at 0. "default" leaves weights and biases to PyTorch.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _, ngettext
from descent.loop import layers as of_any_model
from engine.preset import schema
from engine.training.surfaces import Point

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}
LEAKY_SLOPE = 0.01  # nn.LeakyReLU's
layers = of_any_model.layers  # as the models have it beside their own


class Maxout(nn.Module):
    """The largest of `pieces` linear functions (Goodfellow et al., 2013): (…, width · pieces) -> (…, width)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (-1, self.pieces)).amax(dim=-1)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


def activation(name: str, pieces: int = 2) -> nn.Module:
    """Return an activation module. pieces: of a maxout unit, whose layer must be that many times as wide."""
    return Maxout(pieces) if name == "maxout" else ACTIVATIONS[name]()


def initialise(model: nn.Module, section: schema.InitialisedModel, activation: str = "relu") -> nn.Module:
    """Draw the weights of linear, convolutional and recurrent layers by the rule `section.init`.

    normal: N(0, init_std²). xavier: variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010). he: variance
    2 / fan_in, and with leaky ReLUs 2 / ((1 + slope²) fan_in) (He et al., 2015). Returns the model itself.
    """
    if section.init == "default":
        return model
    for module in model.modules():
        for weight in _weights(module):
            _fill(weight, section, activation)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name.rpartition(".")[2]:
                parameter.zero_()
    return model


def _weights(module: nn.Module) -> Iterator[Tensor]:
    if isinstance(module, nn.Linear | nn.Conv2d):
        yield module.weight
    elif isinstance(module, nn.RNNBase):
        # The gates of an LSTM are stacked in one matrix. Xavier treats each as a layer of its own.
        gates = {"LSTM": 4, "GRU": 3}.get(module.mode, 1)
        for name, parameter in module.named_parameters(recurse=False):
            if name.startswith("weight"):
                yield from parameter.detach().chunk(gates)


def _fill(weight: Tensor, section: schema.InitialisedModel, activation: str) -> None:
    match section.init:
        case "normal":
            nn.init.normal_(weight, std=section.init_std)
        case "xavier":
            nn.init.xavier_normal_(weight)
        case "he":
            slope = LEAKY_SLOPE if activation == "leaky-relu" else 0.0
            nn.init.kaiming_normal_(weight, a=slope, nonlinearity="leaky_relu")
        case "zeros":
            nn.init.zeros_(weight)


def describe(module: nn.Module) -> str:
    """Describe a layer in the words of the run's files, which are always English: "linear 784 × 128"."""
    return "point x, y" if isinstance(module, Point) else of_any_model.describe(module)


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a sample's shape in words."""
    match shape:
        case (features,):
            return ngettext("tables of {count} column", "tables of {count} columns", features)
        case (steps, features):
            return _("sequences of {steps} steps of {features}", steps=steps, features=features)
        case (channels, height, width):
            return ngettext(
                "images of {height} × {width} with {count} channel",
                "images of {height} × {width} with {count} channels",
                channels,
                height=height,
                width=width,
            )
    return _("of shape {shape}", shape=shape)


def refuse(name: str, takes: str, input_shape: tuple[int, ...]) -> PresetError:
    """Return the error for inputs that the model can't take. takes: what it takes, in the current language."""
    return PresetError(
        _(
            'model.name = "{name}" takes {takes}; the data are {data}',
            name=name,
            takes=takes,
            data=shape_text(input_shape),
        )
    )


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Return the batch norms. They can't compute a variance from one value in each channel."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def fewest_samples(model: nn.Module, inputs: Tensor) -> int:
    """Return the smallest batch that the model can train on.

    It is 2 if a batch norm gets one value per channel and sample, else 1.
    inputs: (B, *input_shape), some samples. Does not change the model.
    """
    # Frozen batch norms are always in evaluation mode.
    learning = [module for module in batch_norms(model) if module.training]
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
