"""Statistics of each layer of each member: LayerStatistics with a member axis."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from descent.loop.layer_statistics import PerLayer, activation_owners, dead_share
from descent.run.layout import LAYER_STATISTICS
from engine.training.members.stacked import Members
from engine.training.members.update import MemberUpdate
from engine.training.models import layers


class MemberStatistics:
    """Layer statistics of all members, used as LayerStatistics is.

    `row()` returns (M, layers, len(LAYER_STATISTICS)) float32. Each member's numbers are those that LayerStatistics
    gives for it alone.
    """

    def __init__(self, members: Members, update: MemberUpdate) -> None:
        self._members, self._update = members, update
        found = layers(members.template)
        name_of = {module: name for name, module in members.template.named_modules()}
        self._names: list[str] = []  # of parameters, layer by layer
        owners: list[int] = []
        for index, (_, module) in enumerate(found):
            for own, _ in module.named_parameters(recurse=False):
                self._names.append(f"{name_of[module]}.{own}".lstrip("."))
                owners.append(index)
        device = members.weights.device
        self._per_layer = PerLayer(owners, len(found), device)
        self._zeros = torch.zeros(members.count, len(found), device=device)
        sizes = torch.tensor([float(w[0].numel()) for w in self._weights().values()], device=device)
        self._layer_sizes = self._per_layer(sizes.expand(members.count, -1))
        self._layer_of = {name_of[m]: layer for m, layer in activation_owners(members.template, found)}
        self._dead: dict[str, list[Tensor]] = {}
        self._old: list[Tensor] = []
        self._measured: list[Tensor] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Record the activations of the forward passes inside the block."""
        with self._members.looking(dict.fromkeys(self._layer_of, dead_share)) as self._dead:
            yield

    def before_update(self) -> None:
        """Measure the gradients, and keep a copy of the weights."""
        self.note_gradients()
        self.note_weights()

    def note_weights(self) -> None:
        """Keep a copy of the weights from before the step."""
        self._old = [weight.clone() for weight in self._weights().values()]

    def note_gradients(self) -> None:
        """Measure the norms of the gradients, and the share of gradients that are 0."""
        weights = self._weights()
        given = self._members.split(self._update.gradients)
        gradients = [given.get(name, torch.zeros_like(weight)) for name, weight in weights.items()]
        zeros = torch.stack([(g == 0).flatten(1).sum(1) for g in gradients], dim=1).float()
        shares = self._per_layer(zeros) / self._layer_sizes
        self._measured = [self._norm(gradients), shares]

    def row(self) -> Tensor:
        """Return (M, layers, len(LAYER_STATISTICS)) float32. `dead` is NaN for layers that no activation follows."""
        grad_norm, zero_share = self._measured
        weights = list(self._weights().values())
        weight_norm = self._norm(weights)
        update_norm = self._norm([new - old for new, old in zip(weights, self._old, strict=True)])
        statistics = {
            "grad_norm": grad_norm,
            "weight_norm": weight_norm,
            "update_ratio": update_norm / weight_norm.clamp(min=1e-12),
            "zero_grads": zero_share,
            "dead": self._dead_shares(),
            "non_finite": (~torch.isfinite(grad_norm)).float(),
        }
        self._old, self._measured = [], []
        return torch.stack([statistics[name] for name in LAYER_STATISTICS], dim=2)

    def _weights(self) -> dict[str, Tensor]:
        tensors = self._members.tensors()
        return {name: tensors[name] for name in self._names}

    def _dead_shares(self) -> Tensor:
        of_layers: dict[int, list[Tensor]] = {}
        for name, passes in self._dead.items():
            of_layers.setdefault(self._layer_of[name], []).extend(passes)
        dead = torch.full_like(self._zeros, float("nan"))
        for layer, shares in of_layers.items():
            dead[:, layer] = torch.stack(shares).mean(dim=0)
        return dead

    def _norm(self, tensors: list[Tensor]) -> Tensor:
        norms = [torch.linalg.vector_norm(tensor.flatten(1), dim=1) for tensor in tensors]
        return self._per_layer(torch.stack(norms, dim=1).float().square()).sqrt()
