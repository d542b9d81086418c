from contextlib import nullcontext
from typing import NamedTuple

from torch import Tensor

from engine.training.loop import _add
from engine.training.protocols import AnyBatch
from engine.training.train_state import TrainState


class StepResult(NamedTuple):
    """What one step showed. All of it stays on the device."""

    loss: Tensor  # mean over the batch, before the update; scalar, or (M,) with members
    accuracy: Tensor | None
    norms: tuple[Tensor, Tensor] | None  # of the whole gradient, before and after clipping
    layers: Tensor | None  # (layers, statistics), or (M, layers, statistics)


def train_step(run: TrainState, batch: AnyBatch, lr: float | Tensor, *, measured: bool) -> StepResult:
    """One update of the weights from one batch. `measured`: with gradient norms and layer statistics."""
    if run.own_step is not None:
        return run.own_step(run, batch, lr, measured)
    update, parts = run.update, [batch]
    if run.preset.train.accumulate > 1:
        parts = batch.parts(run.preset.train.accumulate, run.fewest)
    loss = accuracy = None
    update.zero()
    with run.statistics.watch() if measured else nullcontext():
        for part in parts:
            share = part.samples / batch.samples
            with run.precision:
                outputs = run.forward(part.inputs)
                part_loss = run.loss(outputs, part)
                penalty = run.penalty()
            objective = part_loss if penalty is None else part_loss + penalty
            update.backward(objective if share == 1 else objective * share)
            loss = _add(loss, part_loss.detach(), share)
            if run.classifies:
                accuracy = _add(accuracy, run.correct(outputs.detach(), part), share)
    assert loss is not None

    norms = update.finish_gradients(measured)  # scaled back and clipped
    if measured:
        run.statistics.before_update()
    update.apply(lr)
    if accuracy is not None:
        accuracy = update.marked(accuracy)
    return StepResult(update.marked(loss), accuracy, norms, run.statistics.row() if measured else None)
