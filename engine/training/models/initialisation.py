"""Initial weights. Where a rule is chosen, biases begin at 0; "default" leaves both to PyTorch."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from engine import schema

LEAKY_SLOPE = 0.01  # nn.LeakyReLU's


def initialise(model: nn.Module, section: schema.InitialisedModel, activation: str = "relu") -> nn.Module:
    """Draw the weights of linear, convolutional and recurrent layers anew, by the rule `section.init`.

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
        # The gates of an LSTM are stacked in one matrix; each is a layer of its own to Xavier.
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
