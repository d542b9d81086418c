"""How many samples an evaluation takes at once, so that it needs no more memory than there is."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from descent.common.errors import CannotGoOnError
from descent.common.i18n import _
from descent.loop import device as devices
from engine.training.data.kept_inputs import KeptInputs
from engine.training.user_code import is_out_of_memory

MOST = 1024  # samples, enough to be fast; members share them
FEWEST = 32  # samples for each of very many members
ROOM = 512 << 20  # bytes for what the layers put out; a training step may take more


class AtOnce:
    """The number of samples that an evaluation takes at once.

    It is `train.evaluate_batch_size`, or by "auto" at most MOST: as many as training has at once, or more if what
    the layers put out for them takes at most ROOM. Where memory runs out, it is halved from then on.
    """

    def __init__(self, wanted: int | Literal["auto"], trained: int, members: int = 1) -> None:
        """trained: samples of each member that a training step has in memory at once."""
        self.samples = max(FEWEST, MOST // members) if wanted == "auto" else wanted
        self._trained, self._members = trained, members
        self._settled = wanted != "auto"
        self.halved = False  # whether memory ran out; the caller tells of it and resets it

    @torch.no_grad()
    def settle(self, forward: Callable[[Tensor], Tensor], inputs: KeptInputs) -> None:
        """Measure, once, how much memory a sample needs, if more than training has are to be taken at once.

        forward: one model in evaluation mode. inputs: (N, *features) of the split to evaluate.
        """
        if self._settled or min(self.samples, len(inputs)) <= self._trained:
            return
        self._settled = True
        few = inputs[:2]
        with _Peak() as peak:
            forward(few)
        fitting = ROOM * len(few) // max(1, peak.bytes * self._members)
        self.samples = min(self.samples, max(1, self._trained, fitting))

    def outputs(self, forward: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Return what `forward`, a model in evaluation mode, gives for `inputs`, a part at a time: (N, …)."""
        parts: list[Tensor] = []
        self.settle(forward, inputs)
        for _done in self.over(len(inputs), lambda first, last: parts.append(forward(inputs[first:last]))):
            pass
        return torch.cat(parts) if parts else forward(inputs)

    def over(self, samples: int, work: Callable[[int, int], None]) -> Iterator[None]:
        """Call work(first, last) on all samples, a part at a time, and yield after each part.

        `work` must have no effect if it raises. Raises CannotGoOnError if there is no memory for one sample alone.
        """
        first = 0
        while first < samples:
            last = min(first + self.samples, samples)
            if not _fits(work, first, last):
                if last - first == 1:
                    raise CannotGoOnError(
                        _(
                            "out of memory in an evaluation, even with one sample at a time: the model is too large "
                            "for this machine beside what training keeps; take a smaller model"
                        )
                    )
                self.samples, self.halved = (last - first) // 2, True
                continue
            first = last
            yield


def _fits(work: Callable[[int, int], None], first: int, last: int) -> bool:
    """Return whether there was memory for the work. Its tensors are free again once this has returned."""
    try:
        work(first, last)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    devices.give_back_unused()
    return False


class _Peak(TorchFunctionMode):
    """Measures the most bytes that new tensors take at the same time inside the block.

    A TorchDispatchMode would see more, but imports the compiler, which takes seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {_key(tensor) for tensor in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        self._alive = {key: known for key, known in self._alive.items() if not known[0].expired()}  # type: ignore[no-untyped-call]
        for tensor in _tensors(out):
            if _key(tensor) not in before:
                storage = tensor.untyped_storage()
                self._alive[_key(tensor)] = StorageWeakRef(storage), storage.nbytes()  # type: ignore[no-untyped-call]
        self.bytes = max(self.bytes, sum(size for _, size in self._alive.values()))
        return out


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in a value, and in the containers in it."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
