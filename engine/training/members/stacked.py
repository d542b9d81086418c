"""M models of one kind as one object, with a leading member axis.

The trained weights of all members are one matrix with a row for each member. Each parameter is a view of it. So an
update, a norm or the check for NaN is one operation on the matrix, in any way in which the models are computed:

- `batched`: layers as matrix products for all members at once (`batched.py`)
- `vmap`: any other model, by torch.func
- `loop`: M modules one after the other, for models that torch.func can't batch
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from descent.common.errors import DescentError
from descent.common.i18n import _
from engine.training.members import batched, dropout, half, layout

Way = Literal["batched", "vmap", "loop"]
Look = Callable[[nn.Module, Tensor], Tensor]  # (a module, its output for one member) -> scalar
Seen = dict[str, list[Tensor]]  # by module: one tensor for each forward pass


class Members:
    """M models of the same kind, trained in lockstep.

    Called with inputs (M, B, *input_shape), or with (B, *input_shape) that all members share. Returns (M, B, K).

    weights: (M, P), all that is trained. fixed: buffers, and parameters that are not trained, (M, …) by name. On the
    path "loop" the modules hold these themselves.
    """

    def __init__(self, models: Sequence[nn.Module], input_shape: tuple[int, ...], path: Way) -> None:
        """models: on their device, and alike except for their weights and shares of dropout. They are copied.

        Raises DescentError if they are not alike.
        """
        self.path = path
        self.count = len(models)
        self._input_shape = input_shape
        self._looks: dict[str, Look] = {}
        self._seen: Seen = {}
        models = [copy.deepcopy(model) for model in models]
        self.template = max(models, key=lambda model: len(list(model.modules())))  # the one with every dropout
        self._names = layout.saved_names(self.template)
        self.places = layout.places(models)
        self.weights = torch.stack([layout.row(model) for model in models])
        self.fixed: dict[str, Tensor] = {}
        self._buffer_names = [name for name, _ in models[0].named_buffers()] if path != "loop" else []
        self._modules: list[nn.Module] = []
        self._steps: list[batched.Step] | None = None
        if path == "loop":
            self._modules = models
            self.leaves = [leaf for member in range(self.count) for leaf in self._adopt(member)]
        else:
            self.fixed = layout.stack([dict(layout.fixed(model)) for model in models])
            self.leaves = [nn.Parameter(view) for view in self.split(self.weights).values()]
            self._place_dropout(dropout.shares(models))
            self._vmapped = {shared: self._vmap(shared) for shared in (False, True)}

    def _adopt(self, member: int) -> list[nn.Parameter]:
        """Make a module's trained parameters views of its row."""
        parameters = dict(self._modules[member].named_parameters())
        for name, place in self.places.items():
            parameters[name].data = self.weights[member, place.first : place.last].view(place.shape)
        return [parameters[name] for name in self.places]

    @property
    def modules(self) -> list[nn.Module]:
        """The members on the path "loop". Their trained parameters are views of `weights`."""
        return self._modules

    # --- forward ---

    def __call__(self, inputs: Tensor) -> Tensor:
        shared = inputs.ndim == len(self._input_shape) + 1
        if self._steps is not None:
            return batched.forward(self._steps, self._state, inputs, self.count, shared, self._note)
        if self._modules:
            return self._loop([inputs] * self.count if shared else inputs.unbind(0))
        outputs, seen = self._vmapped[shared](self._state, inputs)
        for name, values in seen.items():
            self._seen.setdefault(name, []).extend(values)
        return outputs  # type: ignore[no-any-return]

    def _loop(self, inputs: Sequence[Tensor]) -> Tensor:
        outputs, seen = [], []
        for module, of_member in zip(self._modules, inputs, strict=True):
            with _hooked(module, self._looks) as of_one:
                outputs.append(module(of_member))
            seen.append(of_one)
        for name in seen[0]:
            passes = zip(*(of_one[name] for of_one in seen), strict=True)
            self._seen.setdefault(name, []).extend(torch.stack(values) for values in passes)
        return torch.stack(outputs)

    def _vmap(self, shared: bool) -> Callable[..., Any]:
        def of_one(state: dict[str, Tensor], inputs: Tensor) -> tuple[Tensor, Seen]:
            with _hooked(self.template, self._looks) as seen, half.as_autocast(inputs.device):
                outputs = functional_call(self.template, state, (inputs,))
            return outputs, seen

        return vmap(of_one, in_dims=(0, None if shared else 0), randomness="different")

    def train(self, mode: bool = True) -> None:
        """Set training or evaluation mode for all members, as nn.Module.train does."""
        for module in self._modules or [self.template]:
            module.train(mode)

    @property
    def training(self) -> bool:
        return self.template.training

    def set_dropout(self, share: float | Sequence[float]) -> None:
        """Use another share in every dropout from now on: one for all, or M."""
        shares = list(share) if isinstance(share, Sequence) else [share] * self.count
        if self._modules:
            for module, own in zip(self._modules, shares, strict=True):
                dropout.set_share(module, own)
        else:
            self._place_dropout(dict.fromkeys(dropout.names(self.template), shares))

    def _place_dropout(self, shares: dict[str, list[float]]) -> None:
        before = {f"{name}.{dropout.SHARE}" for name in shares}
        kept = {name: tensor for name, tensor in self.fixed.items() if name not in before}
        self.fixed = kept | dropout.assign(self.template, shares, self.weights.device)
        self._state = dict(zip(self.places, self.leaves, strict=True)) | self.fixed
        if self.path == "batched":
            self._steps = batched.steps(self.template, self._input_shape)

    # --- outputs of modules, for the statistics ---

    @contextmanager
    def looking(self, looks: Mapping[str, Look]) -> Iterator[Seen]:
        """In the forward passes inside the block, apply looks[name] to each member's output of the module `name`.

        Yields a dict that the passes fill: by name, a tensor (M,) for each pass.
        """
        self._looks, self._seen = dict(looks), {}
        try:
            yield self._seen
        finally:
            self._looks, self._seen = {}, {}

    def _note(self, name: str, module: nn.Module, output: Tensor) -> None:
        """output: (M, B, …), on the batched path."""
        if name in self._looks:
            look = vmap(partial(self._looks[name], module))
            self._seen.setdefault(name, []).append(look(output.detach()))

    # --- weights and gradients ---

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """Return views (M, *shape) of rows (M, P), by the names of the trained parameters."""
        return {
            name: rows[:, place.first : place.last].view(self.count, *place.shape)
            for name, place in self.places.items()
        }

    def zero(self) -> None:
        """Clear the gradients."""
        for leaf in self.leaves:
            leaf.grad = None

    def gradients(self) -> Tensor:
        """Return the gradients as one new matrix (M, P), with 0 where a parameter has none."""
        given = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in self.leaves]
        if self._modules:
            return torch.cat([gradient.flatten() for gradient in given]).view(self.count, -1)
        return torch.cat([gradient.flatten(1) for gradient in given], dim=1)

    def penalised(self) -> list[Tensor]:
        """Return the weights that penalties count (see losses.penalised), each (M, *shape), for autograd."""
        wanted = [i for i, place in enumerate(self.places.values()) if len(place.shape) >= 2]
        if not self._modules:
            return [self.leaves[i] for i in wanted]
        of_one = len(self.places)
        return [torch.stack(self.leaves[i::of_one]) for i in wanted]  # type: ignore[arg-type]

    # --- buffers, which a forward pass in training changes ---

    def buffers(self) -> list[Tensor]:
        """Return copies of the buffers."""
        return [buffer.clone() for _, buffer in self._moving()]

    def put_back(self, buffers: list[Tensor], moves: Tensor) -> None:
        """Restore the buffers of the members that are not in `moves`, (M,) bool."""
        for (member, buffer), old in zip(self._moving(), buffers, strict=True):
            mask = moves.view(-1, *[1] * (buffer.ndim - 1)) if member is None else moves[member]
            buffer.copy_(torch.where(mask, buffer, old))

    def _moving(self) -> Iterator[tuple[int | None, Tensor]]:
        """Yield each buffer with its member, or with None if it holds those of all members."""
        for member, module in enumerate(self._modules):
            yield from ((member, buffer) for buffer in module.buffers())
        for name in self._buffer_names:
            yield None, self.fixed[name]

    # --- one member, and the saved state ---

    def module(self, member: int) -> nn.Module:
        """Return a copy of one member, as a module of its own."""
        if self._modules:
            return copy.deepcopy(self._modules[member])
        model = dropout.alone(copy.deepcopy(self.template), member, self.fixed)
        tensors = self.tensors()
        with torch.no_grad():
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
                tensor.copy_(tensors[name][member])
        return model

    def member_state(self, member: int) -> dict[str, Tensor]:
        """Return a copy of the state dict of one member."""
        return {name: tensor[member].clone() for name, tensor in self.state_dict().items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and saved buffers by the names that one model has for them, (M, …) each, not copied."""
        tensors = self.tensors()
        return {saved: tensors[name] for saved, name in self._names.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state_dict` returned. Raises DescentError if it has another number of members."""
        for name, tensor in state.items():
            if name in self._names and len(tensor) != self.count:
                raise DescentError(
                    _(
                        "these weights belong to {given} members, but there are {count}",
                        given=len(tensor),
                        count=self.count,
                    )
                )
        for member in range(self.count):
            self.load(member, {name: tensor[member] for name, tensor in state.items()})

    @torch.no_grad()
    def load(self, member: int, state: Mapping[str, Tensor]) -> None:
        """Load the weights and buffers of a model's state dict into one member.

        Raises DescentError if they don't fit.
        """
        if self._modules:  # which hold their own buffers
            own = self._modules[member].state_dict()
        else:
            own = {saved: tensor[member] for saved, tensor in self.state_dict().items()}
        if {name: tensor.shape for name, tensor in state.items()} != {name: t.shape for name, t in own.items()}:
            raise DescentError(_("these weights belong to another model than that of the members"))
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def tensors(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, (M, …) each. On the path "loop" the buffers are copies."""
        if self._modules:
            fixed = layout.stack([dict(layout.fixed(module)) for module in self._modules])
            return self.split(self.weights) | fixed
        return self.split(self.weights) | self.fixed


@contextmanager
def _hooked(model: nn.Module, looks: Mapping[str, Look]) -> Iterator[Seen]:
    seen: Seen = {}

    def hook(name: str, look: Look, module: nn.Module, inputs: object, output: Tensor) -> None:
        seen.setdefault(name, []).append(look(module, output.detach()))

    handles = [
        model.get_submodule(name).register_forward_hook(partial(hook, name, look)) for name, look in looks.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
