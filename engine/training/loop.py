"""The training loop, in the order a course teaches it."""

from engine.training.captured import captured
from engine.training.session import Session
from engine.training.step import train_step
from engine.training.train_state import TrainState


def train(run: TrainState, session: Session) -> None:
    """Train from the current step of `run` to its last step, or until the session is asked to stop."""
    settings = run.preset.train
    step = session.step_together or captured(run, session.warn) or train_step
    while session.should_continue():  # commands take effect here, between two steps
        batch = run.batches.next()
        lr = run.learning_rate()
        result = step(run, batch, lr, measured=run.step % run.statistics_every == 0)
        session.record(result, lr)
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
