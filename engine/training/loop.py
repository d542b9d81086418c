"""The training loop, in the order a course teaches it."""

from contextlib import nullcontext

from torch import Tensor

from engine.training.parts import AnyBatch, Learned
from engine.training.session import Session
from engine.training.training import Training


def train(run: Training, session: Session) -> None:
    """Train from where `run` stands to its last step, or until the session is asked to stop."""
    settings = run.preset.train
    while session.goes_on():  # commands take effect here, between two steps
        batch = run.batches.next()
        lr = run.learning_rate()
        learned = train_step(run, batch, lr, measured=run.step % run.statistics_every == 0)
        session.record(learned.loss, learned.accuracy, lr, learned.norms, learned.layers)
        run.step += 1
        epoch_is_over = run.batches.epoch_is_over()
        if epoch_is_over:
            session.begin_epoch()  # before anything is saved
        if run.is_due(settings.evaluate_every, epoch_is_over):
            session.evaluate()
        if epoch_is_over:
            session.end_epoch()
        if session.checkpoint_is_due(epoch_is_over):
            session.save()


def train_step(run: Training, batch: AnyBatch, lr: float | Tensor, *, measured: bool) -> Learned:
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
    return Learned(update.marked(loss), accuracy, norms, run.statistics.row() if measured else None)


def _add(total: Tensor | None, value: Tensor, share: float) -> Tensor:
    """The running mean of a batch's parts."""
    if share != 1:
        value = value * share
    return value if total is None else total + value
