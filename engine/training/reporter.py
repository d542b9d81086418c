"""Reports of a run as it trains: events in its log, and lines on the display."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from descent.common.i18n import _
from descent.common.numbers import metric, number, rate
from descent.run.best_by import BestBy, best_by
from descent.run.epochs import epochs_before
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.means import means_of_steps
from descent.run.metrics import Metrics
from descent.run.progress import Display, Progress
from descent.run.sweep import SweepPoint, points_of
from engine.training.build import left_out
from engine.training.data.batches import last_batch
from engine.training.evaluation import Evaluation, described, values_of
from engine.training.monitor import Monitor
from engine.training.train_state import TrainState

MOST_LINES = 100  # of epochs; a run of more epochs prints a line for several at once


class Reporter:
    """Writes events, and prints what a person wants to know of them. Each thing is reported once."""

    def __init__(self, run: TrainState, folder: RunFolder, events: Events, display: Display) -> None:
        self._run, self._folder, self._events, self._display = run, folder, events, display
        self._points = points_of([member._asdict() for member in run.members])
        self._by = best_by(folder) if self._points else BestBy()
        self._evaluated: dict[int, dict[str, float]] = {}  # of a sweep: the latest validation of each member
        self._look_back()
        self._collapsed: int | None = None  # as it was reported last
        self._planned: dict[str, Any] = {}
        self._not_saved = False

    def _look_back(self) -> None:
        """Read what the log already holds: the changes of the batch size, and the last epoch that was reported."""
        told = self._folder.events()
        self._changes = [event for event in told if event["event"] == "batch_size"]
        self._epoch_said_at = max((event["step"] for event in told if event["event"] == "epoch"), default=-1)

    # --- learning rate and batch size ---

    def plan(self) -> None:
        """Write the planned learning rate, for those who draw it, if it differs from what was written last."""
        planned, run = self._run.plan(), self._run
        kind = "length" if planned is None else "plan"
        plan = {"total_steps": run.total_steps} if planned is None else planned.state()
        if plan != self._planned:
            self._planned = plan
            self._events.write(kind, step=run.step, **plan)

    def rewound(self, to: int, log: int) -> None:
        """Report that the run went back to step `to`, at which the log ended at byte `log`. Later plans are void."""
        self._events.write("rewound", to=to, log=log)
        self._look_back()
        self._planned = {}
        self._not_saved = False
        self.plan()

    def batch_size(self, size: int) -> None:
        """Report the batch size from the current epoch on. The last step may change with it."""
        run = self._run
        change = {
            "step": run.step - run.batches.index,
            "epoch": run.batches.epoch,
            "size": size,
            "last_batch": last_batch(run.batches),
            "per_epoch": run.batches.per_epoch,
            "total_steps": run.total_steps,
        }
        self._events.write("batch_size", **change)
        self._changes.append(change)
        self.plan()

    def left_out(self) -> None:
        """Report the samples that no batch holds now that the batch size has changed."""
        for note in left_out(self._run.batches):
            self.warn(note)

    # --- epochs and evaluations ---

    def says_this_epoch(self) -> bool:
        """Return whether this epoch gets a line. Of very many epochs, only every n-th does."""
        run = self._run
        epochs = run.batches.epoch + (run.total_steps - run.step) / run.batches.per_epoch
        return run.batches.epoch % math.ceil(epochs / MOST_LINES) == 0

    def has_said_epoch(self) -> bool:
        """Return whether the line of this step was already printed."""
        return self._epoch_said_at == self._run.step

    def epoch(self, monitor: Monitor, lr: float | None) -> None:
        """Report the epoch, whose rows are in the file. lr: of the last step; None if the members' rates differ."""
        run = self._run
        self._epoch_said_at = run.step
        means = self._mean_losses()
        loss = _mean(means)
        self._events.write("epoch", epoch=run.batches.epoch, step=run.step, train_loss=loss)
        monitor.best = best = self._best()
        several = len(run.members) > 1 and best is None
        if best is not None:  # a mean over different settings would say nothing
            loss = _mean([means[member] for member in best.members])
        trained, evaluated = f"{number(loss):<7}", self._reached(best)
        words = [
            _("epoch {epoch:>3}", epoch=run.batches.epoch),
            _("step {step:>6,}", step=run.step),
            *([_("best {candidate}:", candidate=best.name)] if best is not None else []),
            _("mean loss {loss}", loss=trained) if several else _("loss {loss}", loss=trained),
        ]
        if "val_loss" in evaluated:
            reached = described(evaluated, "validation", brief=True)
            words.append(_("mean val {reached}", reached=reached) if several else _("val {reached}", reached=reached))
        if best is None or lr is not None:
            words.append(_("lr {lr}", lr=metric("lr", lr)))
        words.append(_("{rate} step/s", rate=rate(monitor.steps_per_second)))
        self._display.say("  ".join(words))  # within 80 columns, except for runs of very many steps

    def _best(self) -> SweepPoint | None:
        """Return a sweep's best candidate so far. None for another run, and without an evaluation."""
        there = [point for point in self._points if self._by.metric in self._reached(point)]
        lost = self._run.ended()

        def rank(point: SweepPoint) -> tuple[bool, float]:
            return any(lost.get(m) == "diverged" for m in point.members), self._by.rank(self._reached(point))

        return min(there, key=rank, default=None)

    def _reached(self, point: SweepPoint | None) -> Mapping[str, float]:
        """Return the latest evaluations: of a candidate the mean of its seeds, else of all."""
        if point is None:
            return self._run.reached
        each = [self._evaluated[member] for member in point.members if member in self._evaluated]
        names = each[0] if each else {}
        return {f"val_{name}": _mean([own[name] for own in each]) for name in names}

    @cached_property
    def _facts(self) -> dict[str, Any]:
        return self._folder.facts()

    @cached_property
    def _stored(self) -> Metrics:
        return Metrics(self._folder.path)

    def _mean_losses(self) -> list[float | None]:
        """Return each member's mean loss of the epoch so far; None for one that has diverged or has none."""
        run, facts = self._run, self._facts
        steps = run.batches.index
        if steps == 0:  # the epoch is over; the batch size of the next one may already be in force
            epochs = epochs_before(run.step, self._changes, facts)
            steps = epochs.per_epoch if epochs is not None else run.batches.per_epoch
        first = max(0, run.step - steps)
        means = means_of_steps(self._stored, "loss", first, run.step, self._changes, facts)
        lost = [member for member, why in run.ended().items() if why == "diverged"]
        return [None if member in lost else mean for member, mean in enumerate(means)]

    def evaluation(self, step: int, split: str, member: int, result: Evaluation) -> None:
        """Write the event of an evaluation. step: the step that the evaluated model is from."""
        self._events.write("evaluation", step=step, split=split, member=member, **values_of(result))
        if self._points and split == "validation":
            self._evaluated[member] = values_of(result)

    def best(self, steps: list[int]) -> None:
        """Write, for each member, the step of the model that early stopping has chosen."""
        self._events.write("best", step=self._run.step, steps=steps)

    def winner(self, step: int, winner: dict[str, Any]) -> None:
        """Write the winner of a sweep, as evaluator.find_winner returns it."""
        self._events.write("winner", step=step, **winner)

    def ensemble(self, step: int, together: Evaluation) -> None:
        """Write the test of the members' mean prediction."""
        self._events.write("ensemble", step=step, split="test", **values_of(together))

    def test(self) -> None:
        """Print the result of the test, if there was one."""
        if "test_loss" in self._run.reached:
            self._display.say(_("test {reached}", reached=described(self._run.reached, "test")))

    # --- trouble ---

    def best_lost(self, step: int, why: str) -> None:
        """Report that the best model so far, of step `step`, is lost. The run goes on without it."""
        self.warn(
            _(
                "the best model so far, of step {step:,}, is lost ({why}): "
                "the best later one is tested instead or, if there is none, the last one",
                step=step,
                why=why,
            )
        )

    def not_saved(self, saved: Sequence[int]) -> None:
        """Report, once, that the model is not saved because it is not finite. saved: steps of the checkpoints."""
        if self._not_saved:
            return
        self._not_saved = True
        message = _("the weights are not finite, so no checkpoint is written from here on")
        if saved:
            last = _("the last whole one is that of step {step:,}", step=saved[-1])
            message = f"{message}; {last}"
        self.warn(message)

    def ended(self, member: int, why: str, step: int) -> None:
        """Report that a member of several no longer trains. why: "diverged" or "stopped early"."""
        self._events.write("member", member=member, state=why, step=step)
        if why == "stopped early":
            self._display.say(_("member {member} stopped early at step {step:,}", member=member, step=step))
        else:
            self._display.say(_("member {member} diverged at step {step:,}", member=member, step=step))

    def slow(self, step: int, **values: Any) -> None:
        """Report that the speed has dropped by half; see RateWatch."""
        self._events.write("slow", step=step, **values)
        words = _(
            "step {step:,}: slow: {rate} step/s (usually {usual})",
            step=step,
            rate=rate(values["steps_per_second"]),
            usual=rate(values["usual"]),
        )
        if "try" in values:
            command = f"descent set {self._folder.id} {values['try']}"
            advice = _("if other programs use the cores, this helps: {command}", command=command)
            words = f"{words}; {advice}"
        self._display.say(words)

    def evaluates_fewer(self, samples: int) -> None:
        """Report that memory ran out in an evaluation, which then took fewer samples at once."""
        self.warn(
            _(
                "memory ran out in an evaluation, which now takes {count:,} samples at once; "
                "train.evaluate_batch_size = {count} does so from the start",
                count=samples,
            )
        )

    def untrained(self, steps: int, has_gradients: bool | None) -> None:
        """Report that the user's own step has changed no parameter. has_gradients: whether backward() left any."""
        file, _colon, name = (self._run.preset.train.code or "").rpartition("/")[2].rpartition(":")
        if has_gradients:
            why = _(
                "There are gradients, but {name} in {file} does not call optimizer.step(), clears them before it "
                "(zero_grad() belongs before backward()), or steps with a rate of 0",
                name=name,
                file=file,
            )
        else:
            why = _(
                "The parameters have no gradient, or one of 0: {name} in {file} does not call loss.backward(), or "
                "its loss does not depend on them (detach(), torch.no_grad(), another model)",
                name=name,
                file=file,
            )
        self.warn(_("nothing is trained: in {steps:,} steps no parameter has changed. {why}", steps=steps, why=why))

    def warn(self, message: str) -> None:
        """Write a warning into the log, and print it."""
        self._events.write("warning", message=message)
        self._display.say(message)

    def collapsed(self, since: int | None) -> None:
        """Print that the model has collapsed, once. since: the step at which it did; None if it has not."""
        if since != self._collapsed and since is not None:
            self._display.say(
                _(
                    "step {step:,}: the model collapsed at step {since:,}. Mostly the learning rate is too large: "
                    "go back to an earlier checkpoint, or start again with a lower rate",
                    step=self._run.step,
                    since=since,
                )
            )
        self._collapsed = since

    # --- progress ---

    def progress(self, monitor: Monitor, lr: float | None, *, is_paused: bool) -> Progress:
        """Return the current numbers, for the display's thread."""
        run, last = self._run, monitor.last
        reached = self._reached(monitor.best)
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
            val_loss=None if monitor.candidate and monitor.best is None else reached.get("val_loss"),
            val_accuracy=None if monitor.candidate and monitor.best is None else reached.get("val_accuracy"),
            candidate=monitor.candidate,
            is_paused=is_paused,
        )


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan
