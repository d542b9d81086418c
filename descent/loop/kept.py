"""What a checkpoint of somebody's own training loop holds: anything with state_dict, and random generators."""

import io
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.loop.checkpoint import State, copied, random_state, restore_random_state

_ARRAY = "descent.array"  # the key of a NumPy array that is kept as a tensor
Generator = np.random.Generator | torch.Generator | random.Random


class Kept:
    """The objects that a loop tracks, by name. Their states are plain containers and tensors."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}

    def add(self, name: str, thing: Any) -> None:
        """Track an object. Raises DescentError if it has no state that can be kept, or the name is taken."""
        if name in self.objects and self.objects[name] is not thing:
            raise DescentError(_("track({name}=…): this name is taken; give the object another one", name=name))
        if not has_state(thing):
            raise DescentError(
                _(
                    "track({name}=…): a {kind} can't be kept; it needs state_dict() and load_state_dict(), or must "
                    "be a tensor, an array or a random generator",
                    name=name,
                    kind=type(thing).__name__,
                )
            )
        reason = why_unkeepable(state_of(thing))
        if reason is not None:
            raise DescentError(
                _(
                    "track({name}=…): its state_dict() holds what no checkpoint can ({reason}); only numbers, texts, "
                    "tensors, arrays, and lists and dicts of them can be kept",
                    name=name,
                    reason=reason,
                )
            )
        self.objects[name] = thing

    def shortest(self, made: int, wanted: int) -> tuple[str, int] | None:
        """Return the name and the steps of a scheduler that fails before the run has `wanted` steps, or None.

        made: the run's steps so far, by which it is known how often the loop calls the scheduler.
        """
        for name, thing in self.objects.items():
            most, calls = getattr(thing, "total_steps", None), getattr(thing, "last_epoch", None)
            if isinstance(most, int) and isinstance(calls, int) and made and calls * wanted > most * made:
                return name, most
        return None

    def states(self) -> dict[str, Any]:
        return {name: state_of(thing) for name, thing in self.objects.items()}

    def restore(self, states: Mapping[str, Any], step: int) -> None:
        """Restore every object. Raises DescentError if one does not fit; then all are as they were before."""
        before = copied(self.states())
        try:
            for name, thing in self.objects.items():
                restore(name, thing, states, step)
        except DescentError:
            for name, thing in self.objects.items():
                restore(name, thing, before, step)
            raise

    def restore_changed(self, states: Mapping[str, Any]) -> None:
        """Restore the objects whose state is not that of `states` any more."""
        for name, thing in self.objects.items():
            if not _is_same(state_of(thing), states[name]):
                restore(name, thing, states, 0)

    def restore_one(self, name: str, states: Mapping[str, Any], step: int) -> None:
        restore(name, self.objects[name], states, step)

    def randomness(self, device: torch.device) -> State:
        """Return the states of the global generators, and of those that are tracked, in memory of their own."""
        own = {name: state_of(thing) for name, thing in self.objects.items() if isinstance(thing, Generator)}
        return {"global": random_state(device), "own": own}

    def restore_randomness(self, state: Mapping[str, Any], device: torch.device) -> None:
        restore_random_state(state["global"], device)
        for name, own in state["own"].items():
            if name in self.objects:
                restore(name, self.objects[name], {name: own}, 0)

    def untracked(self, found: Mapping[str, Any]) -> Iterator[str]:
        """Yield the names of the variables whose state a checkpoint lacks. found: those of the loop's function."""
        known = {id(thing) for thing in self.objects.values()}
        inside = {id(m) for thing in self.objects.values() if isinstance(thing, nn.Module) for m in thing.modules()}
        for name, thing in found.items():
            if id(thing) in known or id(thing) in inside or name.startswith("_"):
                continue
            if isinstance(thing, Generator) or _changes(thing):
                known.add(id(thing))
                yield f"{name} ({type(thing).__name__})"


def _changes(thing: Any) -> bool:
    """Return whether training changes this object: a scheduler, a scaler, another optimizer, another model."""
    if isinstance(thing, nn.Module):
        return any(parameter.requires_grad for parameter in thing.parameters())
    kinds = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, torch.amp.GradScaler)
    if isinstance(thing, torch.amp.GradScaler):
        return thing.is_enabled()
    return isinstance(thing, kinds)


def has_state(thing: Any) -> bool:
    """Return whether a checkpoint can hold the state of this object."""
    if isinstance(thing, Generator | torch.Tensor | np.ndarray):
        return True
    return callable(getattr(thing, "state_dict", None)) and callable(getattr(thing, "load_state_dict", None))


def state_of(thing: Any) -> Any:
    """Return the state of an object that `has_state`, in plain containers and tensors. The tensors are live ones."""
    match thing:
        case torch.Tensor():
            return thing.detach()
        case np.ndarray():
            return plain(thing)
        case np.random.Generator():
            return plain(thing.bit_generator.state)
        case torch.Generator():
            return thing.get_state()
        case random.Random():
            version, internal, gauss = thing.getstate()
            return [version, list(internal), gauss]
    return plain(thing.state_dict())


@torch.no_grad()
def restore(name: str, thing: Any, states: Mapping[str, Any], step: int) -> None:
    """Restore an object's state from those of a checkpoint, by name. Raises DescentError if it does not fit."""
    if name not in states:
        raise DescentError(
            _(
                "the checkpoint of step {step:,} has no {name}; it has: {names}",
                step=step,
                name=name,
                names=", ".join(states),
            )
        )
    state = states[name]
    try:
        match thing:
            case torch.Tensor():
                if thing.shape != state.shape:
                    raise ValueError(f"{tuple(state.shape)} → {tuple(thing.shape)}")
                thing.copy_(state)
            case np.ndarray():
                if thing.shape != original(state).shape:
                    raise ValueError(f"{original(state).shape} → {thing.shape}")
                thing[...] = original(state)
            case np.random.Generator():
                thing.bit_generator.state = original(state)
            case torch.Generator():
                thing.set_state(state)
            case random.Random():
                thing.setstate((state[0], tuple(state[1]), state[2]))
            case _:
                thing.load_state_dict(original(state))
    except Exception as error:  # of any library
        reason = " ".join(shorten(clean(line.strip()), 200) for line in str(error).splitlines()[:3])
        raise DescentError(
            _(
                "{name} does not fit the checkpoint of step {step:,}: {reason}; begin a new run under another id",
                name=name,
                step=step,
                reason=reason or type(error).__name__,
            )
        ) from None


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two states are equal. Their tensors may lie on different devices."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and torch.equal(one.detach().cpu(), other.detach().cpu())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def plain(value: Any) -> Any:
    """Return a state with numbers and arrays of NumPy as Python's and torch's, which a checkpoint can hold."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {_ARRAY: torch.from_numpy(value.astype(np.int64) if value.dtype.kind == "u" else value.copy()),
                "dtype": str(value.dtype)}  # fmt: skip
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, dict):  # an OrderedDict with a module's versions
        same = value.copy()
        same.update({key: plain(item) for key, item in value.items()})
        return same
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def original(value: Any) -> Any:
    """Return a state as it was before `plain`."""
    if isinstance(value, dict):
        if _ARRAY in value:
            return value[_ARRAY].numpy().astype(value["dtype"])
        same = value.copy()
        same.update({key: original(item) for key, item in value.items()})
        return same
    return type(value)(map(original, value)) if type(value) in (list, tuple) else value


def why_unkeepable(state: Any) -> str | None:
    """Return why no checkpoint can hold a state, or None: it is read without running anybody's code."""
    without_tensors = _outline(state)
    file = io.BytesIO()
    try:
        torch.save(without_tensors, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception as error:
        said = str(error).strip()
        return shorten(clean(said.splitlines()[0] if said else type(error).__name__), 160)
    return None


def _outline(value: Any) -> Any:
    """Return a state without the contents of its tensors."""
    if isinstance(value, torch.Tensor):
        return 0
    if isinstance(value, dict):
        return {key: _outline(item) for key, item in value.items()}
    return type(value)(map(_outline, value)) if type(value) in (list, tuple) else value
