"""Steps on tensors that only claim to lie on a GPU: what would wait for it, or be copied so that the host waits.

Fake tensors have a shape, a type and a device, and no memory. So no driver is needed, and what a kernel computes is
not seen. The backward pass leaves gradients at the leaves without running, and the fused optimizers are replaced by
those of several kernels: those kernels are not seen either. PyTorch's own kernels stand in for cuDNN's.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[2]
CUDA = torch.device("cuda", 0)
_WAITS = ("nonzero", "equal", "is_nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select")
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")


class Watch(TorchDispatchMode):
    """Notes every operation inside the block that waits for the fake device."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = "build"
        self.found: Counter[tuple[str, str, str]] = Counter()  # by phase, kind and place
        self.operations = 0  # on the device, in the present phase

    def begin(self, phase: str) -> None:
        self.phase, self.operations = phase, 0

    def waits(self, *without: str) -> list[str]:
        """Return a line for each wait, except of the phases `without`."""
        return [
            f"{phase}: {kind}, {count} times, at {place}"
            for (phase, kind, place), count in self.found.items()
            if phase not in without
        ]

    def _note(self, kind: str) -> None:
        self.found[self.phase, kind, place()] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(func.overloadpacket).removeprefix("aten.")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_device = any(tensor.device.type == "cuda" for tensor in given)
        if name == "_local_scalar_dense":
            if on_device:
                self._note("a number is read on the host")
            return {torch.bool: True, torch.int64: 1}.get(args[0].dtype, 1.0)
        if on_device and name in _WAITS:
            self._note(name)
            if name == "equal":
                return True
        if name in _INDEXING and args[0].device.type == "cuda":
            if _by_mask(args[1]):
                self._note("indexed by a mask")
            if any(isinstance(index, Tensor) and index.is_cpu for index in args[1]):
                self._note("indexed by a tensor of the host")
        out = func(*args, **kwargs)
        self.operations += on_device
        source, target = (args[1], args[0]) if name == "copy_" else (args[0] if args else None, out)
        if name in ("_to_copy", "copy_") and source.device.type != target.device.type:
            flag = args[2] if name == "copy_" and len(args) > 2 else kwargs.get("non_blocking", False)
            if not flag:
                self._note(f"a blocking copy from {source.device.type} to {target.device.type}")
        return out


def _by_mask(indices: Sequence[Any]) -> bool:
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


def place() -> str:
    """Return the line of Descent that is being run, and who has called it."""
    frames = [
        frame
        for frame in traceback.extract_stack()
        if frame.filename.startswith((f"{ROOT}/engine", f"{ROOT}/descent"))
    ]
    named = [f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno} {frame.name}" for frame in frames[-1:-4:-1]]
    return " ← ".join(named) or "a line of no room"


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Make tensors on CUDA inside the block, all of them fake."""
    monkeypatch.setattr(torch.autograd, "backward", lambda tensors, *rest, **more: _leave_gradients(_listed(tensors)))
    monkeypatch.setattr(torch.autograd.Variable, "_execution_engine", _Engine)
    monkeypatch.setattr(nn.Module, "to", _moved)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self, *rest: self)
    monkeypatch.setattr(torch, "empty_like", _without_pinning(torch.empty_like))
    # A fused update is one kernel, which has no fake form; the other form does the same in several.
    monkeypatch.setattr("engine.training.optimizers.fused_works", lambda kind, device: False)
    # Which is counted once, before the first evaluation, by an operation that has no fake form.
    monkeypatch.setattr("engine.training.data.dataset.Dataset.has_unequal_classes", True)
    for name, instead in {
        "random_state": lambda device: None,
        "mark": lambda device: None,
        "free_bytes": lambda device: 80 << 30 if device.type == "cuda" else None,
    }.items():
        monkeypatch.setattr(f"descent.loop.device.{name}", instead)
    watch = Watch()
    fake = FakeTensorMode(allow_non_fake_inputs=True, allow_fallback_kernels=True)
    with torch.backends.cudnn.flags(enabled=False), fake, watch:  # type: ignore[no-untyped-call] # it asks the driver
        yield watch


class _Engine:
    @staticmethod
    def run_backward(tensors: Sequence[Tensor], *rest: Any, **more: Any) -> None:
        _leave_gradients(tensors)


def _listed(tensors: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else tensors


def _leave_gradients(tensors: Sequence[Tensor]) -> None:
    """Walk from the tensors to their leaves, and add a gradient to each."""
    seen: set[Any] = set()
    waiting: list[Any] = [tensor.grad_fn for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            with torch.no_grad():
                leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad + 0
        waiting += [before for before, _ in node.next_functions]


def _moved(self: nn.Module, device: Any = None, *rest: Any, **more: Any) -> nn.Module:
    """nn.Module.to, which puts new parameters in place of the old ones, because fake ones can't be exchanged."""
    if device is None:
        return self
    known: dict[int, nn.Parameter] = {}
    for module in self.modules():
        for name, old in module._parameters.items():
            if old is not None:
                if id(old) not in known:
                    known[id(old)] = nn.Parameter(old.detach().to(device), requires_grad=old.requires_grad)
                module._parameters[name] = known[id(old)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(device)
    return self


def _without_pinning(made: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def empty_like(*arguments: Any, pin_memory: bool = False, **more: Any) -> Tensor:
        return made(*arguments, **more)

    return empty_like
