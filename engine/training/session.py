"""What surrounds the steps of a run: rows, epochs, evaluations, checkpoints, and trouble."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from engine import forking, picture_rows, pictures
from engine.control import Queue
from engine.errors import DescentError
from engine.metrics import Layout
from engine.progress import Display, Progress, number
from engine.run import Events, RunFolder
from engine.training import checkpoint, selection, steering
from engine.training.checkpoint import State
from engine.training.clock import Clock
from engine.training.desk import Desk
from engine.training.evaluation import Evaluation, described, nothing, values_of
from engine.training.generation import Generation
from engine.training.keeper import Keeper
from engine.training.monitor import Monitor
from engine.training.training import Training
from engine.training.trouble import Trouble

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
        queue: Queue,
        stop_wanted: Callable[[], bool],
    ) -> None:
        """seconds: of training so far. queue: commands. stop_wanted: whether a signal asks for the end."""
        self._run, self._folder, self._events, self._display = run, folder, events, display
        self._layout = layout
        self._stop_wanted = stop_wanted
        self._open_rows()
        self._keeper = Keeper(folder, events, self._sync, run.preset.train.keep)
        self.desk = Desk(run, self, queue, events, forking.script_of(folder))
        self.clock = Clock(run.device, seconds)
        self._lr: float | None = None
        self._said_at = -1
        self._collapsed: int | None = None  # as it was said last
        self._planned: dict[str, Any] = {}

    @property
    def id(self) -> str:
        return self._folder.id

    def _open_rows(self) -> None:
        """A new generation of rows, from the run's step on."""
        self._rows = Generation(self._run, self._folder, self._layout, self._events, self._lose, self._say_slow)
        self._trouble = Trouble(self._run, self._folder, self._events, self._stop_wanted)

    @property
    def _monitor(self) -> Monitor:
        return self._rows.monitor

    def _lose(self, member: int, step: int) -> None:
        """A member of several went non-finite at `step`; the others go on."""
        self._run.end(member, "diverged")
        self._say_ended(member, "diverged", step)
        self._trouble.lose(member, step)

    def _say_slow(self, step: int, **values: Any) -> None:
        """The rate has dropped by half."""
        self._events.write("slow", step=step, **values)
        words = f"step {step:,}: {number(values['steps_per_second'])} step/s, {number(values['usual'])} were usual"
        if "try" in values:
            words += f"; where others want the cores too, this helps: descent set {self.id} {values['try']}"
        self._display.say(words)

    def note_plan(self) -> None:
        """Tell those who draw the learning rate ahead, where it is no longer what was told last."""
        plan = self._run.plan().state()
        if plan != self._planned:
            self._planned = plan
            self._events.write("plan", step=self._run.step, **plan)

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

    def end_epoch(self) -> None:
        """Say how the epoch went; of a great many epochs, every n-th. What waited for its end takes effect."""
        run = self._run
        size = steering.begin_epoch(run)
        if size is not None:
            self._events.write(
                "batch_size",
                step=run.step,
                epoch=run.batches.epoch,
                size=size,
                per_epoch=run.batches.per_epoch,
                total_steps=run.total_steps,
            )
            self.note_plan()
        self.desk.end_epoch()
        epochs = run.total_steps / run.batches.per_epoch
        if run.batches.epoch % math.ceil(epochs / MOST_LINES) == 0:
            self._say_epoch()

    def _say_epoch(self) -> None:
        run = self._run
        if self._said_at == run.step:
            return
        self._said_at = run.step
        with self.clock.stopped():
            self._rows.sync()
        loss = self._monitor.mean_loss()
        self._events.write("epoch", epoch=run.batches.epoch, step=run.step, train_loss=loss)
        means = "mean " if len(run.members) > 1 else ""  # over all candidates, the hopeless ones too
        words = [f"epoch {run.batches.epoch:>3}", f"step {run.step:>6,}", f"{means}loss {number(loss):<7}"]
        if "val_loss" in run.reached:
            words.append(f"{means}val {described(run.reached, 'val')}")
        words.append(f"lr {number(self._lr)}")
        words.append(f"{number(self._monitor.steps_per_second)} step/s")
        self._display.say("  ".join(words))  # within 80 columns, but for runs of very many steps

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
            ended = run.ended()
            between = partial(self.desk.attend_within, self._stop_wanted)
            results = self._evaluate("validation", run.step, between=between)
            broken = self._rows.collapsed is not None
            is_best = run.observe([_beaten(r) for r in results] if broken else results)
            for member in run.ended().keys() - ended.keys():
                self._say_ended(member, run.ended()[member], run.step)
            self.note_plan()  # a plateau may have lowered the rate
            if is_best:
                self._rows.sync()
                if not self._in_trouble():
                    self._keeper.hold(self._capture())

    def _disown(self) -> None:
        """Say that the model has collapsed, where it has; one since then is not the best so far."""
        since, best = self._rows.collapsed, self._run.best
        if since != self._collapsed and since is not None:
            self._display.say(
                f"step {self._run.step:,}: the model has collapsed, since step {since:,}. Too large a learning rate "
                "is the usual reason: go back to a checkpoint before it, or start again with a lower one"
            )
        self._collapsed = since
        if since is not None and best.step is not None and best.step > since:
            best.forget()
            self._keeper.drop_held()

    def look(self) -> dict[str, float]:
        """Evaluate because somebody wants to know: neither early stopping nor the best model takes note."""
        run = self._run
        if run.dataset.validation is None:
            raise DescentError("this run has no validation split; data.validation = 0.1 would make one")
        with self.clock.stopped():
            self._evaluate("validation", run.step)
        return {name: value for name, value in run.reached.items() if name.startswith("val_")}

    def picture(self, kind: str, options: dict[str, Any]) -> Path:
        """Draw the model as it is now into a file. DescentError where that can't be done; the run goes on."""
        from engine.training.pictures import make

        with self.clock.stopped():
            if kind in picture_rows.KINDS:
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
        steering.restore(self._run, state["edits"])
        self.clock.set(self._run.restore(state))
        self._keeper.forget_beyond(to)
        self._events.write("rewound", to=to, log=state["log"])
        self._planned = {}
        self.note_plan()
        self._open_rows()
        return to

    def _evaluate(
        self,
        split: str,
        step: int,
        members: Sequence[int] | None = None,
        between: Callable[[], None] = nothing,
    ) -> list[Evaluation]:
        """Evaluate every member, and tell of those that have not ended badly, or of `members` alone.

        step: that of the models that are looked at. between: called after each batch.
        """
        run = self._run
        results = run.evaluate(split, between)
        lost = [member for member, why in run.ended().items() if why == "diverged"]
        shown = [m for m in (range(len(results)) if members is None else members) if m not in lost]
        for member in shown:
            self._events.write("evaluation", step=step, split=split, member=member, **values_of(results[member]))
        short = "val" if split == "validation" else split
        means = {
            f"{short}_{name}": sum(values_of(results[member])[name] for member in shown) / len(shown)
            for name in values_of(results[0])
            if shown
        }
        run.reached.update(means)
        run.evaluated[split] = run.step
        return results

    def _say_ended(self, member: int, why: str, step: int) -> None:
        self._monitor.known_ended.add(member)
        self._events.write("member", member=member, state=why, step=step)
        self._display.say(f"member {member} {why} at step {step:,}")

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
                self._test()
            if "test_loss" in run.reached:
                self._display.say(f"test {described(run.reached, 'test')}")
        return self.save()

    def _test(self) -> None:
        """With early stopping it is the best model that is tested: the last one is only where patience ended."""
        run = self._run
        with run.at_best(self._keeper.best) as step:
            winner = selection.winner(run)
            if winner is not None:
                self._events.write("winner", step=step, **winner)
            if run.dataset.test is None:
                return
            self._evaluate("test", step, None if winner is None else winner["members"])
            together = selection.ensemble(run)
            if together is not None:
                self._events.write("ensemble", step=step, split="test", **values_of(together))

    def close(self) -> None:
        """Leave the rows on the disk, however the run ended."""
        self._rows.close()

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


def _beaten(result: Evaluation) -> Evaluation:
    """The evaluation of a broken model as one that no other is compared with: it is never the best."""
    return Evaluation(math.inf, result.accuracy)
