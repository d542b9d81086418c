"""Models, optimizers, losses and data that a check asks for, made in the learner's process."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import checkpoint
from descent.loop import device as devices
from descent.run.folder import RunFolder
from engine.labs.sandbox.wire import Handle
from engine.preset.loading import Preset, load_preset
from engine.training import losses, models
from engine.training.at_once import MOST, AtOnce
from engine.training.data import Dataset, Split, load
from engine.training.evaluation import Evaluation, evaluate
from engine.training.models import transfer
from engine.training.models.pieces import kinks
from engine.training.optimizers import recipe
from engine.training.user_code import load_object

_CPU = torch.device("cpu")


class Bench:
    """The objects of one check. Each is made when it is first asked for; the same name is the same object.

    context: {"preset": file, "run": folder or None, "data": facts of the data}, or None if the check needs no models.
    """

    def __init__(self, context: dict[str, Any] | None) -> None:
        self._context = context
        self._models: dict[str, nn.Module] = {}
        self._optimizers: dict[str, torch.optim.Optimizer] = {}
        self._calls: dict[str, list[tuple[int, bool, bool]]] = {}  # by model: rows, in train mode, with gradients

    def do(self, what: str, arguments: list[Any]) -> Any:
        """Return the answer to a request about these objects."""
        known: dict[str, Callable[..., Any]] = {
            "state_of": self._state_of,
            "optimizer_state_of": self._optimizer_state_of,
            "training": lambda name: self._model(name).training,
            "calls": lambda name: np.array(self._calls.get(name, []), np.float64).reshape(-1, 3),
            "accuracy_of": lambda name, x, y: self._evaluated(name, x, y).accuracy,
            "loss_of": lambda name, x, y: self._evaluated(name, x, y).loss,
            "step_of": self._step_of,
            "kinks_of": self._kinks_of,
            "torch_file": _torch_file,
        }
        return known[what](*arguments)

    def resolve(self, handle: Handle) -> Any:
        """Return the object that a handle stands for. It is made if it is new."""
        match handle.kind:
            case "model" | "trained":
                if handle.name not in self._models:
                    self._models[handle.name] = self._made(handle.name, trained=handle.kind == "trained")
                return self._models[handle.name]
            case "accelerated":
                return self._model(handle.name).to(devices.choose("auto")[0])
            case "optimizer":
                if handle.name not in self._optimizers:
                    kind, arguments = recipe(self._preset().optimizer)
                    trained = [p for p in self._model(handle.of).parameters() if p.requires_grad]
                    self._optimizers[handle.name] = _light(kind(trained, **arguments))
                return self._optimizers[handle.name]
            case "loss":
                return self._criterion()
            case other:
                raise DescentError(_("there is no object {name}", name=other))

    # --- making ---

    def _preset(self) -> Preset:
        if self._context is None:
            raise DescentError(_("nothing is trained for this check, so there is no model"))
        return load_preset(Path(self._context["preset"]))

    def _facts(self) -> dict[str, Any]:
        assert self._context is not None
        found: dict[str, Any] = self._context["data"]
        return found

    def _made(self, name: str, *, trained: bool) -> nn.Module:
        """Make the preset's model, in train mode, with its initial weights or the last ones of the graded run."""
        preset, facts = self._preset(), self._facts()
        torch.manual_seed(preset.train.seed)
        size = losses.outputs(preset.loss, task=facts["task"], target_size=facts["target_size"])
        model = models.build(preset.model, input_shape=tuple(facts["input_shape"]), outputs=size, code=load_object)
        transfer.freeze(model, preset.model.freeze)
        if trained:
            model.load_state_dict(self._weights())
        seen = self._calls.setdefault(name, [])

        def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            rows = len(inputs[0]) if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim else 0
            seen.append((rows, module.training, torch.is_grad_enabled()))

        model.register_forward_pre_hook(note)
        return model.train()

    def _weights(self) -> dict[str, Tensor]:
        """Return the weights of the graded run's first member, at the end of the run."""
        assert self._context is not None
        run = RunFolder(Path(self._context["run"] or ""))
        state, complaints = checkpoint.latest(run) if self._context["run"] else (None, [])
        if state is None or complaints:
            raise DescentError("; ".join([_("the graded run has saved no weights"), *complaints]))
        weights: dict[str, Tensor] = state["model"]
        return {name: tensor[0] for name, tensor in weights.items()} if "standings" in state else weights

    def _criterion(self) -> losses.Criterion:
        preset, facts = self._preset(), self._facts()
        return losses.build(preset.loss, task=facts["task"], num_classes=facts["classes"], code=load_object)

    # --- answering ---

    def _model(self, name: str) -> nn.Module:
        if name not in self._models:
            self.resolve(Handle("model", name))
        return self._models[name]

    def _state_of(self, name: str) -> Tensor:
        """Return all weights of a model in a row, (P,) float64."""
        state = [value.detach().double().flatten() for value in self._model(name).state_dict().values()]
        return torch.cat(state) if state else torch.zeros(0, dtype=torch.float64)

    def _optimizer_state_of(self, name: str) -> Tensor:
        """Return all tensors that an optimizer keeps, in a row. It is empty before the first step."""
        if name not in self._optimizers:
            raise DescentError(_('there is no optimizer "{name}" in this check', name=name))
        kept = [v for own in self._optimizers[name].state.values() for v in own.values() if isinstance(v, Tensor)]
        row = [value.detach().double().flatten() for value in kept]
        return torch.cat(row) if row else torch.zeros(0, dtype=torch.float64)

    def _evaluated(self, name: str, x: Any, y: Any) -> Evaluation:
        split = Split(_inputs(x), _targets(y))
        precision, at_once = torch.autocast("cpu", enabled=False), AtOnce(MOST, trained=MOST)
        return evaluate(self._model(name), self._criterion(), split, precision, at_once)

    def _kinks_of(self, model: object, low: float, high: float) -> Tensor:
        found = kinks(model, float(low), float(high)) if isinstance(model, nn.Module) else None
        if found is None:
            raise DescentError(_('kinks_of takes a ReLU network with one input: kinks_of(trained("m"), -1, 1)'))
        return found

    def _step_of(self, model: str, optimizer: str, x: Any, y: Any) -> float:
        """Do one correct training step, and return the loss before it."""
        trained, updates = self._model(model), self.resolve(Handle("optimizer", optimizer, model))
        trained.train()
        updates.zero_grad()
        loss = self._criterion()(trained(_inputs(x)), _targets(y))
        loss.backward()  # type: ignore[no-untyped-call]
        updates.step()
        return float(loss.detach())


def _light(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer with a step that does not load the compiler, which takes seconds of the learner's time."""
    step = inspect.unwrap(type(optimizer).step)

    @torch.no_grad()
    def light(closure: Callable[[], Any] | None = None) -> Any:
        return step(optimizer, closure)

    optimizer.step = light  # type: ignore[method-assign]
    return optimizer


def as_array(value: Any) -> Any:
    """Return a tensor as an array on the CPU, or None for anything else."""
    if not isinstance(value, Tensor):
        return None
    value = value.detach().cpu()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).resolve_conj().numpy()


def _inputs(x: Any) -> Tensor:
    return torch.as_tensor(np.asarray(x) if not isinstance(x, Tensor) else x).float()


def _targets(y: Any) -> Tensor:
    found = torch.as_tensor(np.asarray(y) if not isinstance(y, Tensor) else y)
    return found.float() if found.is_floating_point() else found.long()


def _torch_file(path: str) -> Any:
    """Load a file of torch.save without running any code in it."""
    try:
        return torch.load(path, map_location=_CPU, weights_only=True)
    except FileNotFoundError:
        raise DescentError(_("there is no file {file}", file=Path(path).name)) from None
    except Exception as error:
        name = Path(path).name
        raise DescentError(
            _("{file} can't be read with weights_only=True ({error})", file=name, error=type(error).__name__)
        ) from None


@lru_cache(maxsize=4)
def _dataset(preset: str, root: str, *, raw: bool) -> Dataset:
    section = load_preset(Path(preset)).data
    if raw:
        section = section.model_copy(update={"scaling": "none"})
    return load(section, root=Path(root), device=torch.device("cpu"), code=None)


def splits(preset: str, root: str, split: str, *, raw: bool) -> dict[str, torch.Tensor] | None:
    """Return `inputs` and `targets` of a split, as the model sees them or, raw, before scaling.

    Returns None if there is no such split. preset: its file. root: the folder of downloaded data. Raises the errors
    of `engine.training.data.load`.
    """
    data = _dataset(preset, root, raw=raw)
    found = {"train": data.train, "validation": data.validation, "test": data.test}[split]
    return None if found is None else {"inputs": found.inputs[:], "targets": found.targets}


def facts(preset: str, root: str) -> dict[str, Any]:
    """Return the facts of the data that a model is made from."""
    data = _dataset(preset, root, raw=False)
    return {
        "input_shape": list(data.input_shape),
        "task": data.task,
        "target_size": data.target_size,
        "classes": data.num_classes,
    }
