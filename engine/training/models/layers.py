"""Layers as a person sees them: their names, and what each is in a few words."""

import re

from torch import nn

from engine.errors import PresetError
from engine.training.surfaces import Point


def layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules that own parameters directly, with dotted names, in the order in which they were
    registered, which in our models is that of the forward pass.

    A model that owns parameters itself is called "model".
    """
    return [
        (name or "model", module)
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]


def describe(module: nn.Module) -> str:
    """For example "linear 784 × 128", "conv 1 → 32, 3 × 3", "batch norm 64", "lstm 8 → 64"."""
    match module:
        case nn.Linear():
            return f"linear {module.in_features} × {module.out_features}"
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return f"conv {module.in_channels} → {module.out_channels}, {_times(module.kernel_size)}"
        case nn.RNNBase():
            stack = f", {module.num_layers} layers" if module.num_layers > 1 else ""
            return f"{module.mode.partition('_')[0].lower()} {module.input_size} → {module.hidden_size}{stack}"
        case nn.MultiheadAttention():
            return f"attention {module.embed_dim}, {module.num_heads} heads"
        case Point():
            return "point x, y"
    return _by_name(module)


def _by_name(module: nn.Module) -> str:
    """The class's name in words, and the size of what it holds: "batch norm 64", "position 28 × 32"."""
    kind = type(module).__name__.removeprefix("Frozen").rstrip("123d") or "layer"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    own = list(module.parameters(recurse=False))
    if len({p.shape for p in own}) == 1:  # one tensor, or a norm's scale and shift
        return f"{words} {_times(own[0].shape)}"
    return f"{words}, {sum(p.numel() for p in own)} parameters"


def shape_text(shape: tuple[int, ...]) -> str:
    """A sample's shape in words."""
    match shape:
        case (features,):
            return f"tables of {features} column{'s' if features > 1 else ''}"
        case (steps, features):
            return f"sequences of {steps} steps of {features}"
        case (channels, height, width):
            return f"images of {height} × {width} with {channels} channel{'s' if channels > 1 else ''}"
    return f"of shape {shape}"


def refuse(name: str, takes: str, input_shape: tuple[int, ...]) -> PresetError:
    """The error for inputs that the model can't take."""
    return PresetError(f'model.name = "{name}" takes {takes}; the data are {shape_text(input_shape)}')


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in sizes)
