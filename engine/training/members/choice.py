"""Which way the models of the members are computed, found out by trying, and why in plain words."""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.training.members import batched
from engine.training.members.stacked import Members, Way


class Choice(NamedTuple):
    path: Way
    reason: str


def choose(
    models: Sequence[nn.Module], sample: Tensor, precision: AbstractContextManager[None] | None = None
) -> Choice:
    """The path for `models`. sample: a few inputs (B, *input_shape) of the training, B ≥ 2, on their device.
    precision: the forward pass's, as in Training.

    The trial works on copies and puts the random generators back: it leaves no trace in the training.
    """
    shape = tuple(sample.shape[1:])
    if batched.steps(models[0], shape) is not None:
        return Choice("batched", "the layers of all members are computed as batched matrix products")
    for module in models[0].modules():
        if isinstance(module, nn.RNNBase):
            kind = module.mode.partition("_")[0]
            return Choice("loop", f"the members take turns: torch.func has no batching rule for {kind} layers")
    devices = [sample.device] if sample.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), precision or nullcontext():
        trouble = _trouble(models[:2], sample, shape)
    if trouble is not None:
        return Choice("loop", f"the members take turns: torch.func.vmap does not serve this model ({trouble})")
    return Choice("vmap", "all members are computed together by torch.func.vmap")


def _trouble(models: Sequence[nn.Module], sample: Tensor, shape: tuple[int, ...]) -> str | None:
    """What goes wrong under vmap, in one line; None where it does what the models do one by one."""
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
                return f"it does not keep up the buffer {name}"
        together = Members(models, shape, "vmap")
        together.train(False)
        with torch.no_grad():
            expected = torch.stack([model.eval()(sample) for model in map(copy.deepcopy, models)])
            got = together(sample)
            if got.dtype != expected.dtype:
                return "it computes in float32 there, whatever train.precision says"
            if not torch.allclose(got, expected, rtol=1e-3, atol=1e-4):
                return "its outputs there are not those of the models alone"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the user's own code: anything may go wrong in it
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}".rstrip(": ")
    return None
