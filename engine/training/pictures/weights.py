"""The weights of the first layer as images, and histograms of each layer's activations, weights and gradients.

Every histogram has, for L layers and B bars:

- layers: (L,), names as in metrics.json. kinds: (L,), what is shown, in words.
- counts: (L, B) int64, edges: (L, B + 1) float32, of the finite numbers that are not exactly 0.
- zeros: (L,), the share of numbers that are exactly 0. They are apart, because a ReLU's zeros would hide the rest.
- mean, std: (L,), of the finite numbers. non_finite: (L,), how many are not finite.

That of the weights also has them as an image: matrix (L, SIDE, SIDE) float16, a row for each output, divided by
`largest`, (L,); NaN where there is none. shape: (L, 2), rows and columns of all of them; where they are more than
SIDE, the largest by magnitude stands for its neighbours.

Of a very large layer every n-th number is used.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from descent.common.errors import DescentError
from descent.common.i18n import _
from engine.training import losses, models
from engine.training.models.layers import ACTIVATIONS, Maxout
from engine.training.pictures.probe import Arrays, Probe, few, host, words

MOST = 200_000  # numbers used of a layer at most
SIDE = 64
_BENDING = (*(type(make()) for make in ACTIVATIONS.values()), Maxout, nn.SiLU, nn.Softplus, nn.PReLU)


def filters(look: Probe, options: dict[str, Any]) -> Arrays:
    """Return the first layer's weights as images.

    filters: (n, C, h, w) float32, each divided by its largest weight, so from −1 to 1. scale: (n,) these weights.
    layer: its name. kind: in words. of: how many filters it has.
    """
    shape = look.run.dataset.input_shape
    # A norm before the first layer does not change the shape, so it is skipped.
    name, module = next((n, m) for n, m in models.layers(look.model) if " norm " not in models.describe(m))
    if isinstance(module, nn.Conv2d):
        weights = module.weight
    elif isinstance(module, nn.Linear) and module.in_features == math.prod(shape):
        weights = module.weight.view(-1, *shape)
    else:
        raise DescentError(_("its first layer is neither a convolution nor a linear layer over all pixels"))
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


def weights(look: Probe, options: dict[str, Any]) -> Arrays:
    """Make histograms of each layer's weights, biases included, and images of them without biases."""
    found = models.layers(look.model)
    values = [_joined([p.detach() for p in module.parameters(recurse=False)]) for _, module in found]
    names, kinds = [name for name, _ in found], [models.describe(m) for _, m in found]
    return _histograms(values, names, kinds, options["bins"]) | images([module for _, module in found])


def images(modules: Sequence[nn.Module]) -> Arrays:
    """Return matrix, largest and shape of each module's first parameter."""
    matrices = np.full((len(modules), SIDE, SIDE), np.nan, np.float16)
    largest, shapes = np.zeros(len(modules)), np.zeros((len(modules), 2), np.int64)
    for at, module in enumerate(modules):
        weight = next(module.parameters(recurse=False)).detach().float()
        weight = weight.flatten(1) if weight.ndim > 1 else weight.reshape(1, -1)
        shapes[at] = weight.shape
        if not weight.numel():
            continue
        rows, columns = (min(SIDE, size) for size in weight.shape)
        weight = torch.nan_to_num(weight)
        most, least = (nn.functional.adaptive_max_pool2d(w[None], (rows, columns))[0] for w in (weight, -weight))
        pooled = torch.where(most >= least, most, -least)
        largest[at] = float(pooled.abs().max())
        matrices[at, :rows, :columns] = host(pooled / max(largest[at], 1e-38))
    return {"matrix": matrices, "largest": largest, "shape": shapes}


def gradients(look: Probe, options: dict[str, Any]) -> Arrays:
    """Make histograms of the gradient of each trained layer, before clipping.

    The loss includes penalties and is taken over the first training samples, with batch norm and dropout in training
    mode.
    """
    run, model = look.run, look.model
    train, count = run.dataset.train, options["samples"]
    inputs, targets = train.inputs[:count], train.targets[:count]
    if len(inputs) < 2:
        model.eval()  # batch norm can't compute a variance from one sample
    else:
        model.train()
    torch.manual_seed(0)  # so the same units are dropped each time; Probe restores the generator
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
    for _name, _module, trained in owners:
        own = [(parameter, next(found)) for parameter in trained]
        values.append(_joined([torch.zeros_like(p) if g is None else g for p, g in own]))
    names, kinds = [name for name, _, _ in owners], [models.describe(module) for _, module, _ in owners]
    return _histograms(values, names, kinds, options["bins"])


def activations(look: Probe, options: dict[str, Any]) -> Arrays:
    """Make histograms of the outputs of each activation function and of the last layer.

    An activation function is named by the layer before it. The samples are those of the validation split, or without
    one of the training split. If the model has no
    activation modules, the outputs of each layer are used.
    """
    split = look.split("validation")[1]
    layers = models.layers(look.model)
    watched = _bending(look.model, layers)
    last = layers[-1]
    if not watched:
        watched = [(name, module, models.describe(module)) for name, module in layers]
    elif all(module is not last[1] for _, module, _ in watched):
        watched.append((*last, models.describe(last[1])))
    seen: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, inputs: object, output: object) -> None:
        # Of a recurrent layer these are the outputs, not its states.
        tensor = output[0] if isinstance(output, tuple) else output
        if isinstance(tensor, Tensor):
            seen.setdefault(module, []).append(tensor.detach())

    for _name, module, _kind in watched:
        module.register_forward_hook(note)  # on the copy, so it need not be removed
    look.outputs(few(split, options["samples"]).inputs)
    met = [(name, module, kind) for name, module, kind in watched if module in seen]
    if not met:
        raise DescentError(_("the forward pass of the model does not call any of its layers"))
    values = [_joined(seen[module]) for _, module, _ in met]
    return _histograms(values, [name for name, _, _ in met], [kind for _, _, kind in met], options["bins"])


def _bending(model: nn.Module, layers: list[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module, str]]:
    """Return, for each activation function, the name of the layer before it, its module and its own name."""
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
    """Return all numbers in a row, float32, at most MOST of them."""
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
