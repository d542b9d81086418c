"""Optimizers of torch.optim, in the quickest form that the device has."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from descent.common.errors import PresetError
from engine.preset import schema


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
        bare_step(kind([parameter], fused=True))()  # type: ignore[call-arg]
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    return True


def gradients(parameters: Iterable[nn.Parameter]) -> list[torch.Tensor | None]:
    """What is left in `.grad`; the live tensors."""
    return [parameter.grad for parameter in parameters]


def put_gradients(parameters: Iterable[nn.Parameter], stored: Sequence[torch.Tensor | None]) -> None:
    """Leave in `.grad` what `gradients` gave; nothing where nothing is stored."""
    for parameter, gradient in zip_longest(parameters, stored):
        parameter.grad = None if gradient is None else gradient.to(parameter.device, copy=True)


def bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """The optimizer's step without what torch wraps about it: hooks, a profiler's mark, and a call of the compiler,
    the import of which takes longer than loading torch."""
    step = inspect.unwrap(type(optimizer).step)

    @torch.no_grad()
    def bare() -> None:
        step(optimizer)

    return bare


def lighten(optimizer: torch.optim.Optimizer) -> None:
    """Make `optimizer.step()`, as the user's own code calls it, what `bare_step` is."""
    step = inspect.unwrap(type(optimizer).step)

    @torch.no_grad()
    def bare(closure: Callable[[], float] | None = None) -> Any:
        return step(optimizer, closure)

    vars(optimizer)["step"] = bare


def set_rate(optimizer: torch.optim.Optimizer, lr: float | torch.Tensor) -> None:
    """Use this learning rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def settle(optimizer: torch.optim.Optimizer, section: schema.AnyOptimizer) -> None:
    """Use the scalars of `section` from the next step on, but for its rate, which is set at every step."""
    _, values = recipe(section)
    for group in optimizer.param_groups:
        group.update({key: value for key, value in values.items() if key != "lr"})


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on where `state` was taken, here or on another device."""
    forms: list[dict[str, Any]] = [
        {key: group[key] for key in ("fused", "foreach") if key in group} for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(state)
    for group, form in zip(optimizer.param_groups, forms, strict=True):
        group.update(form)  # this device's, not that of the one that saved


def leave_compiler_out() -> None:
    """Keep `torch.optim` from importing `torch._dynamo` when an optimizer is made: 2.0 of the 2.4 s to a first
    step, measured. For processes that compile nothing.

    Some methods of Optimizer tell the compiler to leave them alone, and import it to do so (torch/_compile.py), but
    look for the attribute that is set here first. Where a later torch does it in another way, this does nothing.
    """
    for method in vars(torch.optim.Optimizer).values():
        function = getattr(method, "__wrapped__", None)
        code = getattr(method, "__code__", None)
        if function is not None and code is not None and code.co_filename.endswith("_compile.py"):
            function.__dynamo_disable = function
