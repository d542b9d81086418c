"""Samples of each layer's weights, gradients and activations, and their quantiles: how the numbers are spread.

NUMBERS of each are enough: their quantiles are off by a few hundredths of the share at most. Which numbers are taken
is drawn once, by a generator of its own, so that training stays as it would be. Of fewer numbers all are taken.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from descent.loop.device import to_device
from descent.run.histograms import KINDS, SHARES

NUMBERS = 1024


class LayerSamples:
    """The samples of one measured step, on the device.

    watched: the modules whose outputs are a layer's activations, each with the index of the layer.
    seconds: what all samples so far have cost the host.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[tuple[str, nn.Module]],
        owners: Sequence[int],
        parameters: Sequence[nn.Parameter],
    ) -> None:
        """owners: the layer of each parameter, ascending."""
        self.watched = activations(model, layers)
        self.seconds = 0.0
        self._layers = len(layers)
        device = parameters[0].device
        # One in each equal part of the numbers.
        shares = (np.arange(NUMBERS) + np.random.default_rng(0).random(NUMBERS)) / NUMBERS
        self._shares = to_device(torch.from_numpy(shares.astype(np.float32)), device)
        # All layers, but those without a number that trains.
        owned = sorted({owner for owner, p in zip(owners, parameters, strict=True) if p.numel()})
        self._owned = None if len(owned) == len(layers) else to_device(torch.tensor(owned), device)
        self._places_in: dict[int, tuple[int, Tensor]] = {}  # by layer: how many numbers it puts out, which are taken
        places = _places(owners, [p.numel() for p in parameters], shares)
        self._places = [to_device(torch.from_numpy(at), device) for at in places]
        self._found: dict[str, Tensor] = {}  # (layers, NUMBERS) of each kind
        self._outputs: dict[int, Tensor] = {}

    def note(self, kind: str, tensors: Sequence[Tensor]) -> None:
        """Keep samples of a tensor for each parameter."""
        began = time.perf_counter()
        pairs = zip(tensors, self._places, strict=True)
        rows = torch.cat([tensor.reshape(-1).index_select(0, at) for tensor, at in pairs]).float().view(-1, NUMBERS)
        if self._owned is not None:
            rows = self._none().index_copy_(0, self._owned, rows)
        self._found[kind] = rows
        self.seconds += time.perf_counter() - began

    def note_activations(self, layer: int, output: object) -> None:
        """Keep samples of what a module of `watched` has put out. Of several passes the last one counts."""
        if torch.compiler.is_compiling():  # which can't read the clock, and compiles anew for what a dict has got
            numbers = _numbers(output)
            if numbers is not None:
                self._outputs[layer] = numbers.index_select(0, self._places_of(numbers)).float()
            return
        began = time.perf_counter()
        numbers = _numbers(output)
        if numbers is not None:
            before, at = self._places_in.get(layer, (0, self._shares))
            if before != len(numbers):
                at = self._places_of(numbers)
                self._places_in[layer] = len(numbers), at
            self._outputs[layer] = numbers.index_select(0, at).float()
            self.seconds += time.perf_counter() - began

    def _places_of(self, numbers: Tensor) -> Tensor:
        return (self._shares * len(numbers)).long().clamp(max=len(numbers) - 1)

    def take(self) -> Tensor | None:
        """Return the samples that were kept, (KINDS, layers, NUMBERS), and forget them. None if there are none."""
        found, outputs = self._found, self._outputs
        self._found, self._outputs = {}, {}
        if len(found) < 2:
            return None
        found["activations"] = self._none()
        for layer, numbers in outputs.items():
            found["activations"][layer] = numbers
        return torch.stack([found[kind] for kind in KINDS])

    def _none(self) -> Tensor:
        return torch.full((self._layers, NUMBERS), float("nan"), device=self._shares.device)


def quantiles(samples: Tensor) -> Tensor:
    """(…, NUMBERS) -> (…, SHARES)"""
    ranks = np.rint(SHARES * (NUMBERS - 1)).astype(np.int64)
    if samples.device.type == "cpu":  # NumPy takes 0.04 ms for two layers, torch 0.3 ms
        return torch.from_numpy(np.sort(samples.numpy(), axis=-1)[..., ranks])
    ordered = samples.sort(dim=-1).values
    return torch.stack([ordered[..., rank] for rank in ranks.tolist()], dim=-1)  # no index that the host has to copy


def _places(owners: Sequence[int], sizes: Sequence[int], shares: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return which numbers of each parameter are taken: NUMBERS of each layer, over all its parameters."""
    totals: dict[int, int] = {}
    for owner, size in zip(owners, sizes, strict=True):
        totals[owner] = totals.get(owner, 0) + size
    places, first, layer = [], 0, -1
    for owner, size in zip(owners, sizes, strict=True):
        first = first if owner == layer else 0
        layer = owner
        at = np.minimum((shares * totals[owner]).astype(np.int64), totals[owner] - 1)
        places.append(at[(at >= first) & (at < first + size)] - first)
        first += size
    return places


def activations(model: nn.Module, layers: Sequence[tuple[str, nn.Module]]) -> list[tuple[nn.Module, int]]:
    """Return the modules whose outputs are looked at, each with the index of a layer.

    They are the activation functions, of the layer before each, and the last layer. In a model without such modules
    the layers themselves are looked at.
    """
    index_of = {module: index for index, (_, module) in enumerate(layers)}
    found: dict[int, nn.Module] = {}
    latest = None
    for module in model.modules():
        latest = index_of.get(module, latest)
        if latest is not None and _is_activation(module):
            found[latest] = module
    if not found:
        return list(index_of.items())
    last = len(layers) - 1
    found.setdefault(last, layers[last][1])
    return [(module, layer) for layer, module in found.items()]


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, nn.MultiheadAttention)


def _numbers(output: object) -> Tensor | None:
    """Return all numbers of a module's output in a row; None where it has none."""
    if isinstance(output, tuple) and output:  # of a recurrent layer the outputs, not its states
        output = output[0]
    if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
        return output.detach().reshape(-1)
    return None
