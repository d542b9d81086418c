"""The work around the steps of a run: rows, epochs, evaluations, checkpoints, and numbers that are not finite."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from descent.control import Queue
from descent.loop.checkpoint import CheckpointManager, State
from descent.loop.clock import Clock
from descent.loop.commands import CommandHandler
from descent.run.epochs import epochs_since
from descent.run.events import Events, script_of
from descent.run.folder import RunFolder, missing
from descent.run.layout import Layout
from descent.run.progress import Display, Progress
from engine import pictures
from engine.pictures import from_rows
from engine.training import live_edits
from engine.training.evaluator import Evaluator
from engine.training.monitor import Monitor
from engine.training.nonfinite import NonFiniteHandler
from engine.training.pictures.keeper import PictureKeeper
from engine.training.protocols import StepResult
from engine.training.ranks import Leader, Step
from engine.training.reporter import Reporter
from engine.training.row_writer import RowWriter
from engine.training.train_state import TrainState


class Session:
    """The training of a run by one worker, from a start or a resume to the end of the process."""

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
        again: Sequence[dict[str, Any]] = (),
        stop_wanted: Callable[[], bool],
        watched: Mapping[str, Any] | None = None,
        leader: Leader | None = None,
    ) -> None:
        """seconds: of training so far. queue: of commands. stop_wanted: whether a signal asks the worker to end.

        again: commands of the log to follow again. watched: see RowWriter. leader: of a run that several processes
        train.
        """
        self._run, self._folder, self._events = run, folder, events
        self._layout = layout
        self._stop_wanted = stop_wanted if leader is None else leader.attended(stop_wanted)
        self._leader = leader
        self._reporter = Reporter(run, folder, events, display)
        self._evaluator = Evaluator(run, self._reporter)
        self._open_rows(watched)
        self._keeper = CheckpointManager(folder, events, self._sync, run.preset.train.keep)
        self.commands = CommandHandler(self, queue, events, script_of(folder.path), again)
        self.clock = Clock(run.device, seconds)
        self.pictures = PictureKeeper(run, folder, self.clock, self.warn)
        self.commands.rest = self._rest
        if leader is not None:
            leader.follow(self.commands, self.clock)
        self._lr: float | None = None
        self._shapes = run.shapes()
        self._miss_best()

    @property
    def id(self) -> str:
        return self._folder.id

    @property
    def step(self) -> int:
        return self._run.step

    def _open_rows(self, watched: Mapping[str, Any] | None) -> None:
        """Begin to write rows from the run's current step on. watched: see RowWriter."""
        run, folder, events = self._run, self._folder, self._events
        told = self._reporter.slow, self._reporter.untrained
        self._rows = RowWriter(run, folder, self._layout, events, self._lose, *told, watched)
        self._trouble = NonFiniteHandler(self._run, self._folder, self._events, self._stop_wanted)

    @property
    def _monitor(self) -> Monitor:
        return self._rows.monitor

    def _lose(self, member: int, step: int) -> None:
        """End a member of several that went non-finite at `step`. The others go on."""
        self._run.end(member, "diverged")
        self._note_ended(member, "diverged", step)
        self._trouble.lose(member, step)

    def _note_ended(self, member: int, why: str, step: int) -> None:
        self._monitor.known_ended.add(member)
        self._reporter.ended(member, why, step)

    def note_plan(self) -> None:
        """Write the planned learning rate, for those who draw it, if it differs from what was written last."""
        self._reporter.plan()

    @property
    def has_epochs(self) -> bool:
        return True

    def edit(self, texts: list[str]) -> dict[str, Any]:
        """Change live settings. Returns the values that are now in force."""
        changed = live_edits.edit(self._run, texts)
        self.note_plan()
        return changed

    def extend(self, **more: int) -> int:
        """Train for more `epochs` or `steps`. Returns the new last step."""
        total_steps = live_edits.extend(self._run, **more)
        self.note_plan()
        return total_steps

    def note_epochs(self) -> None:
        """Write the batch size of a fork if its steps lie in epochs in another way than its log says."""
        run, batches = self._run, self._run.batches
        told = epochs_since(self._folder.last("batch_size"), self._folder.facts())
        first = run.step - batches.index
        assert told is not None  # this worker has written run.json
        if told.per_epoch != batches.per_epoch or told.at(first) != batches.epoch:
            self._reporter.batch_size(batches.size or batches.samples)

    def should_continue(self) -> bool:
        """Follow the waiting commands, between two steps. Returns False if training ends here.

        Raises NonFiniteError, a few steps late, if a number was not finite and train.on_nan says to stop.
        """
        if self._leader is not None and self._leader.is_under_way:
            return True
        if self._run.step >= self._run.total_steps:
            self.drain()  # numbers of the last steps may not be finite
        if (self._monitor.non_finite is not None and self._in_trouble()) or self._trouble.has_lost():
            self.commands.hold(self._trouble.reason)
        self.commands.attend(self._stop_wanted)
        goes_on = self._run.step < self._run.total_steps and not self.is_stopped() and not self._stop_wanted()
        if goes_on:
            self.pictures.keep_up()
        if goes_on and self._leader is not None:
            self._leader.begin()
        return goes_on

    def is_stopped(self) -> bool:
        """Return whether a client, or early stopping, has ended the training."""
        return self.commands.stop in ("now", "discard") or self._run.is_over()

    def drain(self) -> None:
        """Write the rows of all steps so far into the file, where every reader finds them."""
        self._rows.drain()

    def _sync(self) -> None:
        """Write the rows onto the disk, as a checkpoint needs them."""
        self._rows.sync()

    def warn(self, message: str) -> None:
        """Tell of something that a person should know, in the log and on the display."""
        self._reporter.warn(message)

    # --- every step ---

    @property
    def step_together(self) -> Step | None:
        """The step of a run that several processes train; None in one process."""
        return None if self._leader is None else self._leader.step

    def record(self, result: StepResult, lr: float | Tensor) -> None:
        """Record the step just made, with its learning rate."""
        self._lr = lr if isinstance(lr, float) else None  # members' own rates are in the rows
        self._rows.record(result, lr, self.clock.seconds() if result.seconds is None else result.seconds)
        self.clock.end_first_step()

    def _in_trouble(self) -> bool:
        """Return whether a number was not finite and a person must decide.

        Raises NonFiniteError if on_nan says to stop.
        """
        return self._trouble.holds(self._monitor.non_finite)

    def accept_trouble(self) -> None:
        """Go on with numbers that are not finite."""
        self._trouble.accept()

    # --- epochs, evaluations, checkpoints ---

    def begin_epoch(self) -> None:
        """Apply what has waited for the beginning of an epoch. A checkpoint of this step holds it."""
        size = live_edits.begin_epoch(self._run)
        if size is not None:
            self._reporter.batch_size(size)
            self._reporter.left_out()

    def end_epoch(self) -> None:
        """Report the epoch (of very many, every n-th), and follow a stop that has waited for its end."""
        self.commands.end_epoch()
        if self._reporter.says_this_epoch():
            self._say_epoch()

    def catch_up(self) -> None:
        """Report the epoch that has just ended if the log, up to a checkpoint of this very step, lacks it."""
        if self._run.step and self._run.batches.index == 0 and self._reporter.says_this_epoch():
            self._say_epoch()

    def _say_epoch(self) -> None:
        if self._reporter.has_said_epoch():
            return
        with self.clock.stopped():
            self._rows.sync()
        self._reporter.epoch(self._monitor, self._lr)

    def evaluate(self) -> None:
        """Evaluate on the validation split. Keep the model if it is the best so far."""
        run = self._run
        if not run.can_evaluate("validation"):
            return
        with self.clock.stopped():
            self._rows.drain()
            if self._in_trouble():
                return  # a broken model is not evaluated
            self._disown()
            between = partial(self.commands.attend_within, self._stop_wanted)
            results = self._evaluator.evaluate("validation", run.step, between=between)
            is_best, stopped = self._evaluator.observe(results, broken=self._rows.collapsed is not None)
            for member in stopped:
                self._note_ended(member, run.ended()[member], run.step)
            self.note_plan()  # a plateau may have lowered the rate
            if is_best:
                self._rows.sync()
                if self._is_whole() and not self._in_trouble():
                    self._keeper.hold(self._capture())

    def _disown(self) -> None:
        """Report a collapse, and forget a best model from after it."""
        since, best = self._rows.collapsed, self._run.best
        self._reporter.collapsed(since)
        if since is not None and best.step is not None and best.step > since:
            best.forget()
            self._keeper.drop_held()

    def look(self) -> dict[str, float]:
        """Evaluate for a client. The run goes on, and ends, as if it had not been evaluated."""
        if not self._run.can_evaluate("validation"):
            if self._run.dataset.validation is not None:
                raise DescentError(_("the class of train.code has no evaluate(loader), so it can't be evaluated"))
            raise DescentError(_("this run has no validation split; data.validation = 0.1 would make one"))
        with self.clock.stopped():
            return self._evaluator.look("validation")

    def picture(self, kind: str, options: dict[str, Any]) -> Path:
        """Draw the model as it is now into a file. Raises DescentError if that fails. The run goes on in any case."""
        from engine.training.pictures import make

        with self.clock.stopped():
            if kind in from_rows.KINDS:
                self._rows.drain()
            arrays = make(self._run, kind, options, self._folder)
            try:
                return pictures.write(self._folder.path, kind, self._run.step, arrays)
            except OSError as error:
                raise DescentError(
                    _("picture {kind}: can't be written: {error}", kind=kind, error=error.strerror)
                ) from None

    def _rest(self) -> None:
        """Use the time of a pause."""
        if self._monitor.non_finite is None:
            self.pictures.rest()

    def act(self, name: object) -> None:
        """Actions are declared by a script."""
        raise DescentError(
            _("actions are declared by a training loop of one's own; this run trains a preset: {name}", name=name)
        )

    def _capture(self) -> State:
        """Return all that a checkpoint holds. Raises PresetError if no run could take it up."""
        self._refuse_new_weights()
        # A run that goes on from this checkpoint ignores the log from this byte on.
        return self._run.capture(self.clock.seconds()) | {
            "run": self.id,
            "log": self._events.size(),
            "watched": self._rows.watched(),
        }

    def _refuse_new_weights(self) -> None:
        """Raise PresetError for a parameter or a buffer that the user's code has made, or reshaped, in training."""
        shapes = self._run.shapes()
        if shapes == self._shapes:
            return
        name = next(name for name in [*shapes, *self._shapes] if shapes.get(name) != self._shapes.get(name))
        raise PresetError(
            _(
                "the model is another one than at the beginning: {weight} has the shape {given} at step {step:,}, "
                "and had {wanted}. Nothing could go on from a checkpoint of it, so none is written, and the run "
                "ends. A model of your own must have all its parameters and buffers from the beginning: make them in "
                "__init__, not while it trains",
                weight=name,
                given=shapes.get(name) or (_("none") if name not in shapes else "()"),
                step=self._run.step,
                wanted=self._shapes.get(name) or (_("none") if name not in self._shapes else "()"),
            )
        )

    def rewind(self, to: object) -> int:
        """Go back to the checkpoint of step `to`, or by default to the last one before this step.

        No file is removed.
        """
        at, state = self._keeper.to_go_back_to(to, self._run.step)
        return self._rewind(at, state)

    def _rewind(self, to: int, state: State) -> int:
        self._rows.sync()  # what the last rows tell of members belongs to the state before
        try:
            self.clock.set(live_edits.go_to(self._run, state))
        except DescentError as error:
            raise DescentError(f"to {to}: {error}") from None
        self._rows.close()
        self._keeper.forget_beyond(to)
        self._reporter.rewound(to, state["log"])
        self._open_rows(state.get("watched"))
        self.pictures.forget_beyond()
        self._miss_best()
        self.catch_up()
        return to

    def _miss_best(self) -> None:
        """Go on without the best model so far if its file was removed. Early stopping would end with it."""
        best = self._run.best
        if best.chooses and best.step is not None and not self._keeper.has(best.step):
            self._lose_best(best.step, missing(self._folder.checkpoint(best.step)))

    def _lose_best(self, step: int, why: str) -> None:
        self._run.best.forget()
        self._reporter.best_lost(step, why)

    def _read_best(self, step: int) -> State | None:
        """Return the checkpoint of the best model, or None if it is lost."""
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
        """Write a checkpoint of the current state. wanted: a person asked for it.

        If weights or buffers are not finite, nothing is written, whatever on_nan says: returns None, or raises
        NonFiniteError if on_nan says to stop.
        """
        with self.clock.stopped():
            self._rows.sync()
            whole = self._is_whole()
            if not whole:
                self._keeper.write_held()
            if self._in_trouble():
                return None
            if not whole:
                self._reporter.not_saved(self._keeper.steps())
                return None
            self._disown()
            return self._keeper.save(self._capture(), wanted=wanted)

    def _is_whole(self) -> bool:
        """Return whether weights and buffers are finite. Of several members, those that are not whole end."""
        broken, step = self._run.broken(), self._run.step - 1
        if len(self._run.members) > 1:
            for member in broken:
                self._lose(member, step)
            return True
        for name in broken.values():
            buffers = dict(self._run.model.named_buffers())
            self._monitor.report(step, f"buffer of layer {name}" if name in buffers else "update")
        return not broken

    def last_receipt(self) -> Path | None:
        """Return the last checkpoint that led to the current state."""
        steps = self._keeper.steps()
        return self._folder.checkpoint(steps[-1]) if steps else None

    # --- the end ---

    def finish(self) -> Path | None:
        """Evaluate and test after the last step, and write a checkpoint that holds the results."""
        run = self._run
        with self.clock.stopped():
            self._rows.end()
            # A worker that was killed in here has left a checkpoint that says what was already evaluated.
            if run.evaluated.get("validation") != run.step:
                self.evaluate()
            self._say_epoch()
            if run.evaluated.get("test") != run.step:
                self._evaluator.test(self._read_best)
            self._reporter.test()
        saved = self.save()
        self._draw_again()
        return saved

    def _draw_again(self) -> None:
        """Draw once more, at the end, what clients look at: a process of its own would need seconds for it."""
        self.pictures.keep()
        for kind, options in self.commands.pictures.items():
            with contextlib.suppress(DescentError):  # the client asks again, and is told why
                self.picture(kind, options)

    def close(self) -> None:
        """Write all rows onto the disk, however the run ended."""
        self._rows.close()

    def progress(self) -> Progress:
        """Return the current numbers, for the display's thread."""
        return self._reporter.progress(self._monitor, self._lr, is_paused=self.commands.paused)
