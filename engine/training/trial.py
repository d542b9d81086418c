"""A trial of the user's own model and loss before the first step: one forward and one backward pass on a copy.

What goes wrong in it is said in words that name their file. In the first step it would look like a bug of Descent.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from engine.preset import schema
from engine.preset.loading import Preset
from engine.training import task
from engine.training.data import Split
from engine.training.data.randomness import seed_all
from engine.training.losses import Criterion
from engine.training.user_code import call_user_code, check_call, described_result, is_out_of_memory, load_object

_CALLS: dict[str, tuple[str, ...]] = {  # what the user's own code of each section is given, besides its arguments
    "data": (),
    "model": ("input_shape", "outputs"),
    "loss": ("outputs", "targets"),
    "train": ("model", "loss_function", "optimizer", "x", "y"),
    "metrics": ("outputs", "targets"),
}
_MOST_TO_GROW = 256  # samples


def load_code(preset: Preset) -> None:
    """Load the user's own code before the data, which may take long. Raises PresetError if it can't be called.

    The generators are seeded with `train.seed`, because a file may draw numbers as it is loaded.
    """
    seed_all(preset.train.seed)
    for section, spec in preset.code.items():
        arguments = getattr(getattr(preset, section), "arguments", {})
        file, names = spec.rpartition(":")[::2]
        for each in [f"{file}:{name}" for name in names.split(",")]:  # of metrics, there may be several
            named = load_object(each)
            if section == "train" and task.is_class(named):
                _check_task(each, named, arguments)
            else:
                check_call(each, named, _CALLS[section], arguments)


def _check_task(spec: str, kind: type[Any], arguments: Mapping[str, Any]) -> None:
    """Raise PresetError if the class of `train.code` can't be made, or has no step, or one that takes no batch."""
    check_call(spec, kind, (), arguments)
    for name, given in task.METHODS.items():
        method = getattr(kind, name, None)
        if method is None and name == "step":
            raise PresetError(
                _(
                    'train.code = "{code}": a class must have a method step(self, batch) that returns {{"loss": …}}',
                    code=spec,
                )
            )
        if callable(method):
            check_call(f"{spec}.{name}", method, ("self", *given))


def check(
    preset: Preset,
    model: nn.Module,
    criterion: Criterion,
    split: Split,
    outputs: int,
    precision: AbstractContextManager[None],
) -> None:
    """Raise PresetError if the user's own model or loss can't be trained. For others do nothing.

    model: as it will be trained, on its device. outputs: how many it must have. With `train.code`, which may use
    further outputs and have its loss elsewhere, only the parameters are looked at.
    """
    code = preset.model.code if isinstance(preset.model, schema.CodeModel) else None
    if code is not None:
        _check_parameters(model, code)
    if preset.train.code is not None or (code is None and not isinstance(preset.loss, schema.CodeLoss)):
        return
    size, tried = preset.train.batch_size, _copied(model, code)
    count = None if size == "full" else max(1, size // preset.train.accumulate)
    inputs, targets = split.inputs[:count], split.targets[:count]
    with precision:
        found = tried(inputs) if code is None else call_user_code(code, tried, inputs)
        found = _checked_outputs(preset, tried, found, (len(inputs), outputs))
        loss = criterion(found, targets)
    _check_loss(preset, tried, found, loss)


def grow(preset: Preset, model: nn.Module, split: Split) -> list[str]:
    """Let the user's own model make what it makes only in its first forward pass in training mode.

    A checkpoint holds it, which a model that has not trained yet could not take up. model: on its device, in training
    mode. It is left as it was but for what is new. Returns the names of that. A pass that fails is left to `check`,
    or to the user's own step, which may call the model in another way.
    """
    if not isinstance(preset.model, schema.CodeModel):
        return []
    code, inputs = preset.model.code, split.inputs[: samples_to_grow(preset, split)].clone()
    tried, before = _copied(model, code), {name: t.clone() for name, t in model.state_dict().items()}
    with torch.no_grad():
        try:
            call_user_code(code, tried, inputs)
        except PresetError:
            return []
        if _shapes(tried) == _shapes(model):
            return []
        call_user_code(code, model, inputs)
    model.train()
    now = _shapes(model)
    known = {name: t for name, t in before.items() if now.get(name) == t.shape}
    model.load_state_dict(known, strict=False)
    return [name for name in now if name not in known]


def samples_to_grow(preset: Preset, split: Split) -> int:
    """Return how many samples `grow` passes through the model: a batch, if that is not very large."""
    size = preset.train.batch_size
    return min(len(split.inputs), _MOST_TO_GROW, max(2, size) if isinstance(size, int) else _MOST_TO_GROW)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _checked_outputs(preset: Preset, model: nn.Module, found: object, wanted: tuple[int, int]) -> Tensor:
    """Return what forward() gave in training mode. Raises PresetError unless it is outputs with a gradient."""
    key, _loss_key = keys(preset)
    if not isinstance(found, Tensor) or found.shape != wanted:
        raise PresetError(
            _(
                "{key}: in training mode forward() must return outputs of shape {wanted}, as it does in "
                "evaluation mode; it returned {returned}. Only a training step of your own (train.code) can use "
                "further outputs",
                key=key,
                wanted=wanted,
                returned=described_result(found),
            )
        )
    if not found.requires_grad and any(p.requires_grad for p in model.parameters()):
        raise PresetError(
            _(
                "{key}: the outputs of forward() in training mode have no gradient, so nothing would be trained; "
                "look for torch.no_grad(), detach() and numpy() on the way to them",
                key=key,
            )
        )
    return found


def _check_loss(preset: Preset, model: nn.Module, outputs: Tensor, loss: Tensor) -> None:
    """Raise PresetError if the backward pass from `loss` does not give the model's parameters dense gradients."""
    model_key, loss_key = keys(preset)
    if outputs.requires_grad and not loss.requires_grad:
        raise PresetError(
            _(
                "{key}: the loss has no gradient, so nothing would be trained; look for torch.no_grad(), detach(), "
                "item() and torch.tensor(…) on the way to it",
                key=loss_key,
            )
        )
    if not loss.requires_grad:
        return  # a frozen model is refused where the optimizer is made
    _check_leaves(model, outputs, loss, model_key, loss_key)
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except DescentError:
        raise
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        key = model_key if isinstance(preset.model, schema.CodeModel) else loss_key
        raise PresetError(_("{key}: backward() fails: {error}", key=key, error=error)) from error
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            raise PresetError(
                _(
                    "{key}: the gradient of the parameter {name} is sparse, and Descent's statistics and optimizers "
                    "need dense ones; leave out sparse=True",
                    key=model_key,
                    name=name,
                )
            )


def keys(preset: Preset) -> tuple[str, str]:
    """Return the keys that messages on the model and on the loss begin with, as they stand in the preset."""
    model, loss = preset.model, preset.loss
    return (
        f'model.code = "{model.code}"' if isinstance(model, schema.CodeModel) else f'model.name = "{model.name}"',
        f'loss.code = "{loss.code}"' if isinstance(loss, schema.CodeLoss) else f'loss.name = "{loss.name}"',
    )


def _copied(model: nn.Module, spec: str | None) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        if spec is None:
            raise
        raise PresetError(
            _(
                'model.code = "{code}": the model can\'t be copied, which measuring and pictures need: {error}',
                code=spec,
                error=error,
            )
        ) from error


def _check_parameters(model: nn.Module, spec: str) -> None:
    for name, parameter in model.named_parameters():
        if parameter.is_complex():
            raise PresetError(
                _(
                    'model.code = "{code}": the parameter {name} is complex; keep it as a real one of shape {shape} '
                    "and use torch.view_as_complex in forward()",
                    code=spec,
                    name=name,
                    shape=(*parameter.shape, 2),
                )
            )


def _check_leaves(model: nn.Module, outputs: Tensor, loss: Tensor, model_key: str, loss_key: str) -> None:
    """Refuse tensors that get a gradient and are no parameters of the model: nothing would train or save them."""
    own = {id(parameter) for parameter in model.parameters()}
    of_model = {id(leaf) for leaf in _leaves(outputs)}
    for leaf in _leaves(loss):
        if id(leaf) in own:
            continue
        if id(leaf) in of_model:
            raise PresetError(
                _(
                    "{key}: a tensor of shape {shape} gets a gradient, but is no parameter of the model, so that "
                    "nothing would train it; make it a torch.nn.Parameter of the model, or, if it is to stay as it "
                    "is, a buffer (register_buffer)",
                    key=model_key,
                    shape=tuple(leaf.shape),
                )
            )
        raise PresetError(
            _(
                "{key}: the loss has a parameter of its own, of shape {shape}, and the optimizer trains those of the "
                "model alone; put it into the model, or, if it is to stay as it is, call requires_grad_(False)",
                key=loss_key,
                shape=tuple(leaf.shape),
            )
        )


def _leaves(result: Tensor) -> Iterator[Tensor]:
    """Yield the tensors at which the graph of `result` ends."""
    waiting, seen = [result.grad_fn], set()
    if result.grad_fn is None and result.requires_grad:
        yield result
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, Tensor):
            yield leaf
        waiting += [following for following, _index in node.next_functions]
