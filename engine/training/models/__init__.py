"""Models: one function a kind, found by `model.name`.

Each maps inputs (B, *input_shape) float32 to outputs (B, outputs).
"""

from collections.abc import Callable

import torch
from torch import nn

from engine import schema
from engine.training import surfaces
from engine.training.code import CodeLoader
from engine.training.models import convolutional, mlp, pretrained, resnet, sequence, simple, user
from engine.training.models.layers import describe, layers

__all__ = ["build", "describe", "lay_out", "layers"]

Shape = tuple[int, ...]

# Each: (section, input_shape, outputs) -> model. A model of the user's needs the loader too, see `build`.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "linear": simple.linear,
    "softmax": simple.softmax,
    "perceptron": simple.perceptron,
    "polynomial": simple.polynomial,
    "mlp": mlp.mlp,
    "lenet5": convolutional.lenet5,
    "cnn": convolutional.cnn,
    "resnet18": resnet.resnet18,
    "torchvision": pretrained.torchvision_model,
    "rnn": sequence.rnn,
    "lstm": sequence.lstm,
    "transformer": sequence.transformer,
    "point": surfaces.point,
}
# Those of convolutions throughout. A user's own may ask how its activations lie in memory, with `view`.
_CONVOLUTIONAL = ("lenet5", "cnn", "resnet18", "torchvision")


def build(section: schema.AnyModel, *, input_shape: Shape, outputs: int, code: CodeLoader | None) -> nn.Module:
    """The model that `section` asks for, on the CPU, initialised from the global random generator.

    input_shape: of one sample, without the batch. PresetError where the model does not take such inputs.
    """
    if isinstance(section, schema.CodeModel):
        return user.user_model(section, tuple(input_shape), outputs, code)
    return BUILDERS[section.name](section, tuple(input_shape), outputs)


def lay_out(model: nn.Module, section: schema.AnyModel, device: torch.device) -> nn.Module:
    """The model on the device, its weights as they are read fastest there.

    On the CPU a convolution whose weights have their channels last takes its images so, too: a training step of the
    shipped CNNs is a tenth to a quarter shorter then, an evaluation up to a half. Same numbers, but for rounding.
    """
    if device.type == "cpu" and section.name in _CONVOLUTIONAL:
        return model.to(memory_format=torch.channels_last)
    return model.to(device)
