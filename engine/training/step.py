"""One training step: forward, loss, backward, clipping, update."""

from contextlib import nullcontext

from torch import Tensor

from engine.training.protocols import AnyBatch, StepResult
from engine.training.train_state import TrainState


def train_step(run: TrainState, batch: AnyBatch, lr: float | Tensor, *, measured: bool) -> StepResult:
    """One update of the weights from one batch. `measured`: with gradient norms and layer statistics."""
    if run.own_step is not None:
        return run.own_step(run, batch, lr, measured)
    update = run.update
    mine = batch if run.shared is None else run.shared.part(batch)
    parts = [mine] if mine.samples else []
    if run.preset.train.accumulate > 1 and parts:
        parts = mine.parts(run.preset.train.accumulate, run.fewest)
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
    if run.shared is not None:
        loss, total = run.shared.summed(run.trained(), loss, accuracy)
        accuracy = total if run.classifies else None
    assert loss is not None

    norms = update.finish_gradients(measured)  # scaled back and clipped
    if measured:
        run.statistics.before_update()
    update.apply(lr)
    if accuracy is not None:
        accuracy = update.marked(accuracy)
    return StepResult(update.marked(loss), accuracy, norms, run.statistics.row() if measured else None)


def _add(total: Tensor | None, value: Tensor, share: float) -> Tensor:
    """The running mean of a batch's parts."""
    if share != 1:
        value = value * share
    return value if total is None else total + value
