"""Which way the models of the members are computed, found out by trying, and why in plain words."""

import copy
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.numbers import time_taken
from engine.training.members import batched
from engine.training.members.stacked import Members, Way

BUDGET = 0.3  # seconds for the choice between two ways; a step of each is made in any case
_FEW = 8  # samples, to see whether a way serves at all
_MANY = 256  # samples at most, to see which is faster


class Choice(NamedTuple):
    path: Way
    reason: str


def choose(
    models: Sequence[nn.Module],
    sample: Tensor,
    precision: AbstractContextManager[None] | None = None,
    wanted: str = "auto",
) -> Choice:
    """The path for `models`. sample: a batch of inputs (B, *input_shape) of the training, B ≥ 2, on their device.
    precision: the forward pass's, as in Training. wanted: members.way. PresetError where that does not serve.

    The trial works on copies and puts the random generators back: it leaves no trace in the training.
    """
    if wanted == "loop":
        return Choice("loop", 'the members take turns, as members.way = "loop" says')
    shape = tuple(sample.shape[1:])
    is_chain = batched.steps(models[0], shape) is not None
    if is_chain and wanted in ("auto", "batched"):
        return Choice("batched", "the layers of all members are computed as batched matrix products")
    if wanted == "batched":
        raise PresetError(
            'members.way = "batched" is for MLPs, linear and polynomial models, and this model is none of them; '
            'allowed: "auto", "vmap", "loop"'
        )
    devices = [sample.device] if sample.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), precision or nullcontext():
        trouble = _recurrent(models[0]) or _trouble(models[:2], sample[:_FEW], shape)
        if trouble is not None and wanted == "vmap":
            raise PresetError(f'members.way = "vmap": {trouble}; allowed: "auto", "loop"')
        if trouble is not None:
            return Choice("loop", f"the members take turns: {trouble}")
        if wanted == "vmap":
            return Choice(
                "vmap", 'all members are computed together by torch.func.vmap, as members.way = "vmap" says'
            )
        seconds = _measured(models, sample[:_MANY], shape)
    faster = min(seconds, key=seconds.__getitem__)
    together, turns = (time_taken(seconds[way]) for way in ("vmap", "loop"))
    if faster == "loop":
        return Choice("loop", f"the members take turns: {turns} a step, against {together} by torch.func.vmap")
    return Choice(
        "vmap", f"all members are computed together by torch.func.vmap: {together} a step, in turns {turns}"
    )


def _recurrent(model: nn.Module) -> str | None:
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            return f"torch.func has no batching rule for {module.mode.partition('_')[0]} layers"
    return None


def _measured(models: Sequence[nn.Module], sample: Tensor, shape: tuple[int, ...]) -> dict[Way, float]:
    """The least seconds of a forward and a backward pass of all members, by way: a neighbour only ever adds."""
    ways: tuple[Way, ...] = ("vmap", "loop")
    stacks = {way: Members(models, shape, way) for way in ways}
    inputs = sample.expand(len(models), *sample.shape).contiguous()
    for stack in stacks.values():
        stack.train()
        _pass(stack, inputs[:, :2])  # the first one loads kernels
    seconds: dict[Way, float] = {}
    deadline = time.perf_counter() + BUDGET
    while not seconds or time.perf_counter() < deadline:
        for way, stack in stacks.items():  # by turns: a neighbour hits both alike
            seconds[way] = min(seconds.get(way, float("inf")), _pass(stack, inputs))
    return seconds


def _pass(stack: Members, inputs: Tensor) -> float:
    began = time.perf_counter()
    torch.autograd.backward(stack(inputs).sum())
    stack.zero()
    if inputs.device.type == "cuda":
        torch.cuda.synchronize(inputs.device)
    return time.perf_counter() - began


def _trouble(models: Sequence[nn.Module], sample: Tensor, shape: tuple[int, ...]) -> str | None:
    """What goes wrong under vmap, in one line; None where it does what the models do one by one."""
    different = "torch.func.vmap does not serve this model"
    try:
        alone = [copy.deepcopy(model) for model in models]
        together = Members(models, shape, "vmap")
        own_inputs = torch.stack([sample] * len(models))  # what all share, vmap would let be looked at
        torch.autograd.backward(together(own_inputs).sum())
        for model in alone:
            model(sample)
        after = dict(alone[0].named_buffers())
        for name, buffer in models[0].named_buffers():
            if torch.equal(buffer, after[name]) != torch.equal(buffer, together.fixed[name][0]):
                return f"{different} (it does not keep up the buffer {name})"
        together = Members(models, shape, "vmap")
        together.train(False)
        with torch.no_grad():
            expected = torch.stack([model.eval()(sample) for model in map(copy.deepcopy, models)])
            got = together(sample)
            if got.dtype != expected.dtype:
                return f"{different} (it computes in float32 there, whatever train.precision says)"
            if not torch.allclose(got, expected, rtol=1e-3, atol=1e-4):
                return f"{different} (its outputs there are not those of the models alone)"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the user's own code: anything may go wrong in it
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}".rstrip(": ")
        return f"{different} ({why})"
    return None
