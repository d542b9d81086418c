"""Dropout with a different share for each member."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

SHARE = "share"


class MemberDropout(nn.Module):
    """nn.Dropout with the share in a buffer, so that members can have different shares: () for one, (M,) for all."""

    share: Tensor

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        # Not saved, because the member's settings hold the share.
        self.register_buffer(SHARE, torch.zeros((), device=device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return drop(x, self.share) if self.training else x


def drop(x: Tensor, share: Tensor) -> Tensor:
    """Set that share of x to zero and scale up the rest. share: broadcast over x."""
    kept = torch.rand_like(x) >= share
    return x * (kept / (1 - share)).to(x.dtype)


def shares(models: Sequence[nn.Module]) -> dict[str, list[float]]:
    """Return the shares of each nn.Dropout by name, a list of M. A model built without that dropout has 0."""
    found = [{name: m.p for name, m in model.named_modules() if type(m) is nn.Dropout} for model in models]
    names = dict.fromkeys(name for of_one in found for name in of_one)
    return {name: [of_one.get(name, 0.0) for of_one in found] for name in names}


def names(model: nn.Module) -> list[str]:
    """Return the names of the dropouts, those of `assign` included."""
    return [name for name, m in model.named_modules() if type(m) in (nn.Dropout, MemberDropout)]


def assign(template: nn.Module, wanted: dict[str, list[float]], device: torch.device) -> dict[str, Tensor]:
    """Give the template's dropouts these shares. Returns the buffers, (M,) each, of shares that differ by member."""
    buffers = {}
    for name, of_members in wanted.items():
        if len(set(of_members)) == 1:
            _replace(template, name, nn.Dropout(of_members[0]))
        else:
            _replace(template, name, MemberDropout(device))
            buffers[f"{name}.{SHARE}"] = torch.tensor(of_members, device=device)
    return buffers


def alone(model: nn.Module, member: int, buffers: Mapping[str, Tensor]) -> nn.Module:
    """Replace the dropouts by plain ones, with the member's shares."""
    for name in names(model):
        if isinstance(model.get_submodule(name), MemberDropout):
            _replace(model, name, nn.Dropout(float(buffers[f"{name}.{SHARE}"][member])))
    return model


def set_share(model: nn.Module, share: float) -> None:
    """Set the share of every dropout of one model. Recurrent layers have their dropout inside."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(module, nn.RNNBase):
            module.dropout = share


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    module.train(model.get_submodule(name).training)
    setattr(model.get_submodule(parent), own, module)
