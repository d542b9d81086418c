"""`train.code = "task.py:Task"`: a class of the user's own that makes the training step, and what a checkpoint holds
of it.

Only `step(batch)` is required. `setup(device, settings)`, `evaluate(loader)`, `state()` and `load_state(state)` may
be there. What the class leaves out is the preset's: its data, its model with its loss and optimizer, its evaluation.
"""

import inspect
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.loop import kept
from descent.loop.checkpoint import State, copied, undisturbed
from engine.preset import schema
from engine.training import models, optimizers
from engine.training.data.randomness import seed_all
from engine.training.losses import Criterion
from engine.training.user_code import call_user_code, described_result

_MOST_LOOKED_THROUGH = 256  # items of a list or dict among the attributes
known: "weakref.WeakSet[torch.optim.Optimizer]" = weakref.WeakSet()  # those of every task in this process
METHODS: dict[str, tuple[str, ...]] = {
    "setup": ("device", "settings"),
    "step": ("batch",),
    "loaders": (),
    "evaluate": ("loader",),
    "state": (),
    "load_state": ("state",),
}


def is_class(named: object) -> bool:
    """Return whether `train.code` names a class, and not a function."""
    return inspect.isclass(named)


@dataclass
class TaskSettings:
    """What a task's `setup(device, settings)` is given: what the preset says, and what was made of it.

    model: of `[model]`, on the device. loss_function: of `[loss]`, (outputs, targets) -> scalar. lr: `optimizer.lr`.
    input_shape, outputs: of `[model]`. total_steps: of the run as it begins.
    """

    device: torch.device
    model: nn.Module
    loss_function: Criterion
    input_shape: tuple[int, ...]
    outputs: int
    classes: tuple[str, ...]
    seed: int
    batch_size: int
    total_steps: int
    steps_per_epoch: int
    section: schema.AnyOptimizer
    made: list[torch.optim.Optimizer] = field(default_factory=list)  # by `optimizer_for`

    @property
    def lr(self) -> float:
        return self.section.lr

    def optimizer_for(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer of `[optimizer]` for these parameters: every setting of it can be changed live."""
        optimizer = optimizers.build(self.section, parameters, self.device)
        self.made.append(optimizer)
        return optimizer


class Task:
    """An object of the user's class, ready to train.

    model: what the run trains: the preset's model, if that is all, else the task's own networks in one module.
    optimizers: by name. names: of all that a checkpoint holds, as the task began.
    """

    def __init__(
        self, spec: str, kind: Callable[..., Any], arguments: Mapping[str, Any], settings: TaskSettings
    ) -> None:
        """Make the object and set it up. Raises PresetError if it can't be trained or kept."""
        self.spec, self.settings = spec, settings
        seed_all(settings.seed)
        self.user = call_user_code(spec, kind, **arguments)
        if self._has("state") != self._has("load_state"):
            raise self._refusal(_("state() and load_state(state) belong together, and only one of them is there"))
        if self._has("setup"):
            call_user_code(spec, self.user.setup, settings.device, settings)
        else:
            call_user_code(spec, self._give)
        things = self._things()
        for module in _of_kind(things, nn.Module).values():
            module.to(settings.device)
        self.optimizers = _of_kind(things, torch.optim.Optimizer)
        known.update(self.optimizers.values())
        self.scheduled = {id(thing.optimizer) for thing in _of_kind(things, LRScheduler).values()}
        self.trained = list({id(p): p for p in self._parameters()}.values())
        if not any(p.requires_grad for p in self.trained):
            raise self._refusal(
                _(
                    "no optimizer is among its attributes, so nothing would be trained. Make one in setup(), such as "
                    "self.optimizer = settings.optimizer_for(self.net.parameters())"
                )
            )
        self.model, inside = self._networks(things)
        self.trains_preset_model = self.model is settings.model
        self._inside = inside
        self.names = list(things)
        self._check_schedulers()
        self._check_keepable()

    def _give(self) -> None:
        """Give the object what `setup` would have taken of the preset, except what it has made itself."""
        user, settings = self.user, self.settings
        if not hasattr(user, "model"):
            user.model = settings.model
        if not hasattr(user, "loss_function"):
            user.loss_function = settings.loss_function
        if not hasattr(user, "optimizer") and isinstance(user.model, nn.Module):
            user.model.to(settings.device)
            user.optimizer = settings.optimizer_for(user.model.parameters())

    def _has(self, method: str) -> bool:
        return callable(getattr(self.user, method, None))

    def loaders(self) -> dict[str, Any] | None:
        """Return the task's own loaders by split, "train" among them, or None if it takes the preset's data."""
        if not self._has("loaders"):
            return None
        found = call_user_code(self.spec, self.user.loaders)
        if not isinstance(found, Mapping) or not {"train"} <= found.keys() <= {"train", "validation", "test"}:
            raise self._refusal(
                _(
                    'loaders() must return {{"train": …}}, and where there are such "validation" and "test"; it '
                    "returned {returned}",
                    returned=_keys(found) if isinstance(found, Mapping) else described_result(found),
                )
            )
        loaders = {split: loader for split, loader in found.items() if loader is not None}
        if not (hasattr(loaders.get("train"), "__len__") and hasattr(loaders["train"], "__iter__")):
            raise self._refusal(
                _(
                    "the training loader must have a length, the batches of an epoch, and give them each time that "
                    "it is iterated over, as a DataLoader does; it is {given}",
                    given=type(found["train"]).__name__,
                )
            )
        if len(loaders["train"]) == 0:
            raise self._refusal(_("the training loader has no batches"))
        return loaders

    @property
    def evaluates(self) -> bool:
        """Return whether the task evaluates by itself."""
        return self._has("evaluate")

    def _refusal(self, why: str) -> PresetError:
        return PresetError(_('train.code = "{code}": {why}', code=self.spec, why=why))

    def _parameters(self) -> Iterator[Tensor]:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                yield from group["params"]

    # --- what it is made of ---

    def _attributes(self) -> dict[str, Any]:
        values = dict(getattr(self.user, "__dict__", {}))
        if not isinstance(self.user, nn.Module):
            return values
        own = {name: value for name, value in values.items() if not name.startswith("_")}
        parameters, buffers = self.user.named_parameters(recurse=False), self.user.named_buffers(recurse=False)
        return {**own, **dict(self.user.named_children()), **dict(parameters), **dict(buffers)}

    def _things(self) -> dict[str, Any]:
        """Return all that has a state among the attributes, and in lists and dicts there, by name."""
        found: dict[str, Any] = {}
        seen: set[int] = {id(self.settings)}

        def look(name: str, value: Any) -> None:
            if id(value) in seen:
                return
            if kept.has_state(value):
                seen.add(id(value))
                found[name] = value
            elif isinstance(value, dict | list | tuple) and len(value) <= _MOST_LOOKED_THROUGH:
                seen.add(id(value))
                for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                    look(f"{name}.{key}", item)

        for name, value in self._attributes().items():
            look(name, value)
        return found

    def _networks(self, things: Mapping[str, Any]) -> tuple[nn.Module, set[int]]:
        """Return the module that the run trains, and the ids of the modules and tensors that are inside it."""
        wanted = {id(p) for p in self.trained}
        every = _of_kind(things, nn.Module)
        trained = {n: m for n, m in every.items() if any(id(p) in wanted for p in m.parameters())}
        below = {id(inner) for m in trained.values() for inner in m.modules() if inner is not m}
        outer = {name: module for name, module in trained.items() if id(module) not in below}
        if [*outer.values()] == [self.settings.model]:
            whole: nn.Module = self.settings.model
        else:
            whole = nn.Module()
            for name, module in outer.items():
                whole.add_module(name.replace(".", "_"), module)
            if not models.layers(whole):
                raise self._refusal(_("its optimizers train no nn.Module among its attributes; make it one"))
        return whole, {id(m) for m in whole.modules()} | {id(t) for t in (*whole.parameters(), *whole.buffers())}

    def _kept(self) -> dict[str, Any]:
        """Return what has a state beside the networks and the optimizers, by name."""
        return {
            name: thing
            for name, thing in self._things().items()
            if id(thing) not in self._inside and not isinstance(thing, torch.optim.Optimizer)
        }

    def _check_schedulers(self) -> None:
        for scheduler in self.schedulers():
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                raise self._refusal(
                    _(
                        "schedulers holds a {kind}; those that Descent steps after each update must be schedulers "
                        "of torch that need no metric. Keep another one under another name, and step it in step()",
                        kind=type(scheduler).__name__,
                    )
                )

    def schedulers(self) -> list[Any]:
        """Return the schedulers that Descent steps after each update: those in the attribute of that name."""
        given = getattr(self.user, "schedulers", None) or []
        if isinstance(given, Mapping):
            return list(given.values())
        return list(given) if isinstance(given, Sequence) else [given]

    def _check_keepable(self) -> None:
        for name, state in (*self.state()["kept"].items(), ("state()", self.state()["own"])):
            reason = kept.why_unkeepable(state)
            if reason is not None:
                raise self._refusal(
                    _(
                        "the state of {name} holds what no checkpoint can ({reason}); only numbers, texts, tensors, "
                        "arrays, and lists and dicts of them can be kept",
                        name=name,
                        reason=reason,
                    )
                )

    # --- its state ---

    def state(self) -> State:
        """Return what the next step depends on besides the networks and the optimizers."""
        own = call_user_code(self.spec, self.user.state) if self._has("state") else None
        return {
            "is_presets_model": self.trains_preset_model,
            "kept": {name: kept.state_of(thing) for name, thing in self._kept().items()},
            "own": kept.plain(own),
        }

    def restore(self, state: State, step: int) -> None:
        """Restore what `state` returned at a step. Raises DescentError if it does not fit."""
        things = self._kept()
        for name, thing in things.items():
            kept.restore(name, thing, state["kept"], step)
        gone = [name for name in state["kept"] if name not in things]
        if gone:
            raise self._refusal(
                _("the checkpoint of step {step:,} has {name}, which the task lacks now", step=step, name=gone[0])
            )
        if self._has("load_state"):
            call_user_code(self.spec, self.user.load_state, kept.original(copied(state["own"])))

    def refuse_new(self) -> None:
        """Raise PresetError if a step has made something with a state that was not there before."""
        now = list(self._things())
        new = [name for name in now if name not in self.names]
        if new:
            raise self._refusal(
                _(
                    "{name} is made while it trains, so that a resume, a rewind or a fork, which begin with a new "
                    "object, have no place for its state. Make it in setup()",
                    name=new[0],
                )
            )

    def attributes(self) -> dict[str, Any]:
        """Return the public attributes that are plain values, or lists and dicts."""
        held = (bool, int, float, str, list, tuple, dict, deque, set, type(None))
        return {
            name: list(value)
            if isinstance(value, deque)
            else sorted(map(repr, value))
            if isinstance(value, set)
            else value
            for name, value in self._attributes().items()
            if not name.startswith("_") and isinstance(value, held)
        }

    # --- what it does ---

    def step(self, batch: Any) -> tuple[Tensor, dict[str, Any]]:
        """Make a step. Returns its loss, a scalar on the device, and the other scalars that it tells."""
        result = call_user_code(self.spec, self.user.step, batch)
        values = self._scalars("step(batch)", result)
        if "loss" not in values:
            raise self._refusal(
                _(
                    'step(batch) must return {{"loss": …}}, a dict of scalars with one called loss; it returned '
                    "{returned}",
                    returned=_keys(result),
                )
            )
        for scheduler in self.schedulers():
            call_user_code(self.spec, scheduler.step)
        loss = values.pop("loss")
        if isinstance(loss, Tensor):
            loss = loss.detach().reshape(())
        else:
            loss = torch.full((), float(loss), device=self.settings.device)
        return loss, {n: value.detach() if isinstance(value, Tensor) else value for n, value in values.items()}

    @torch.no_grad()
    def evaluate(self, loader: Any) -> dict[str, float]:
        """Return what the task's evaluate(loader) tells. The run goes on as if it had not been evaluated."""
        things = self._things()
        modes = [(inner, inner.training) for m in _of_kind(things, nn.Module).values() for inner in m.modules()]
        drawn = {name: thing for name, thing in things.items() if isinstance(thing, kept.Generator)}
        before = {name: kept.state_of(thing) for name, thing in drawn.items()}
        with undisturbed(self.settings.device):
            for module, _mode in modes:
                module.training = False
            try:
                result = call_user_code(self.spec, self.user.evaluate, loader)
            finally:
                for module, mode in modes:
                    module.training = mode
                for name, thing in drawn.items():
                    kept.restore(name, thing, before, 0)
        values = self._scalars("evaluate(loader)", result)
        if "loss" not in values:
            raise self._refusal(
                _(
                    'evaluate(loader) must return {{"loss": …}}, a dict of numbers with one called loss, by which '
                    "the best model is chosen; it returned {returned}",
                    returned=_keys(result),
                )
            )
        return {name: float(value) for name, value in values.items()}

    def _scalars(self, call: str, result: Any) -> dict[str, Any]:
        """Return what a call has returned, if it is a dict of scalars by names. Raises PresetError if it is not."""
        if not isinstance(result, Mapping):
            raise self._refusal(
                _(
                    'the call {call} must return {{"loss": …}}, a dict of scalars; it returned {returned}',
                    call=call,
                    returned=described_result(result),
                )
            )
        for name, value in result.items():
            if not isinstance(name, str) or not _is_scalar(value):
                raise self._refusal(
                    _(
                        'the call {call} returned {returned} as "{name}"; each value must be a scalar, and each '
                        "name a text",
                        call=call,
                        returned=described_result(value),
                        name=name,
                    )
                )
        return dict(result)


@contextmanager
def rates_scaled(factor: float, scheduled: Iterable[torch.optim.Optimizer]) -> Iterator[None]:
    """Multiply the rates of optimizers with a scheduler of their own, only in their steps, inside the block."""
    if factor == 1.0:
        yield
        return
    before: dict[int, list[Any]] = {}

    def scale(optimizer: torch.optim.Optimizer, *_unused: Any) -> None:
        before[id(optimizer)] = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor

    def put_back(optimizer: torch.optim.Optimizer, *_unused: Any) -> None:
        for group, lr in zip(optimizer.param_groups, before[id(optimizer)], strict=True):
            group["lr"] = lr

    handles = [handle for o in scheduled for handle in
               (o.register_step_pre_hook(scale), o.register_step_post_hook(put_back))]  # fmt: skip
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _of_kind(things: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    return {name: thing for name, thing in things.items() if isinstance(thing, kind)}


def _is_scalar(value: Any) -> bool:
    if isinstance(value, Tensor | np.ndarray):
        return value.shape in ((), (1,)) and (not isinstance(value, Tensor) or not value.is_complex())
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _keys(result: Mapping[str, Any]) -> str:
    return f"{{{', '.join(map(repr, result))}}}"
