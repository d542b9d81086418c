"""Starting from another model's weights, and keeping some of them as they are."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError, PresetError
from engine.training.models.layers import layers


@dataclass(frozen=True)
class TransferReport:
    """Names of layers. adapted: loaded, for other input channels. skipped: left as the new model has them."""

    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        said = [f"loaded {', '.join(self.loaded)}"] if self.loaded else []
        if self.adapted:
            said.append(f"adapted to the input channels {', '.join(self.adapted)}")
        if self.skipped:
            said.append(f"began anew {', '.join(self.skipped)}")
        return "; ".join(said)


def start_from(model: nn.Module, state: Mapping[str, Tensor]) -> TransferReport:
    """Load into `model` every layer of the state dict `state` that fits, whole layers only.

    A layer of another shape, such as a head for another number of classes, keeps its own initial weights. A
    convolution of grey images is adapted to colour, and the other way round. DescentError if no layer fits.
    """
    state = _plain(state)
    loaded: list[str] = []
    adapted: list[str] = []
    skipped: list[str] = []
    for name, module in layers(model):
        own = _own_tensors(module)
        prefix = "" if module is model else f"{name}."
        given = {key: state[prefix + key] for key in own if prefix + key in state}
        if len(given) < len(own):
            skipped.append(name)
            continue
        fitting = {key: _fit(module, key, given[key], own[key]) for key in own}
        if any(tensor is None for tensor in fitting.values()):
            skipped.append(name)
            continue
        changed = any(fitting[key] is not given[key] for key in own)
        (adapted if changed else loaded).append(name)
        with torch.no_grad():
            for key, tensor in fitting.items():
                assert tensor is not None
                own[key].copy_(tensor)
    if not loaded and not adapted:
        theirs = ", ".join(sorted({key.rpartition(".")[0] or key for key in state})[:8]) or "none"
        raise DescentError(f"model.from: no layer fits; this model has {_names(model)}, the weights are of {theirs}")
    return TransferReport(tuple(loaded), tuple(adapted), tuple(skipped))


def freeze(model: nn.Module, which: int | tuple[str, ...]) -> None:
    """Stop training the first `which` layers, or those whose names begin with one of `which`.

    A name that is a layer's, or a whole part of one before a dot, means just that: "hidden1" is not
    "hidden10". Frozen batch norms keep their running statistics and use them in training too. PresetError for
    a name that no layer has, or more layers than there are.
    """
    found = layers(model)
    if isinstance(which, int):
        if which > len(found):
            raise PresetError(f"model.freeze = {which}: there are {len(found)} layers: {_names(model)}")
        chosen = found[:which]
    else:
        names = {name for prefix in which for name in _matching(prefix, model)}
        chosen = [(name, module) for name, module in found if name in names]
    for _, module in chosen:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            _stop_learning_statistics(module)


class _AlwaysEvaluating(nn.Module):
    def train(self, mode: bool = True) -> "_AlwaysEvaluating":
        return super().train(False)


class FrozenBatchNorm1d(_AlwaysEvaluating, nn.BatchNorm1d):
    """A BatchNorm1d that stays in evaluation mode."""


class FrozenBatchNorm2d(_AlwaysEvaluating, nn.BatchNorm2d):
    """A BatchNorm2d that stays in evaluation mode."""


class FrozenBatchNorm3d(_AlwaysEvaluating, nn.BatchNorm3d):
    """A BatchNorm3d that stays in evaluation mode."""


FROZEN: dict[type, type] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
}


def _stop_learning_statistics(module: nn.Module) -> None:
    # model.train(), which every epoch calls, reaches all modules; only the class can say no for good.
    # Classes of a module of ours, so that the model can still be copied and pickled.
    module.__class__ = FROZEN.get(type(module), type(module))
    module.eval()


def _matching(prefix: str, model: nn.Module) -> list[str]:
    names = [name for name, _ in layers(model)]
    whole = [name for name in names if name == prefix or name.startswith(prefix + ".")]
    matching = whole or [name for name in names if prefix and name.startswith(prefix)]
    if not matching:
        raise PresetError(f'model.freeze: no layer\'s name begins with "{prefix}"; there are {_names(model)}')
    return matching


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers of the module itself, not of its children."""
    return {key: tensor for key, tensor in module.state_dict().items() if "." not in key}


def _fit(module: nn.Module, key: str, given: Tensor, own: Tensor) -> Tensor | None:
    """`given`, as it is or adapted from grey to colour or back; None where it does not fit."""
    if given.shape == own.shape:
        return given
    is_kernel = isinstance(module, nn.Conv2d) and key == "weight" and module.groups == 1 and given.ndim == 4
    if not is_kernel or given.shape[0] != own.shape[0] or given.shape[2:] != own.shape[2:]:
        return None
    match given.shape[1], own.shape[1]:
        case 3, 1:  # as if the grey image had been given as all three channels
            return given.sum(dim=1, keepdim=True)
        case 1, 3:  # as if the colours' mean had been given
            return given.expand_as(own) / 3
    return None


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that torch.compile and DataParallel put before names."""
    return {key.removeprefix("_orig_mod.").removeprefix("module."): tensor for key, tensor in state.items()}


def _names(model: nn.Module) -> str:
    return ", ".join(name for name, _ in layers(model))
