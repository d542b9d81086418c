"""Protocols of the parts of a run, as the loop and the session use them.

Each part has one class for one model, and one with a leading member axis for several.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, Self

from torch import Tensor


class AnyBatch(Protocol):
    """Batch or MemberBatch."""

    @property
    def inputs(self) -> Tensor: ...
    @property
    def targets(self) -> Tensor: ...
    @property
    def samples(self) -> int: ...
    def parts(self, count: int, fewest: int = 1) -> list[Self]: ...


class AnyBatches(Protocol):
    """Batches, MemberBatches or LoaderBatches."""

    epoch: int
    index: int
    size: int | None
    per_epoch: int
    augment: Callable[[Tensor], Tensor] | None

    @property
    def fixed(self) -> bool: ...  # whether their size can't be changed

    @property
    def samples(self) -> int: ...
    def next(self) -> AnyBatch: ...
    def epoch_is_over(self) -> bool: ...
    def resize(self, size: int | None) -> None: ...
    def seek(self, epoch: int, index: int) -> None: ...


class AnyUpdate(Protocol):
    """Update or MemberUpdate."""

    clip_norm: float | None

    def zero(self) -> None: ...
    def backward(self, loss: Tensor, /) -> None: ...
    def finish_gradients(self, measure: bool) -> tuple[Tensor, Tensor] | None: ...
    def apply(self, lr: float | Tensor) -> None: ...
    def marked(self, values: Tensor) -> Tensor: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...
    def fits(self, state: Mapping[str, Any]) -> bool: ...


class AnyStatistics(Protocol):
    """LayerStatistics or MemberStatistics."""

    def watch(self) -> AbstractContextManager[None]: ...
    def before_update(self) -> None: ...
    def note_weights(self) -> None: ...
    def note_gradients(self) -> None: ...
    def row(self) -> Tensor: ...


class StepResult(NamedTuple):
    """The numbers of one step. All of them stay on the device."""

    loss: Tensor  # mean over the batch, before the update; scalar, or (M,) with members
    accuracy: Tensor | None
    norms: tuple[Tensor, Tensor] | None  # of the whole gradient, before and after clipping
    layers: Tensor | None  # (layers, statistics), or (M, layers, statistics)
    scalars: Mapping[str, Any] = {}  # that a task's step tells beside its loss: tensors or numbers, by name
    seconds: float | None = None  # of training after a step that was made a while ago; None: it was made just now
    numbers: Tensor | None = None  # the trained numbers of a small model after such a step; None: they are the run's
