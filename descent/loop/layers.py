"""The layers of a model: their names, and what each is in words."""

import re

from torch import nn


def layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules that own parameters directly, with dotted names, in the order of their registration.

    In Descent's models this is the order of the forward pass. A model that owns parameters itself is called "model".
    """
    return [
        (name or "model", module)
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]


def describe(module: nn.Module) -> str:
    """Describe a layer, such as "linear 784 × 128", "conv 1 → 32, 3 × 3", "batch norm 64" or "lstm 8 → 64".

    The text is kept in the run's files and programs read it, so it is always English.
    """
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
    return _by_name(module)


def _by_name(module: nn.Module) -> str:
    """Return the class's name in words and the size of its parameters: "batch norm 64", "position 28 × 32"."""
    kind = type(module).__name__.removeprefix("Frozen").rstrip("123d") or "layer"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    own = list(module.parameters(recurse=False))
    if len({p.shape for p in own}) == 1:  # one tensor, or a norm's scale and shift
        return f"{words} {_times(own[0].shape)}"
    return f"{words}, {sum(p.numel() for p in own)} parameters"


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in sizes)
