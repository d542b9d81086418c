"""What is seen of a training step that the user's own code makes: outputs, and the gradients that backward left."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from engine.training import losses


@contextmanager
def outputs_of(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of the forward passes inside the block, detached.

    Of several outputs the first one counts. Those that are no tensors are left out: to a training step of the user's
    own, a model may return anything.
    """
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: object, outputs: object) -> None:
        first = outputs[0] if isinstance(outputs, tuple | list) and outputs else outputs
        if isinstance(first, Tensor):
            seen.append(first.detach())

    handle = model.register_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def left_by_backward(trained: Iterable[Tensor]) -> Iterator[dict[Tensor, Tensor]]:
    """Collect copies of the gradients as the last backward left them, before the step clips or clears them."""
    left: dict[Tensor, Tensor] = {}

    def note(parameter: Tensor) -> None:
        assert parameter.grad is not None
        left[parameter] = parameter.grad.detach().clone()

    handles = [p.register_post_accumulate_grad_hook(note) for p in trained]  # type: ignore[no-untyped-call]
    try:
        yield left
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def put_back(left: Mapping[Tensor, Tensor]) -> Iterator[None]:
    """Put the gradients that the step has cleared after the update back into `.grad`, inside the block."""
    cleared = {parameter: gradient for parameter, gradient in left.items() if parameter.grad is None}
    for parameter, gradient in cleared.items():
        parameter.grad = gradient
    try:
        yield
    finally:
        for parameter in cleared:
            parameter.grad = None


def total_norm(trained: Iterable[Tensor], left: Mapping[Tensor, Tensor]) -> Tensor:
    """Return the norm of the gradient that backward left. One that was set by hand is taken as it is."""
    given = [(parameter, left.get(parameter, parameter.grad)) for parameter in trained]
    gradients = [gradient for _, gradient in given if gradient is not None]
    return torch.nn.utils.get_total_norm(gradients).to(given[0][0].device)


def share_of_right(seen: Iterable[Tensor], targets: Tensor, count: int) -> Tensor:
    """Return the share of right predictions among the last outputs that fit, or NaN without any, a scalar.

    seen: what `outputs_of` has collected. count: outputs of the model.
    """
    fitting = [outputs for outputs in seen if outputs.shape == (len(targets), count)]
    if not fitting:
        return torch.full((), float("nan"), device=targets.device)
    return losses.correct(fitting[-1], targets)
