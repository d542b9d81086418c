"""Optimizers of torch.optim, in the fastest form that the device supports."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.loop.device import is_full
from engine.preset import schema

_FORM = ("fused", "foreach", "capturable")  # keys of a group of parameters


def build(
    section: schema.AnyOptimizer, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """Return an optimizer of the trainable ones among `parameters`, which are on `device`.

    The caller sets the learning rate of each step through param_groups[0]["lr"]. Raises PresetError if every
    parameter is frozen.
    """
    trained = trainable(parameters)
    kind, arguments = recipe(section)
    form: dict[str, Any] = {"fused": True} if fused_works(kind, device) else {"foreach": True}
    return kind(trained, **arguments, **form)


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the trainable ones among `parameters`. Raises PresetError if there is none."""
    found = [p for p in parameters if p.requires_grad]
    if not found:
        raise PresetError(_("nothing to train: model.freeze leaves no trainable parameter"))
    return found


def recipe(section: schema.AnyOptimizer) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the class in torch.optim and its keyword arguments."""
    shared = {"lr": section.lr, "weight_decay": section.weight_decay}
    match section:
        case schema.Sgd():
            return torch.optim.SGD, {**shared, "momentum": section.momentum, "nesterov": section.nesterov}
        case schema.Adagrad():
            return torch.optim.Adagrad, {**shared, "eps": section.eps}
        case schema.RmsProp():
            own = {"alpha": section.alpha, "momentum": section.momentum, "eps": section.eps}
            return torch.optim.RMSprop, {**shared, **own}
        case schema.Adam() | schema.AdamW():
            kind = torch.optim.Adam if section.name == "adam" else torch.optim.AdamW
            return kind, {**shared, "betas": (section.beta1, section.beta2), "eps": section.eps}


def fused_works(kind: type[torch.optim.Optimizer], device: torch.device) -> bool:
    """Return whether this PyTorch has a fused update of that optimizer on that device, tried by one update.

    Other errors of the device, such as a lack of memory, are raised.
    """
    parameter = nn.Parameter(torch.zeros(1, device=device))
    parameter.grad = torch.zeros_like(parameter)
    try:
        bare_step(kind([parameter], fused=True))()  # type: ignore[call-arg]
    except (RuntimeError, TypeError, ValueError) as error:
        if not isinstance(error, RuntimeError) or ("fused" in str(error) and not is_full(error)):
            return False
        raise
    return True


def gradients(parameters: Iterable[nn.Parameter]) -> list[torch.Tensor | None]:
    """Return what is left in `.grad`. These are the live tensors, not copies."""
    return [parameter.grad for parameter in parameters]


def put_gradients(parameters: Iterable[nn.Parameter], stored: Sequence[torch.Tensor | None]) -> None:
    """Put into `.grad` what `gradients` returned. A parameter without a stored gradient gets None."""
    for parameter, gradient in zip_longest(parameters, stored):
        parameter.grad = None if gradient is None else gradient.to(parameter.device, copy=True)


def bare_step(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return the optimizer's step without torch's wrappers: hooks, a profiler's mark and a call of the compiler.

    Importing the compiler takes longer than loading torch.
    """
    step = inspect.unwrap(type(optimizer).step)

    @torch.no_grad()
    def bare() -> None:
        step(optimizer)

    return bare


def lighten(optimizer: torch.optim.Optimizer) -> None:
    """Replace `optimizer.step()`, which the user's own code calls, by the step without torch's wrappers."""
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
    """Use the scalars of `section` from the next step on, except the rate, which is set at every step."""
    values = recipe(section)[1]
    for group in optimizer.param_groups:
        group.update({key: value for key, value in values.items() if key != "lr"})


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore `state`, which may come from another device."""
    # This device's form, not that of the device that saved the state, and before it is loaded: by the form, torch
    # chooses where the count of steps lies, and reads it at every step.
    groups = [
        stored | {key: own[key] for key in _FORM if key in own}
        for stored, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})


def leave_compiler_out() -> None:
    """Keep `torch.optim` from importing `torch._dynamo` when an optimizer is made.

    For processes that compile nothing. The import takes 2.0 of the 2.4 s to a first step, measured. Some methods of
    Optimizer import the compiler to tell it to skip them (torch/_compile.py), but first look for the attribute that
    is set here. If a later torch does it in another way, this has no effect.
    """
    for method in vars(torch.optim.Optimizer).values():
        function = getattr(method, "__wrapped__", None)
        code = getattr(method, "__code__", None)
        if function is not None and code is not None and code.co_filename.endswith("_compile.py"):
            function.__dynamo_disable = function
