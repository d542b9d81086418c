"""Optimizers of torch.optim, in the quickest form that the device has."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from engine import schema
from engine.errors import PresetError


def build(
    section: schema.AnyOptimizer, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """An optimizer of the trainable ones among `parameters`, which live on `device`.

    The caller sets the learning rate of each step through param_groups[0]["lr"]. PresetError where every
    parameter is frozen.
    """
    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        raise PresetError("nothing to train: model.freeze leaves no trainable parameter")
    kind, arguments = recipe(section)
    form: dict[str, Any] = {"fused": True} if fused_works(kind, device) else {"foreach": True}
    return kind(trainable, **arguments, **form)


def recipe(section: schema.AnyOptimizer) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """The class in torch.optim, and its keyword arguments."""
    shared = {"lr": section.lr, "weight_decay": section.weight_decay}
    match section:
        case schema.Sgd():
            return torch.optim.SGD, {**shared, "momentum": section.momentum, "nesterov": section.nesterov}
        case schema.Adagrad():
            return torch.optim.Adagrad, {**shared, "eps": section.eps}
        case schema.RmsProp():
            own = {"alpha": section.alpha, "momentum": section.momentum, "eps": section.eps}
            return torch.optim.RMSprop, {**shared, **own}
        case schema.Adam():
            kind = torch.optim.Adam if section.name == "adam" else torch.optim.AdamW
            return kind, {**shared, "betas": (section.beta1, section.beta2), "eps": section.eps}


def fused_works(kind: type[torch.optim.Optimizer], device: torch.device) -> bool:
    """Whether this PyTorch has a fused update of that optimizer on that device, found out by one update."""
    parameter = nn.Parameter(torch.zeros(1, device=device))
    parameter.grad = torch.zeros_like(parameter)
    try:
        kind([parameter], fused=True).step()  # type: ignore[call-arg]
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    return True
