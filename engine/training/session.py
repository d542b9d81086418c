"""What surrounds the steps of a run: rows, epochs, evaluations, checkpoints, and trouble."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from descent.common.errors import DescentError
from descent.control import Queue
from descent.run.events import Events, epochs_since, script_of
from descent.run.folder import RunFolder
from descent.run.metrics import Layout
from descent.run.progress import Display, Progress
from engine import pictures
from engine.pictures import from_rows
from engine.training import checkpoint, live_edits
from engine.training.checkpoint import CheckpointManager, State
from engine.training.clock import Clock
from engine.training.commands import CommandHandler
from engine.training.evaluator import Evaluator
from engine.training.monitor import Monitor
from engine.training.nonfinite import NonFiniteHandler
from engine.training.recorder import RowWriter
from engine.training.reporter import Reporter
from engine.training.train_state import TrainState


class Session:
    """One worker's hold on a run, from a start or a resume to the end of the process."""

    def __init__(
        self,
        run: TrainState,
        folder: RunFolder,
        layout: Layout,
        events: Events,
        display: Display,
        *,
        seconds: float,
        queue: Queue,
        stop_wanted: Callable[[], bool],
    ) -> None:
        """seconds: of training so far. queue: commands. stop_wanted: whether a signal asks for the end."""
        self._run, self._folder, self._events = run, folder, events
        self._layout = layout
        self._stop_wanted = stop_wanted
        self._reporter = Reporter(run, folder.id, events, display)
        self._evaluator = Evaluator(run, self._reporter)
        self._open_rows()
        self._keeper = CheckpointManager(folder, events, self._sync, run.preset.train.keep)
        self.desk = CommandHandler(run, self, queue, events, script_of(folder))
        self.clock = Clock(run.device, seconds)
        self._lr: float | None = None
        self._miss_best()

    @property
    def id(self) -> str:
        return self._folder.id

    def _open_rows(self) -> None:
        """A new generation of rows, from the run's step on."""
        self._rows = RowWriter(self._run, self._folder, self._layout, self._events, self._lose, self._reporter.slow)
        self._trouble = NonFiniteHandler(self._run, self._folder, self._events, self._stop_wanted)

    @property
    def _monitor(self) -> Monitor:
        return self._rows.monitor

    def _lose(self, member: int, step: int) -> None:
        """A member of several went non-finite at `step`; the others go on."""
        self._run.end(member, "diverged")
        self._note_ended(member, "diverged", step)
        self._trouble.lose(member, step)

    def _note_ended(self, member: int, why: str, step: int) -> None:
        self._monitor.known_ended.add(member)
        self._reporter.ended(member, why, step)

    def note_plan(self) -> None:
        """Tell those who draw the learning rate ahead, where it is no longer what was told last."""
        self._reporter.plan()

    def note_epochs(self) -> None:
        """Tell how the steps from here on lie in epochs, where a fork's settings and its past don't."""
        run, batches = self._run, self._run.batches
        told = epochs_since(self._folder.last("batch_size"), self._folder.facts())
        first = run.step - batches.index
        if told.per_epoch != batches.per_epoch or told.at(first) != batches.epoch:
            self._reporter.batch_size(batches.size or batches.samples)

    def goes_on(self) -> bool:
        """Follow the commands that wait, between two steps; False where training ends here.

        NonFiniteError, a few steps late, where a number of a step was not finite and nobody is to be asked.
        """
        if self._run.step >= self._run.total_steps:
            self.drain()  # the last steps may be those that went wrong
        if (self._monitor.non_finite is not None and self._in_trouble()) or self._trouble.has_lost():
            self.desk.hold(self._trouble.reason)
        self.desk.attend(self._stop_wanted)
        return self._run.step < self._run.total_steps and not self.is_stopped() and not self._stop_wanted()

    def is_stopped(self) -> bool:
        """Whether a client, or early stopping, has ended the training."""
        return self.desk.stop in ("now", "discard") or self._run.is_over()

    def drain(self) -> None:
        """Return when the rows of all steps so far are in the file, where every reader finds them."""
        self._rows.drain()

    def _sync(self) -> None:
        """Return when they are on the disk too: a checkpoint stands on them."""
        self._rows.sync()

    # --- every step ---

    def record(
        self,
        loss: Tensor,
        accuracy: Tensor | None,
        lr: float | Tensor,
        norms: tuple[Tensor, Tensor] | None,
        layers: Tensor | None,
    ) -> None:
        """Note the step just made."""
        self._lr = lr if isinstance(lr, float) else None  # the members' own are in the rows
        self._rows.record(loss, accuracy, lr, norms, layers, self.clock.seconds())
        self.clock.end_first_step()

    def _in_trouble(self) -> bool:
        """Whether a number was not finite, and a person is to say what then. NonFiniteError where nobody is asked."""
        return self._trouble.holds(self._monitor.non_finite)

    def accept_trouble(self) -> None:
        """Go on with numbers that are not finite."""
        self._trouble.accept()

    # --- now and then ---

    def begin_epoch(self) -> None:
        """What waited for an epoch's beginning takes effect. A checkpoint of that step holds it."""
        size = live_edits.begin_epoch(self._run)
        if size is not None:
            self._reporter.batch_size(size)
            self._reporter.left_out()

    def end_epoch(self) -> None:
        """Say how the epoch went; of a great many epochs, every n-th. A stop that waited for its end takes effect."""
        self.desk.end_epoch()
        if self._reporter.says_this_epoch():
            self._say_epoch()

    def _say_epoch(self) -> None:
        if self._reporter.has_said_epoch():
            return
        with self.clock.stopped():
            self._rows.sync()
        if self._monitor.has_more_to_tell:  # not so of a run that was resumed at its end
            self._reporter.epoch(self._monitor, self._lr)

    def evaluate(self) -> None:
        """Loss and accuracy on the validation split; keep the model where it is the best so far."""
        run = self._run
        if run.dataset.validation is None:
            return
        with self.clock.stopped():
            self._rows.drain()
            if self._in_trouble():
                return  # rather than evaluate a broken model
            self._disown()
            between = partial(self.desk.attend_within, self._stop_wanted)
            results = self._evaluator.evaluate("validation", run.step, between=between)
            is_best, stopped = self._evaluator.observe(results, broken=self._rows.collapsed is not None)
            for member in stopped:
                self._note_ended(member, run.ended()[member], run.step)
            self.note_plan()  # a plateau may have lowered the rate
            if is_best:
                self._rows.sync()
                if not self._in_trouble():
                    self._keeper.hold(self._capture())

    def _disown(self) -> None:
        """Say that the model has collapsed, where it has; one since then is not the best so far."""
        since, best = self._rows.collapsed, self._run.best
        self._reporter.collapsed(since)
        if since is not None and best.step is not None and best.step > since:
            best.forget()
            self._keeper.drop_held()

    def look(self) -> dict[str, float]:
        """Evaluate because somebody wants to know: the run goes on, and ends, as if nobody had."""
        if self._run.dataset.validation is None:
            raise DescentError("this run has no validation split; data.validation = 0.1 would make one")
        with self.clock.stopped():
            return self._evaluator.look("validation")

    def picture(self, kind: str, options: dict[str, Any]) -> Path:
        """Draw the model as it is now into a file. DescentError where that can't be done; the run goes on."""
        from engine.training.pictures import make

        with self.clock.stopped():
            if kind in from_rows.KINDS:
                self._rows.drain()
            arrays = make(self._run, kind, options, self._folder)
            try:
                return pictures.write(self._folder.path, kind, self._run.step, arrays)
            except OSError as error:
                raise DescentError(f"picture {kind}: can't be written: {error.strerror}") from None

    def _capture(self) -> State:
        # What the log says beyond this place is void for whoever goes on from here.
        return self._run.capture(self.clock.seconds()) | {"run": self.id, "log": self._events.size()}

    def rewind(self, to: object) -> int:
        """Go back to the checkpoint of step `to`, or to the last one before this step. Nothing is destroyed."""
        steps = self._keeper.steps()
        if to is None:
            to = max((step for step in steps if step < self._run.step), default=None)
        if isinstance(to, bool) or not isinstance(to, int) or to not in steps or to > self._run.step:
            there = ", ".join(str(step) for step in steps if step <= self._run.step)
            raise DescentError(f"to {to!r}: there is no such checkpoint; there are those of steps {there}")
        try:
            state = checkpoint.read(self._folder.checkpoint(to))
        except ValueError as error:
            raise DescentError(f"to {to}: {error}") from None
        self._rows.close()
        live_edits.restore(self._run, state["edits"])
        self.clock.set(self._run.restore(state))
        self._keeper.forget_beyond(to)
        self._reporter.rewound(to, state["log"])
        self._open_rows()
        self._miss_best()
        return to

    def _miss_best(self) -> None:
        """Go on without the best model so far where somebody has removed it: early stopping would end with it."""
        best = self._run.best
        if best.settings is not None and best.step is not None and not self._keeper.has(best.step):
            self._lose_best(best.step, f"{self._folder.checkpoint(best.step).name} is missing")

    def _lose_best(self, step: int, why: str) -> None:
        self._run.best.forget()
        self._reporter.best_lost(step, why)

    def _read_best(self, step: int) -> State | None:
        """The checkpoint of the best model; None where it is lost."""
        try:
            return self._keeper.best(step)
        except ValueError as error:
            self._lose_best(step, str(error))
            return None

    def checkpoint_is_due(self, epoch_is_over: bool) -> bool:
        every = self._run.preset.train.checkpoint_every
        if every == "auto":
            return epoch_is_over and self._keeper.rested()
        return self._run.is_due(every, epoch_is_over)

    def save(self, *, wanted: bool = False) -> Path | None:
        """Write a checkpoint of this moment; None, or NonFiniteError, rather than one of broken weights.

        wanted: by a person.
        """
        with self.clock.stopped():
            self._rows.sync()
            if not self._run.weights_are_finite():
                self._monitor.report(self._run.step - 1, "update")
            if self._in_trouble():
                return None
            self._disown()
            return self._keeper.save(self._capture(), wanted=wanted)

    def last_receipt(self) -> Path | None:
        """The last checkpoint on the way to here."""
        steps = self._keeper.steps()
        return self._folder.checkpoint(steps[-1]) if steps else None

    # --- the end ---

    def finish(self) -> Path | None:
        """After the last step: evaluate, test, and write the checkpoint that holds it all."""
        run = self._run
        with self.clock.stopped():
            self._rows.sync()
            # A worker that was killed in here has left a checkpoint that knows what was done already.
            if run.evaluated.get("validation") != run.step:
                self.evaluate()
            self._say_epoch()
            if run.evaluated.get("test") != run.step:
                self._evaluator.test(self._read_best)
            self._reporter.test()
        return self.save()

    def close(self) -> None:
        """Leave the rows on the disk, however the run ended."""
        self._rows.close()

    def progress(self) -> Progress:
        """For the display's thread."""
        return self._reporter.progress(self._monitor, self._lr)
