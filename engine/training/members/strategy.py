"""The choice of the way in which the members' models are computed, made by trying, and its reason for the user."""

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.common.numbers import time_taken
from descent.loop import device as devices
from descent.loop.checkpoint import undisturbed
from engine.training.members import batched
from engine.training.members.stacked import Members, Way

BUDGET = 0.3  # seconds for the choice between two ways; one step of each is made in any case
_FEW = 8  # samples, to see whether a way works at all
_MANY = 256  # samples at most, to see which way is faster


class Choice(NamedTuple):
    path: Way
    reason: str


def choose(  # noqa: PLR0911 - each way with its reason
    models: Sequence[nn.Module],
    sample: Tensor,
    precision: AbstractContextManager[None] | None = None,
    wanted: str = "auto",
    *,
    alike: bool = False,
) -> Choice:
    """Return the path for `models`, and the reason for it.

    sample: a batch of training inputs (B, *input_shape), B ≥ 2, on the models' device. precision: of the forward
    pass, as in TrainState. wanted: members.way. alike: whether "auto" may only choose what gives each member the same
    numbers, however many others are computed with it. Raises PresetError if the wanted way does not work.

    The trial works on copies and restores the random generators, so it does not change the training.
    """
    if wanted == "loop":
        return Choice("loop", _('the members are computed one after the other, as members.way = "loop" says'))
    if alike and wanted == "auto":
        return Choice(
            "loop", _("the members of each process are computed one after the other, as they would be in one process")
        )
    shape = tuple(sample.shape[1:])
    is_chain = batched.steps(models[0], shape) is not None
    if is_chain and wanted in ("auto", "batched"):
        return Choice("batched", _("the layers of all members are computed as batched matrix products"))
    if wanted == "batched":
        raise PresetError(
            _(
                'members.way = "batched" is for MLPs, linear and polynomial models, and this model is none of them; '
                'allowed: "auto", "vmap", "loop"'
            )
        )
    with undisturbed(sample.device), precision or nullcontext(), _exact_convolutions():
        trouble = _recurrent(models[0]) or _trouble(models[:2], sample[:_FEW], shape)
        if trouble is not None and wanted == "vmap":
            raise PresetError(_('members.way = "vmap": {reason}; allowed: "auto", "loop"', reason=trouble))
        if trouble is not None:
            return Choice("loop", _("the members are computed one after the other: {reason}", reason=trouble))
        if wanted == "vmap":
            return Choice(
                "vmap", _('all members are computed together by torch.func.vmap, as members.way = "vmap" says')
            )
        seconds = _measured(models, sample[:_MANY], shape)
    faster = min(seconds, key=seconds.__getitem__)
    together, turns = (time_taken(seconds[way]) for way in ("vmap", "loop"))
    if faster == "loop":
        reason = _(
            "the members are computed one after the other: {loop} a step, against {vmap} by torch.func.vmap",
            loop=turns,
            vmap=together,
        )
        return Choice("loop", reason)
    reason = _(
        "all members are computed together by torch.func.vmap: {vmap} a step, against {loop} one after the other",
        vmap=together,
        loop=turns,
    )
    return Choice("vmap", reason)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Compute convolutions without TF32, which rounds another way when they are grouped, as vmap does."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


def _recurrent(model: nn.Module) -> str | None:
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            kind = module.mode.partition("_")[0]
            return _("torch.func has no batching rule for {kind} layers", kind=kind)
    return None


def _measured(models: Sequence[nn.Module], sample: Tensor, shape: tuple[int, ...]) -> dict[Way, float]:
    """Return, for each way, the least seconds of a forward and a backward pass of all members.

    The least is taken because other programs can only add time.
    """
    ways: tuple[Way, ...] = ("vmap", "loop")
    stacks = {way: Members(models, shape, way) for way in ways}
    inputs = sample.expand(len(models), *sample.shape).contiguous()
    for stack in stacks.values():
        stack.train()
        _pass(stack, inputs[:, :2])  # the first pass loads kernels
    seconds: dict[Way, float] = {}
    deadline = time.perf_counter() + BUDGET
    while not seconds or time.perf_counter() < deadline:
        for way, stack in stacks.items():  # in turns, so that other programs slow both alike
            seconds[way] = min(seconds.get(way, float("inf")), _pass(stack, inputs))
    return seconds


def _pass(stack: Members, inputs: Tensor) -> float:
    began = time.perf_counter()
    torch.autograd.backward(stack(inputs).sum())
    stack.zero()
    devices.wait(inputs.device)
    return time.perf_counter() - began


def _agree(got: Tensor, expected: Tensor) -> bool:
    """Return whether outputs are equal but for rounding, which in half precision is that of every layer."""
    if torch.finfo(expected.dtype).bits >= 32:
        return torch.allclose(got, expected, rtol=1e-3, atol=1e-4)
    within = 8 * torch.finfo(expected.dtype).eps * float(expected.abs().max())
    return torch.allclose(got.float(), expected.float(), rtol=0, atol=within)


def _trouble(models: Sequence[nn.Module], sample: Tensor, shape: tuple[int, ...]) -> str | None:
    """Return what goes wrong under vmap, in one line, or None if it gives what the models give one by one."""
    try:
        alone = [copy.deepcopy(model) for model in models]
        together = Members(models, shape, "vmap")
        # Each model gets inputs of its own, because vmap would let it read the values of shared ones.
        own_inputs = torch.stack([sample] * len(models))
        torch.autograd.backward(together(own_inputs).sum())
        for model in alone:
            model(sample)
        after = dict(alone[0].named_buffers())
        for name, buffer in models[0].named_buffers():
            if torch.equal(buffer, after[name]) != torch.equal(buffer, together.fixed[name][0]):
                return _(
                    "torch.func.vmap does not work for this model (it does not update the buffer {name})", name=name
                )
        together = Members(models, shape, "vmap")
        together.train(False)
        with torch.no_grad():
            expected = torch.stack([model.eval()(sample) for model in map(copy.deepcopy, models)])
            got = together(sample)
            if got.dtype != expected.dtype:
                return _(
                    "torch.func.vmap does not work for this model (it ignores train.precision and computes in "
                    "float32)"
                )
            if not _agree(got, expected):
                return _(
                    "torch.func.vmap does not work for this model (its outputs differ from those of the models alone)"
                )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the user's own code: anything may go wrong in it
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}".rstrip(": ")
        return _("torch.func.vmap does not work for this model ({reason})", reason=why)
    return None
