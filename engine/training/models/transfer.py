"""Transfer learning: start from another model's weights, and freeze some layers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from engine.training.models.layers import layers


@dataclass(frozen=True)
class TransferReport:
    """Names of layers. adapted: loaded with other input channels. skipped: still with the new model's own weights.

    fresh: new too, because the preset says so.
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    skipped: tuple[str, ...]
    fresh: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [_("loaded: {layers}", layers=", ".join(self.loaded))] if self.loaded else []
        if self.adapted:
            said.append(_("adapted to the input channels: {layers}", layers=", ".join(self.adapted)))
        if self.skipped:
            said.append(_("not loaded: {layers}", layers=", ".join(self.skipped)))
        if self.fresh:
            said.append(_("new, as model.fresh says: {layers}", layers=", ".join(self.fresh)))
        return "; ".join(said)


def start_from(model: nn.Module, state: Mapping[str, Tensor], fresh: tuple[str, ...] = ()) -> TransferReport:
    """Load every layer of the state dict `state` that fits into `model`, but those whose names begin with `fresh`.

    Only whole layers are loaded.

    A layer of another shape, such as a head for another number of classes, keeps its own initial weights. The first
    convolution is adapted to images with any other number of channels: grey, colour, infrared beside them. Raises
    DescentError if no layer fits.
    """
    state = _plain(state)
    new = {name for prefix in fresh for name in _matching(prefix, model, "fresh")}
    loaded: list[str] = []
    adapted: list[str] = []
    skipped: list[str] = []
    first = next((module for _name, module in layers(model) if isinstance(module, nn.Conv2d)), None)
    for name, module in layers(model):
        if name in new:
            continue
        own = _own_tensors(module)
        prefix = "" if module is model else f"{name}."
        given = {key: state[prefix + key] for key in own if prefix + key in state}
        if len(given) < len(own):
            skipped.append(name)
            continue
        fitting = {key: _fit(module, key, given[key], own[key], sees_data=module is first) for key in own}
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
        theirs = ", ".join(sorted({key.rpartition(".")[0] or key for key in state})[:8]) or _("none")
        raise DescentError(
            _(
                "model.from: no layer fits; layers of this model: {layers}; layers of the weights: {given}",
                layers=_names(model),
                given=theirs,
            )
        )
    kept = tuple(name for name, _module in layers(model) if name in new)
    return TransferReport(tuple(loaded), tuple(adapted), tuple(skipped), kept)


def freeze(model: nn.Module, which: int | tuple[str, ...]) -> list[str]:
    """Freeze the first `which` layers, or those whose names begin with one of `which`.

    A name that is the name of a layer, or its part before a dot, means only that layer: "hidden1" is not "hidden10".
    Frozen batch norms keep their running statistics and use them in training too. Returns the names of the frozen
    layers. Raises PresetError for a name that no layer has, and for more layers than the model has.
    """
    found = layers(model)
    if isinstance(which, int):
        if which > len(found):
            raise PresetError(
                _(
                    "model.freeze = {given}: there are {count} layers: {layers}",
                    given=which,
                    count=len(found),
                    layers=_names(model),
                )
            )
        chosen = found[:which]
    else:
        names = {name for prefix in which for name in _matching(prefix, model, "freeze")}
        chosen = [(name, module) for name, module in found if name in names]
    for _name, module in chosen:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            _stop_learning_statistics(module)
    return [name for name, _module in chosen]


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
    # model.train(), which every epoch calls, reaches all modules. Only another class of the module can refuse it.
    # The classes are defined in this file, so that the model can still be copied and pickled.
    module.__class__ = FROZEN.get(type(module), type(module))
    module.eval()


def _matching(prefix: str, model: nn.Module, key: str) -> list[str]:
    names = [name for name, _ in layers(model)]
    whole = [name for name in names if name == prefix or name.startswith(prefix + ".")]
    matching = whole or [name for name in names if prefix and name.startswith(prefix)]
    if not matching:
        raise PresetError(
            _(
                'model.{key}: no layer has a name that begins with "{prefix}"; layers: {layers}',
                key=key,
                prefix=prefix,
                layers=_names(model),
            )
        )
    return matching


def _own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and saved buffers of the module itself, not of its children."""
    return {key: tensor for key, tensor in module.state_dict().items() if "." not in key}


def _fit(module: nn.Module, key: str, given: Tensor, own: Tensor, *, sees_data: bool) -> Tensor | None:
    """Return `given` as it is, or adapted to another number of input channels, or None if it does not fit.

    Only the convolution that sees the data is adapted. It answers as the given one would if each of its channels saw
    the mean of the new ones: a colour image is seen in grey, a grey one as all three colours.
    """
    if given.shape == own.shape:
        return given
    is_kernel = isinstance(module, nn.Conv2d) and key == "weight" and module.groups == 1 and given.ndim == 4
    if not (sees_data and is_kernel) or given.shape[0] != own.shape[0] or given.shape[2:] != own.shape[2:]:
        return None
    return given.sum(dim=1, keepdim=True).expand_as(own) / own.shape[1]


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that torch.compile and DataParallel put before names."""
    return {key.removeprefix("_orig_mod.").removeprefix("module."): tensor for key, tensor in state.items()}


def _names(model: nn.Module) -> str:
    return ", ".join(name for name, _ in layers(model))
