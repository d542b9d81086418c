"""What a run tells as it trains: its log, and lines on the display."""

import math
from typing import Any

from descent.common.numbers import metric, number, rate
from descent.run.events import Events
from descent.run.progress import Display, Progress
from engine.training.build import left_out
from engine.training.evaluation import Evaluation, described, values_of
from engine.training.monitor import Monitor
from engine.training.train_state import TrainState

MOST_LINES = 100  # a run of more epochs says a line for several at once


class Reporter:
    """Writes events, and says what a person wants to know of them. Each thing is told once."""

    def __init__(self, run: TrainState, run_id: str, events: Events, display: Display) -> None:
        self._run, self._id, self._events, self._display = run, run_id, events, display
        self._epoch_said_at = -1
        self._collapsed: int | None = None  # as it was said last
        self._planned: dict[str, Any] = {}

    # --- learning rate and batch size ---

    def plan(self) -> None:
        """Tell those who draw the learning rate ahead, where it is no longer what was told last."""
        plan = self._run.plan().state()
        if plan != self._planned:
            self._planned = plan
            self._events.write("plan", step=self._run.step, **plan)

    def rewound(self, to: int, log: int) -> None:
        """Back at step `to`, when the log ended at byte `log`; the plan that was told since is void."""
        self._events.write("rewound", to=to, log=log)
        self._planned = {}
        self.plan()

    def batch_size(self, size: int) -> None:
        """From the epoch under way on, batches have this size; with it the horizon may have changed."""
        run = self._run
        self._events.write(
            "batch_size",
            step=run.step - run.batches.index,
            epoch=run.batches.epoch,
            size=size,
            per_epoch=run.batches.per_epoch,
            total_steps=run.total_steps,
        )
        self.plan()

    def left_out(self) -> None:
        """Samples that no batch of another size holds."""
        for note in left_out(self._run.batches):
            self._events.write("warning", message=note)
            self._display.say(note)

    # --- epochs and evaluations ---

    def says_this_epoch(self) -> bool:
        """Of a great many epochs, every n-th has a line."""
        run = self._run
        epochs = run.batches.epoch + (run.total_steps - run.step) / run.batches.per_epoch
        return run.batches.epoch % math.ceil(epochs / MOST_LINES) == 0

    def has_said_epoch(self) -> bool:
        """Whether there is a line of this very step."""
        return self._epoch_said_at == self._run.step

    def epoch(self, monitor: Monitor, lr: float | None) -> None:
        """How the epoch went. lr: of the last step; None where members have their own."""
        run = self._run
        self._epoch_said_at = run.step
        loss = monitor.mean_loss()
        self._events.write("epoch", epoch=run.batches.epoch, step=run.step, train_loss=loss)
        means = "mean " if len(run.members) > 1 else ""  # over all candidates, the hopeless ones too
        words = [f"epoch {run.batches.epoch:>3}", f"step {run.step:>6,}", f"{means}loss {number(loss):<7}"]
        if "val_loss" in run.reached:
            words.append(f"{means}val {described(run.reached, 'val')}")
        words.append(f"lr {metric('lr', lr)}")
        words.append(f"{rate(monitor.steps_per_second)} step/s")
        self._display.say("  ".join(words))  # within 80 columns, but for runs of very many steps

    def evaluation(self, step: int, split: str, member: int, result: Evaluation) -> None:
        """step: that of the model that was looked at."""
        self._events.write("evaluation", step=step, split=split, member=member, **values_of(result))

    def best(self, steps: list[int]) -> None:
        """Of each member, the step of the model that stands for it in the end, with early stopping."""
        self._events.write("best", step=self._run.step, steps=steps)

    def winner(self, step: int, winner: dict[str, Any]) -> None:
        """Of a sweep, as selection.winner has it."""
        self._events.write("winner", step=step, **winner)

    def ensemble(self, step: int, together: Evaluation) -> None:
        """Of the members' mean prediction, on the test split."""
        self._events.write("ensemble", step=step, split="test", **values_of(together))

    def test(self) -> None:
        """What the test came to, where there was one."""
        if "test_loss" in self._run.reached:
            self._display.say(f"test {described(self._run.reached, 'test')}")

    # --- what is not as it should be ---

    def best_lost(self, step: int, why: str) -> None:
        """The best model so far, of step `step`, can't be had again; the run goes on without it."""
        message = (
            f"the best model so far, of step {step:,}, is lost ({why}): "
            "the best that comes after it is tested in its place, or else the last one"
        )
        self._events.write("warning", message=message)
        self._display.say(message)

    def ended(self, member: int, why: str, step: int) -> None:
        """A member of several trains no more. why: "diverged" or "stopped early"."""
        self._events.write("member", member=member, state=why, step=step)
        self._display.say(f"member {member} {why} at step {step:,}")

    def slow(self, step: int, **values: Any) -> None:
        """The rate has dropped by half; see RateWatch."""
        self._events.write("slow", step=step, **values)
        words = f"step {step:,}: {rate(values['steps_per_second'])} step/s, {rate(values['usual'])} were usual"
        if "try" in values:
            words += f"; where others want the cores too, this helps: descent set {self._id} {values['try']}"
        self._display.say(words)

    def collapsed(self, since: int | None) -> None:
        """since: the step from which on the model is broken; None while it is whole."""
        if since != self._collapsed and since is not None:
            self._display.say(
                f"step {self._run.step:,}: the model has collapsed, since step {since:,}. Too large a learning rate "
                "is the usual reason: go back to a checkpoint before it, or start again with a lower one"
            )
        self._collapsed = since

    # --- this moment ---

    def progress(self, monitor: Monitor, lr: float | None) -> Progress:
        """For the display's thread."""
        run, last = self._run, monitor.last
        return Progress(
            step=run.step,
            total_steps=run.total_steps,
            epoch=min(run.batches.epoch + 1, -(-run.total_steps // run.batches.per_epoch)),
            epochs=run.preset.train.epochs,
            steps_per_second=monitor.steps_per_second,
            lr=lr,
            loss=last["loss"],
            accuracy=last["accuracy"],
            grad_norm=last["grad_norm"],
            val_loss=run.reached.get("val_loss"),
            val_accuracy=run.reached.get("val_accuracy"),
        )
