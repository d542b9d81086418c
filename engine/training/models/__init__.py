"""Models: one function a kind, found by `model.name`; one of the user's own too.

Each maps inputs (B, *input_shape) float32 to outputs (B, outputs).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training import surfaces
from engine.training.models import basic, convnets, pretrained, sequence
from engine.training.models.layers import describe, layers
from engine.training.user_code import CodeLoader, call_user_code

__all__ = ["build", "describe", "lay_out", "layers"]

Shape = tuple[int, ...]

# Each: (section, input_shape, outputs) -> model. A model of the user's needs the loader too, see `build`.
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "linear": basic.linear,
    "softmax": basic.softmax,
    "perceptron": basic.perceptron,
    "polynomial": basic.polynomial,
    "mlp": basic.mlp,
    "lenet5": convnets.lenet5,
    "cnn": convnets.cnn,
    "resnet18": convnets.resnet18,
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
        return user_model(section, tuple(input_shape), outputs, code)
    return BUILDERS[section.name](section, tuple(input_shape), outputs)


def lay_out(model: nn.Module, section: schema.AnyModel, device: torch.device) -> nn.Module:
    """The model on the device, its weights as they are read fastest there.

    On the CPU a convolution whose weights have their channels last takes its images so, too: a training step of the
    shipped CNNs is a tenth to a quarter shorter then, an evaluation up to a half. Same numbers, but for rounding.
    """
    if device.type == "cpu" and section.name in _CONVOLUTIONAL:
        return model.to(memory_format=torch.channels_last)
    return model.to(device)


def user_model(
    section: schema.CodeModel, input_shape: tuple[int, ...], outputs: int, code: CodeLoader | None
) -> nn.Module:
    """Class(input_shape, outputs, **arguments), tried on two samples, so that a wrong shape shows at once."""
    given = f'model.code = "{section.code}"'
    if code is None:
        raise PresetError(f"{given} names code, and none may be run here")
    kind = code(section.code)
    model = call_user_code(section.code, kind, input_shape, outputs, **section.arguments)
    if not isinstance(model, nn.Module):
        raise PresetError(f"{given} must give a torch.nn.Module; it gave {type(model).__name__}")
    _try(model, section.code, input_shape, outputs)
    if not layers(model):
        raise PresetError(f"{given}: the model has no parameters; are its layers in a plain list or dict?")
    return model


def _try(model: nn.Module, spec: str, input_shape: tuple[int, ...], outputs: int) -> None:
    # In evaluation mode and with the generator put back: the trial leaves no trace in the training.
    training = model.training
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        result = call_user_code(spec, model, torch.zeros(2, *input_shape))
    model.train(training)
    if not isinstance(result, Tensor) or result.shape != (2, outputs):
        got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise PresetError(
            f'model.code = "{spec}": for inputs of shape {(2, *input_shape)}, forward() must give outputs of '
            f"shape (2, {outputs}); it gave {got}"
        )
