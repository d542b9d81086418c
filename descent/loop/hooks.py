"""What is seen of a training loop without a change of it: optimizer steps, and the losses that go backward."""

import gc
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Heard = Callable[[Tensor], None]


class BackwardLosses:
    """Tells of each scalar that backward() is called on. One of it listens at a time, in the whole process.

    A loss that a GradScaler has scaled is told as it was before.
    """

    def __init__(self, heard: Heard, over: Callable[[], None]) -> None:
        """over: called when the gradients are there."""
        self._heard = heard
        self._backward = torch.autograd.backward
        self._scale = torch.amp.GradScaler.scale
        self._scaled: tuple[Any, Tensor] | None = None  # a weak reference, and the loss itself
        listener = self

        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            listener._hear(tensors)
            listener._backward(tensors, *args, **kwargs)
            over()

        def scale(scaler: torch.amp.GradScaler, outputs: Any) -> Any:
            scaled = listener._scale(scaler, outputs)
            if isinstance(outputs, Tensor):
                listener._scaled = weakref.ref(scaled), outputs.detach()
            return scaled

        # Tensor.backward calls this function by its place, so both ways are heard.
        torch.autograd.backward = backward
        torch.amp.GradScaler.scale = scale  # type: ignore[method-assign, assignment]

    def _hear(self, tensors: Any) -> None:
        for tensor in (tensors,) if isinstance(tensors, Tensor) else tensors:
            if isinstance(tensor, Tensor) and tensor.numel() == 1:
                is_scaled = self._scaled is not None and self._scaled[0]() is tensor
                loss = self._scaled[1] if self._scaled is not None and is_scaled else tensor
                self._heard(loss.detach() if loss.ndim == 0 else loss.detach().reshape(()))

    def end(self) -> None:
        torch.autograd.backward = self._backward
        torch.amp.GradScaler.scale = self._scale  # type: ignore[method-assign]


class Rates:
    """The hand on the learning rate of somebody's own optimizers: a factor that is there only while they step.

    So no schedule is disturbed, which reads the rate, changes it or sets it anew.
    """

    def __init__(self) -> None:
        self.scale = 1.0
        self.moves = False  # whether the loop itself changes the rate
        self._own: dict[int, Any] = {}  # by the id of a group of parameters, while its optimizer steps
        self._left: dict[int, Any] = {}

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            own, left = group["lr"], self._left.get(id(group))
            self.moves = self.moves or (isinstance(own, float) and left is not None and own != left)
            if self.scale != 1.0:
                self._own[id(group)] = own
                group["lr"] = own * self.scale

    def after_step(self, optimizer: torch.optim.Optimizer) -> float | Tensor:
        """Give the optimizer its own rate back. Returns the rate of the step, of its first group."""
        used: float | Tensor = optimizer.param_groups[0]["lr"]
        for group in optimizer.param_groups:
            if id(group) in self._own:
                group["lr"] = self._own.pop(id(group))
            self._left[id(group)] = group["lr"]
        return used

    def is_scheduled(self, optimizer: torch.optim.Optimizer) -> bool:
        """Return whether the loop sets the rate itself, by a scheduler of PyTorch or by its own code."""
        return self.moves or any("initial_lr" in group for group in optimizer.param_groups)

    def set(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        """Set the rate of an optimizer without a schedule. Its groups keep their proportions."""
        first = float(optimizer.param_groups[0]["lr"])
        for group in optimizer.param_groups:
            value = rate * (float(group["lr"]) / first) if first else rate
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value
            self._left[id(group)] = group["lr"]

    def forget(self) -> None:
        """Forget the rates seen so far, because a checkpoint is restored."""
        self._left.clear()


class Trained(nn.Module):
    """The modules that an optimizer trains, where none of them holds all of its parameters."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        names: dict[str, int] = {}
        for module in modules:
            name = type(module).__name__.lower()
            names[name] = names.get(name, 0) + 1
            self.add_module(name if names[name] == 1 else f"{name}{names[name]}", module)


def model_of(optimizer: torch.optim.Optimizer) -> nn.Module:
    """Return the smallest module of this process that holds all parameters of an optimizer, or Trained."""
    wanted = {id(p) for group in optimizer.param_groups for p in group["params"]}
    modules = [(thing, _parameters(thing)) for thing in gc.get_objects() if issubclass(type(thing), nn.Module)]
    holders = [(len(held), module) for module, held in modules if wanted <= held]
    if holders:
        fewest = min(count for count, _ in holders)
        found: nn.Module = min((m for count, m in holders if count == fewest), key=lambda m: len(list(m.modules())))
        return found
    chosen: list[nn.Module] = []
    for module, held in sorted(modules, key=lambda pair: -len(pair[1])):
        if held and held <= wanted:
            chosen.append(module)
            wanted -= held
    return Trained(chosen)


def trains(optimizers: Iterable[torch.optim.Optimizer], model: nn.Module) -> bool:
    """Return whether one of the optimizers has a parameter of the model."""
    held = _parameters(model)
    return any(id(p) in held for one in optimizers for group in one.param_groups for p in group["params"])


def _parameters(module: nn.Module) -> set[int]:
    try:
        return {id(parameter) for parameter in module.parameters()}
    except Exception:  # a module that is still being made
        return set()


def places_of(parameters: Iterable[Tensor]) -> set[torch.device]:
    return {parameter.device for parameter in parameters}
