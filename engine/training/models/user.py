"""A model of the user's own."""

import torch
from torch import Tensor, nn

from engine import schema
from engine.errors import PresetError
from engine.training.code import CodeLoader, call_user_code
from engine.training.models.layers import layers


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
