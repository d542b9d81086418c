"""Models: one function for each kind, found by `model.name`, and models of the user's own code.

Each model maps inputs (B, *input_shape), float32, to outputs (B, outputs).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from engine.preset import schema
from engine.training import surfaces
from engine.training.models import basic, convnets, pretrained, sequence
from engine.training.models.layers import describe, layers
from engine.training.user_code import CodeLoader, call_user_code, check_call, described_result

__all__ = ["build", "describe", "lay_out", "layers"]

Shape = tuple[int, ...]

# Each: (section, input_shape, outputs) -> model. A model of the user's code also needs the loader, see `build`.
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
# Models of convolutions only. A user's model may depend on the memory order of its activations, by `view`.
_CONVOLUTIONAL = ("lenet5", "cnn", "resnet18", "torchvision")


def build(section: schema.AnyModel, *, input_shape: Shape, outputs: int, code: CodeLoader | None) -> nn.Module:
    """Build the model of `section`, on the CPU, initialised from the global random generator.

    input_shape: of one sample, without the batch. Raises PresetError if the model does not take such inputs.
    """
    if isinstance(section, schema.CodeModel):
        return user_model(section, tuple(input_shape), outputs, code)
    return BUILDERS[section.name](section, tuple(input_shape), outputs)


def lay_out(model: nn.Module, section: schema.AnyModel, device: torch.device) -> nn.Module:
    """Move the model to the device, with its weights in the memory order that is fastest there.

    The weights of convolutions have their channels last, and so have the images then. On the CPU a training step of
    the shipped CNNs takes a tenth to a quarter less time, an evaluation up to half. On CUDA it is the order that
    tensor cores take; there it was not measured. The numbers differ by rounding only.
    """
    if device.type in ("cpu", "cuda") and section.name in _CONVOLUTIONAL:
        return model.to(device).to(memory_format=torch.channels_last)
    return model.to(device)


def user_model(
    section: schema.CodeModel, input_shape: tuple[int, ...], outputs: int, code: CodeLoader | None
) -> nn.Module:
    """Return Class(input_shape, outputs, **arguments) of the user's code.

    It is tried on two samples, so that a wrong shape is found at once. Raises PresetError.
    """
    given = f'model.code = "{section.code}"'
    if code is None:
        raise PresetError(_("{given} names code, and no code may be run here", given=given))
    kind = code(section.code)
    model = call_user_code(section.code, kind, input_shape, outputs, **section.arguments)
    if not isinstance(model, nn.Module):
        raise PresetError(
            _(
                "{given} must return a torch.nn.Module; it returned {returned}",
                given=given,
                returned=type(model).__name__,
            )
        )
    check_call(section.code, model, ("x",))
    _try(model, section.code, input_shape, outputs)
    if not layers(model):
        raise PresetError(
            _("{given}: the model has no parameters; are its layers in a plain list or dict?", given=given)
        )
    return model


def _try(model: nn.Module, spec: str, input_shape: tuple[int, ...], outputs: int) -> None:
    # In evaluation mode and with the generator restored, so that the trial does not change the training.
    training = model.training
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        result = call_user_code(spec, model, torch.zeros(2, *input_shape))
    model.train(training)
    if not isinstance(result, Tensor) or result.shape != (2, outputs):
        raise PresetError(
            _(
                'model.code = "{code}": for inputs of shape {inputs}, forward() must return outputs of shape '
                "{wanted}; it returned {returned}",
                code=spec,
                inputs=(2, *input_shape),
                wanted=(2, outputs),
                returned=described_result(result),
            )
        )
