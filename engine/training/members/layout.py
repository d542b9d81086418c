"""The place of each parameter in a row of the members' weights, and the tensors that are not trained."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError
from descent.common.i18n import _


class Place(NamedTuple):
    """The place of a parameter in a row."""

    first: int
    last: int
    shape: torch.Size  # for one member


def places(models: Sequence[nn.Module]) -> dict[str, Place]:
    """Return the places of the trained parameters by name. Raises DescentError if the models are not alike."""
    shapes = [{name: p.shape for name, p in model.named_parameters() if p.requires_grad} for model in models]
    if any(of_one != shapes[0] for of_one in shapes):
        raise DescentError(
            _("members must have the same shape; use a study for models of different widths or depths")
        )
    if len({p.dtype for model in models for p in model.parameters() if p.requires_grad}) > 1:
        raise DescentError(_("members need all weights in one type, such as float32"))
    found, first = {}, 0
    for name, shape in shapes[0].items():
        found[name] = Place(first, first + shape.numel(), shape)
        first += shape.numel()
    return found


def row(model: nn.Module) -> Tensor:
    """Return the trained parameters in a row, (P,)."""
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


def fixed(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what is not trained, by name: frozen parameters, and buffers."""
    yield from ((name, p.detach()) for name, p in model.named_parameters() if not p.requires_grad)
    yield from model.named_buffers()


def stack(tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the tensors of M models, by name: (M, …) each."""
    return {name: torch.stack([of_one[name] for of_one in tensors]) for name in tensors[0]}


def saved_names(model: nn.Module) -> dict[str, str]:
    """Map the names in a state dict to the first name of the same tensor. Modules may share one."""
    first: dict[int, str] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        first.setdefault(id(tensor), name)
    saved = model.state_dict(keep_vars=True)
    return {name: first[id(tensor)] for name, tensor in saved.items() if id(tensor) in first}
