"""The part of one process in a step that several take together, with one model in all of them.

Each takes its samples of the batch. The gradients are summed over the processes before they are clipped and used, so
that the weights stay the same in all. The batch's loss and accuracy travel with them, in one message a step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.training.protocols import AnyBatch

Sum = Callable[[Tensor], None]  # over the processes, in place


class SharedStep:
    """Divides batches and sums what comes of them. rank, size: of this process among those of the run."""

    def __init__(self, rank: int, size: int, add_up: Sum) -> None:
        self._rank, self._size, self._add_up = rank, size, add_up

    def part(self, batch: AnyBatch) -> Any:
        """Return this process's samples of a batch, which may be none."""
        mine = slice(self._rank, None, self._size)
        return type(batch)(batch.inputs[mine], batch.targets[mine])  # type: ignore[call-arg]

    def summed(
        self, parameters: Sequence[nn.Parameter], loss: Tensor | None, accuracy: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Give the parameters the gradients of the whole batch. Returns its loss and its accuracy.

        loss, accuracy: this process's share of them, None where it has none.
        """
        like = parameters[0]
        rows = [torch.zeros((), device=like.device) if value is None else value.float() for value in (loss, accuracy)]
        # A parameter that no process has a gradient of keeps none: weight decay would move it otherwise.
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=like.device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        sums = torch.cat([torch.stack(rows), has, *[gradient.flatten().float() for gradient in gradients]])
        self._add_up(sums)
        first = 2 + len(parameters)
        known = sums[2:first].tolist()
        for parameter, count in zip(parameters, known, strict=True):
            last = first + parameter.numel()
            parameter.grad = sums[first:last].view_as(parameter).to(parameter.dtype) if count else None
            first = last
        return sums[0], sums[1]
