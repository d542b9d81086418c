"""What surrounds the steps of a run: rows, epochs, evaluations, checkpoints, and trouble."""

import math
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from engine.errors import NonFiniteError
from engine.metrics import Layout, MetricsWriter
from engine.progress import Display, Progress, number
from engine.run import Events, RunFolder
from engine.training.clock import Clock
from engine.training.data import Split
from engine.training.evaluation import Evaluation, evaluate
from engine.training.keeper import Keeper
from engine.training.monitor import Monitor
from engine.training.recorder import Recorder
from engine.training.setup import Training

MOST_LINES = 100  # a run of more epochs says a line for several at once


class Session:
    """One worker's hold on a run, from a start or a resume to the end of the process."""

    def __init__(
        self,
        run: Training,
        folder: RunFolder,
        layout: Layout,
        events: Events,
        display: Display,
        *,
        seconds: float,
        stop_wanted: Callable[[], bool],
    ) -> None:
        """seconds: of training so far. stop_wanted: asked after every step."""
        self._run, self._folder, self._events, self._display = run, folder, events, display
        self._stop_wanted = stop_wanted
        self._writer = MetricsWriter(folder.path, run.step)
        self._monitor = Monitor(layout, gradients_may_overflow=run.preset.train.precision == "fp16")
        self._recorder = Recorder(self._writer, layout, run.device, run.step, self._monitor.rows)
        self._keeper = Keeper(folder, events, self._recorder.flush, run.preset.train.keep)
        self.clock = Clock(run.device, seconds)
        self._lr: float | None = None
        self._said_at = -1

    def stopping(self) -> bool:
        """Whether training ends before its last step."""
        return self._stop_wanted() or self._run.best.patience_is_over()

    # --- every step ---

    def record(
        self,
        loss: Tensor,
        accuracy: Tensor | None,
        lr: float,
        norms: tuple[Tensor, Tensor] | None,
        layers: Tensor | None,
    ) -> None:
        """Note the step just made. NonFiniteError, a few steps late, where its numbers are not finite."""
        if norms is not None:
            self._recorder.norms(*norms)
        if layers is not None:
            self._recorder.layers(layers)
        self._lr = lr
        self._recorder.record(loss, accuracy, lr, self.clock.seconds())
        if self._monitor.non_finite is not None:
            self._not_finite()

    def _not_finite(self) -> None:
        trouble = self._monitor.non_finite
        if trouble is None or self._run.preset.train.on_nan == "continue":
            return
        self._events.write("anomaly", step=trouble.step, what=trouble.what)
        saved = [step for step in self._folder.checkpoints() if step <= trouble.step]
        raise NonFiniteError(
            f"the {trouble.what} became NaN or infinite at step {trouble.step:,} (lr {number(self._lr)}). "
            + (f"The checkpoint of step {saved[-1]:,} is from before. " if saved else "")
            + "A lower optimizer.lr, or train.clip_norm = 1.0, often helps; "
            'train.on_nan = "continue" trains on regardless'
        )

    # --- now and then ---

    def end_epoch(self) -> None:
        """Say how the epoch went; of a great many epochs, every n-th."""
        run = self._run
        epochs = run.total_steps / run.batches.per_epoch
        if run.batches.epoch % math.ceil(epochs / MOST_LINES) == 0:
            self._say_epoch()

    def _say_epoch(self) -> None:
        run = self._run
        if self._said_at == run.step:
            return
        self._said_at = run.step
        with self.clock.stopped():
            self._recorder.flush()
        loss = self._monitor.mean_loss()
        self._events.write("epoch", epoch=run.batches.epoch, step=run.step, train_loss=loss)
        words = [f"epoch {run.batches.epoch:>3}", f"step {run.step:>6,}", f"loss {number(loss):<7}"]
        if "val_loss" in run.reached:
            words.append(f"val {described(run.reached, 'val')}")
        words.append(f"lr {number(self._lr)}")
        words.append(f"{number(self._monitor.steps_per_second)} step/s")
        self._display.say("  ".join(words))  # within 80 columns, but for runs of very many steps

    def evaluate(self) -> None:
        """Loss and accuracy on the validation split; keep the model where it is the best so far."""
        run = self._run
        if run.dataset.validation is None:
            return
        with self.clock.stopped():
            loss = self._evaluate("validation", "val", run.dataset.validation, run.step).loss
            if run.plateau is not None:
                run.plateau.observe(loss)
            if run.best.observe(loss, run.step):
                self._recorder.flush()
                self._not_finite()
                self._keeper.hold(run.capture(self.clock.seconds()))

    def _evaluate(self, split: str, short: str, samples: Split, step: int) -> Evaluation:
        run = self._run
        result = evaluate(run.model, run.criterion, samples, run.precision)
        values = {"loss": result.loss}
        if result.accuracy is not None:
            values["accuracy"] = result.accuracy
        run.reached.update({f"{short}_{name}": value for name, value in values.items()})
        run.evaluated[split] = run.step
        self._events.write("evaluation", step=step, split=split, member=0, **values)
        return result

    def checkpoint_is_due(self, epoch_is_over: bool) -> bool:
        every = self._run.preset.train.checkpoint_every
        if every == "auto":
            return epoch_is_over and self._keeper.rested()
        return self._run.is_due(every, epoch_is_over)

    def save(self) -> Path:
        """Write a checkpoint of this moment. NonFiniteError rather than one of broken weights."""
        with self.clock.stopped():
            self._recorder.flush()
            self._not_finite()
            return self._keeper.save(self._run.capture(self.clock.seconds()))

    # --- the end ---

    def finish(self) -> Path:
        """After the last step: evaluate, test, and write the checkpoint that holds it all."""
        run = self._run
        with self.clock.stopped():
            self._recorder.flush()
            self._not_finite()
            # A worker that was killed in here has left a checkpoint that knows what was done already.
            if run.evaluated.get("validation") != run.step:
                self.evaluate()
            self._say_epoch()
            if run.dataset.test is not None:
                if run.evaluated.get("test") != run.step:
                    self._test(run.dataset.test)
                self._display.say(f"test {described(run.reached, 'test')}")
        return self.save()

    def _test(self, samples: Split) -> None:
        """With early stopping it is the best model that is tested: the last one is only where patience ended."""
        run, best = self._run, self._run.best.step
        if run.best.settings is None or best is None or best == run.step:
            self._evaluate("test", "test", samples, run.step)
            return
        last = {name: value.clone() for name, value in run.model.state_dict().items()}
        run.model.load_state_dict(self._keeper.best(best)["model"])
        self._evaluate("test", "test", samples, best)
        run.model.load_state_dict(last)

    def close(self) -> None:
        """Leave the rows on the disk, however the run ended."""
        try:
            self._recorder.flush()
        finally:
            self._writer.close()

    def progress(self) -> Progress:
        """For the display's thread."""
        run, last = self._run, self._monitor.last
        return Progress(
            step=run.step,
            total_steps=run.total_steps,
            epoch=min(run.batches.epoch + 1, -(-run.total_steps // run.batches.per_epoch)),
            epochs=run.preset.train.epochs,
            steps_per_second=self._monitor.steps_per_second,
            lr=self._lr,
            loss=last["loss"],
            accuracy=last["accuracy"],
            grad_norm=last["grad_norm"],
            val_loss=run.reached.get("val_loss"),
            val_accuracy=run.reached.get("val_accuracy"),
        )


def described(reached: dict[str, float], split: str) -> str:
    """0.123, 97.4 % — the loss, and the accuracy where there is one."""
    words = [number(reached[f"{split}_loss"])]
    if f"{split}_accuracy" in reached:
        words.append(f"{reached[f'{split}_accuracy']:.1%}")
    return ", ".join(words)
