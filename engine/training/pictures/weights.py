"""The weights of the layer that sees the images, as images.

How the numbers of each layer are spread: activations, weights and gradients.

Every kind gives, for L layers and B bars: layers (L,) names as in metrics.json; kinds (L,) what is shown, in words;
counts (L, B) int64 and edges (L, B + 1) float32, of the finite numbers that are not exactly 0; zeros (L,) the share
that is; mean, std (L,) of the finite ones; non_finite (L,) how many are not. Of a very large layer every n-th number
is taken. Zeros stand apart, because a ReLU's would hide all else.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from descent.common.errors import DescentError
from engine.training import losses, models
from engine.training.models.layers import ACTIVATIONS, Maxout
from engine.training.pictures.probe import Arrays, Probe, few, host, words


def filters(look: Probe, options: dict[str, Any]) -> Arrays:
    """filters: (n, C, h, w) float32, each divided by its largest weight, so −1 to 1; scale: (n,) that weight.

    layer: its name; kind: in words; of: how many filters it has.
    """
    shape = look.run.dataset.input_shape
    # A norm before the first layer changes no shape.
    name, module = next((n, m) for n, m in models.layers(look.model) if " norm " not in models.describe(m))
    if isinstance(module, nn.Conv2d):
        weights = module.weight
    elif isinstance(module, nn.Linear) and module.in_features == math.prod(shape):
        weights = module.weight.view(-1, *shape)
    else:
        raise DescentError("its first layer is neither a convolution nor a linear layer over all pixels")
    first = host(weights[: options["most"]].float())
    scale = np.abs(first).max(axis=(1, 2, 3))
    divisor = np.where(scale > 0, scale, 1)[:, None, None, None]
    return {
        "filters": first / divisor,
        "scale": scale,
        "layer": np.array(name),
        "kind": np.array(models.describe(module)),
        "of": np.array(len(weights)),
    }


MOST = 200_000  # numbers of a layer

_BENDING = (*(type(make()) for make in ACTIVATIONS.values()), Maxout, nn.SiLU, nn.Softplus, nn.PReLU)


def weights(look: Probe, options: dict[str, Any]) -> Arrays:
    """Of each layer: its weights, biases and all."""
    found = models.layers(look.model)
    values = [_joined([p.detach() for p in module.parameters(recurse=False)]) for _, module in found]
    return _histograms(values, [name for name, _ in found], [models.describe(m) for _, m in found], options["bins"])


def gradients(look: Probe, options: dict[str, Any]) -> Arrays:
    """Of each layer that is trained: the gradient of what is minimised, penalties included, over the first training
    samples; before clipping, with batch norm and dropout as they are in training."""
    run, model = look.run, look.model
    inputs, targets = (tensor[: options["samples"]] for tensor in run.dataset.train)
    if len(inputs) < 2:
        model.eval()  # batch norm has no variance of one sample
    else:
        model.train()
    torch.manual_seed(0)  # the same units are dropped each time; the generator is put back by the look
    owners = [(name, module, _trained(module)) for name, module in models.layers(model)]
    owners = [(name, module, trained) for name, module, trained in owners if trained]
    with torch.enable_grad():
        loss = run.criterion(model(inputs), targets)
        if run.penalised:
            penalty = losses.penalty(losses.penalised(model), run.preset.loss)
            loss = loss if penalty is None else loss + penalty
        parameters = [p for _, _, trained in owners for p in trained]
        found = iter(torch.autograd.grad(loss, parameters, allow_unused=True))
    values = []
    for _, _, trained in owners:
        own = [(parameter, next(found)) for parameter in trained]
        values.append(_joined([torch.zeros_like(p) if g is None else g for p, g in own]))
    names, kinds = [name for name, _, _ in owners], [models.describe(module) for _, module, _ in owners]
    return _histograms(values, names, kinds, options["bins"])


def activations(look: Probe, options: dict[str, Any]) -> Arrays:
    """Of each activation function, named by the layer before it, and of the last layer: its outputs for validation
    samples (training samples where there are none). Of each layer where the model has no activation modules."""
    _, split = look.split("validation")
    layers = models.layers(look.model)
    watched = _bending(look.model, layers)
    last = layers[-1]
    if not watched:
        watched = [(name, module, models.describe(module)) for name, module in layers]
    elif all(module is not last[1] for _, module, _ in watched):
        watched.append((*last, models.describe(last[1])))
    seen: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, _: object, output: object) -> None:
        tensor = output[0] if isinstance(output, tuple) else output  # of a recurrent layer the states are left out
        if isinstance(tensor, Tensor):
            seen.setdefault(module, []).append(tensor.detach())

    for _, module, _ in watched:
        module.register_forward_hook(note)  # on the copy: it goes with it
    look.outputs(few(split, options["samples"]).inputs)
    met = [(name, module, kind) for name, module, kind in watched if module in seen]
    if not met:
        raise DescentError("the model passes by all its layers in its forward pass")
    values = [_joined(seen[module]) for _, module, _ in met]
    return _histograms(values, [name for name, _, _ in met], [kind for _, _, kind in met], options["bins"])


def _bending(model: nn.Module, layers: list[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module, str]]:
    """Each activation function: the name of the layer before it, itself, and its own name in words."""
    names = {module: name for name, module in layers}
    found: list[tuple[str, nn.Module, str]] = []
    latest = None
    for module in model.modules():
        if isinstance(module, _BENDING) and latest is not None:
            found.append((latest, module, type(module).__name__))
        latest = names.get(module, latest)
    return found


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.requires_grad]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers in a row, float32, at most MOST of them."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    return flat[:: -(-len(flat) // MOST)].float()


def _histograms(values: Sequence[Tensor], names: Sequence[str], kinds: Sequence[str], bins: int) -> Arrays:
    counts, edges, rows = [], [], []
    for numbers in values:
        finite = numbers[torch.isfinite(numbers)]
        spread = finite[finite != 0]
        low, high = (float(spread.min()), float(spread.max())) if len(spread) else (-1.0, 1.0)
        if not high > low:
            low, high = low - abs(low) / 2, high + abs(high) / 2
        counts.append(host(torch.histc(spread, bins, low, high)).astype(np.int64))
        edges.append(np.linspace(low, high, bins + 1, dtype=np.float32))
        mean = float(finite.mean()) if len(finite) else float("nan")
        std = float(finite.std(correction=0)) if len(finite) else float("nan")
        rows.append((1 - len(spread) / max(1, len(finite)), mean, std, len(numbers) - len(finite)))
    zeros, means, stds, broken = zip(*rows, strict=True)
    return {
        "layers": words(names),
        "kinds": words(kinds),
        "counts": np.stack(counts),
        "edges": np.stack(edges),
        "zeros": np.array(zeros),
        "mean": np.array(means),
        "std": np.array(stds),
        "non_finite": np.array(broken, dtype=np.int64),
    }
