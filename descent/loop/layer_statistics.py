"""Statistics of each layer: norms of gradients, weights and updates, and the share of dead units.

All of them stay on the device. A measured step costs a few small kernels. `measure.py` chooses how often to measure.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from descent.loop.layer_samples import LayerSamples
from descent.run.layout import LAYER_STATISTICS

SATURATED = 0.01  # a sigmoid this near 0 or 1 passes less than 4% of the gradient that it passes at 1/2


class LayerStatistics:
    """Statistics of the layers of a model, a layer being a module with parameters of its own.

    Use, on a measured step:
        with statistics.watch():      # the forward pass, for the activations
            ...
        statistics.before_update()    # gradients are final, weights still old
        ...                           # the optimizer's step
        row = statistics.row()        # (layers, len(LAYER_STATISTICS)) float32

    sampling: whether the steps to be watched keep samples of the numbers too, see `samples`.
    """

    def __init__(self, model: nn.Module, layers: list[tuple[str, nn.Module]], *, compiled: bool = False) -> None:
        """compiled: torch.compile will be used on the model, which sees only the hooks that are there from the start.

        It then compiles the model twice, with what they do on measured steps and without.
        """
        self.parameters: list[nn.Parameter] = []
        owners: list[int] = []
        for index, (_, module) in enumerate(layers):
            for parameter in module.parameters(recurse=False):
                if parameter.is_floating_point():  # whole numbers, of a quantised model say, are not trained
                    self.parameters.append(parameter)
                    owners.append(index)
        device = self.parameters[0].device
        self._per_layer = PerLayer(owners, len(layers), device)
        self._sizes = torch.tensor([p.numel() for p in self.parameters], device=device)
        self._layer_size = self._per_layer(self._sizes.float())
        self._activations = activation_owners(model, layers)
        self.sampling = self._keeps_samples = False
        self._samples = LayerSamples(model, layers, owners, self.parameters)
        self._dead: dict[int, list[Tensor]] = {}
        self._watching = False
        self._hooks_stay = compiled
        if compiled:
            self._hook()
        self._old: list[Tensor] = []
        self._gradients: Tensor | None = None  # of each parameter: the norm squared, and the number of zeros

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Record the activations of the forward passes inside the block.

        The hooks exist only on measured steps, because an idle hook would slow every step.
        """
        self._dead.clear()
        self._keeps_samples = self.sampling  # until the next step that is watched
        handles = [] if self._hooks_stay else self._hook()
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            for handle in handles:
                handle.remove()

    def _hook(self) -> list[RemovableHandle]:
        handles = [
            module.register_forward_hook(lambda m, _, output, layer=layer: self._note(layer, m, output))
            for module, layer in self._activations
        ]
        if self._keeps_samples or self._hooks_stay:
            handles += [
                module.register_forward_hook(lambda _m, _i, output, layer=layer: self._sample(layer, output))
                for module, layer in self._samples.watched
            ]
        return handles

    def _note(self, layer: int, module: nn.Module, output: Tensor) -> None:
        if self._watching and output.numel():  # an expert may have got no sample
            self._dead.setdefault(layer, []).append(dead_share(module, output.detach()))

    def _sample(self, layer: int, output: object) -> None:
        if self._watching:
            self._samples.note_activations(layer, output)

    def before_update(self) -> None:
        """Measure the gradients, and keep a copy of the weights."""
        self.note_gradients()
        self.note_weights()

    def note_weights(self) -> None:
        """Keep a copy of the weights from before the step."""
        self._old = [p.detach().clone() for p in self.parameters]

    def note_gradients(self) -> None:
        """Measure the norms of the gradients, and how many of them are 0."""
        gradients = [_gradient(p) for p in self.parameters]
        if self._keeps_samples:
            self._samples.note("gradients", gradients)
        others = torch.stack([torch.count_nonzero(g) for g in gradients])  # three times as fast as counting zeros
        self._gradients = torch.stack([_squares(gradients), (self._sizes - others).float()])

    def row(self) -> Tensor:
        """Return (layers, len(LAYER_STATISTICS)) float32. `dead` is NaN for layers that no activation follows."""
        assert self._gradients is not None
        weights = [p.detach() for p in self.parameters]
        if self._keeps_samples:
            self._samples.note("weights", self._old)
        # Measured from the update itself, because Adam's updates can't be told from the gradient.
        torch._foreach_sub_(self._old, weights)
        of_parameters = torch.stack([*self._gradients, _squares(weights), _squares(self._old)])
        grads, zeros, squares, updates = self._per_layer(of_parameters)
        grad_norm, weight_norm, update_norm = torch.stack([grads, squares, updates]).sqrt()
        dead = torch.full_like(grad_norm, float("nan"))
        for layer, shares in self._dead.items():
            dead[layer] = shares[0] if len(shares) == 1 else torch.stack(shares).mean()
        statistics = {
            "grad_norm": grad_norm,
            "weight_norm": weight_norm,
            "update_ratio": update_norm / weight_norm.clamp(min=1e-12),
            "zero_grads": zeros / self._layer_size,
            "dead": dead,
            "non_finite": (~(grad_norm < float("inf"))).float(),  # or NaN; isfinite takes twice as long
        }
        self._old, self._gradients = [], None
        return torch.stack([statistics[name] for name in LAYER_STATISTICS], dim=1)

    @property
    def sampling_seconds(self) -> float:
        """What the samples have cost the host so far, but for `samples` itself."""
        return self._samples.seconds

    def samples(self) -> Tensor | None:
        """Return samples of the numbers of the measured step, (KINDS, layers, NUMBERS) float32.

        None if the step was not measured, or none were kept. Ask before the next forward pass.
        """
        return self._samples.take()


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad  # an embedding's may be


def _squares(tensors: list[Tensor]) -> Tensor:
    """Return the squared norm of each tensor, (tensors,) float32."""
    return torch.stack(torch._foreach_norm(tensors)).float().square()


class PerLayer:
    """Sums over the parameters of each layer: (…, parameters) -> (…, layers), always in the same order."""

    def __init__(self, owners: Sequence[int], layers: int, device: torch.device) -> None:
        """owners: the layer of each parameter."""
        self._layers = layers
        self._owner = torch.tensor(owners, device=device)
        # On a GPU, index_add adds in the order in which its threads come. There the first parameters of all layers
        # are added, then the second ones, and so on; where a layer has none, a zero behind the last one.
        of_layer: list[list[int]] = [[] for _ in range(layers)]
        for parameter, layer in enumerate(owners):
            of_layer[layer].append(parameter)
        turns = max(map(len, of_layer), default=0)
        rounds = [[own[turn] if turn < len(own) else len(owners) for own in of_layer] for turn in range(turns)]
        self._rounds = torch.tensor(rounds, dtype=torch.int64, device=device)

    def __call__(self, of_parameters: Tensor) -> Tensor:
        if of_parameters.device.type == "cpu":
            axis = of_parameters.ndim - 1
            zeros = of_parameters.new_zeros(*of_parameters.shape[:-1], self._layers)
            return zeros.index_add_(axis, self._owner, of_parameters)
        return self.in_order(of_parameters)

    def in_order(self, of_parameters: Tensor) -> Tensor:
        """Return the sums as a GPU makes them."""
        padded = F.pad(of_parameters, (0, 1))
        total = torch.zeros_like(padded[..., :1]).expand(*padded.shape[:-1], self._layers)
        for chosen in self._rounds:
            total = total + padded.index_select(-1, chosen)
        return total


def dead_share(activation: nn.Module, output: Tensor) -> Tensor:
    """Return the share of units that pass no gradient, a scalar on the device.

    For ReLU these are units (or channels) that are 0 for the whole batch. For sigmoid and tanh they are saturated
    outputs. output: (B, units, *positions), or (units,) of one sample.
    """
    if isinstance(activation, nn.Sigmoid):
        return ((output < SATURATED) | (output > 1 - SATURATED)).float().mean()
    if isinstance(activation, nn.Tanh):
        return (output.abs() > 1 - 2 * SATURATED).float().mean()
    if output.ndim < 2:  # of one sample
        return (output == 0).float().mean()
    over = [axis for axis in range(output.ndim) if axis != 1]
    return (output.amax(dim=over) == 0).float().mean()


def activation_owners(model: nn.Module, layers: list[tuple[str, nn.Module]]) -> list[tuple[nn.Module, int]]:
    """Return each activation module with the index of the layer whose output it takes, the last layer before it."""
    index_of = {module: index for index, (_, module) in enumerate(layers)}
    owners: list[tuple[nn.Module, int]] = []
    latest = None
    for module in model.modules():
        if module in index_of:
            latest = index_of[module]
        elif isinstance(module, nn.ReLU | nn.Sigmoid | nn.Tanh) and latest is not None:
            owners.append((module, latest))
    return owners
