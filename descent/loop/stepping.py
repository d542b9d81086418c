"""What runs in a loop of one's own beside its script: its beginning, hooks, and what comes between steps."""

import math
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from descent.common.errors import DescentError
from descent.common.files import DISK_FULL
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.loop import again
from descent.loop.commands import CommandHandler, promise_again
from descent.loop.folder import is_typed, start_of
from descent.loop.hooks import BackwardLosses, model_of, trains
from descent.loop.project import changes
from descent.loop.rows import total
from descent.loop.steered import SteeredLoop
from descent.loop.untrained import Untrained
from descent.run import find
from descent.run.events import script_of, to_give_again
from descent.run.folder import Claim
from descent.run.means import means_of_steps
from descent.run.metrics import Metrics

MOST_EPOCHS_SAID = 100  # of more epochs every n-th is in the log
_MOST_KEPT = 8  # optimizers of an unchanged script
_SURELY = 20  # steps of an optimizer; a GradScaler on a GPU skips the first ones, whose gradients overflow


class Stopped(KeyboardInterrupt):
    """A command has stopped a loop that was typed into a notebook or at Python's prompt, which go on."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in the place of a traceback."""
        return [f"descent: {self}"]


class SteppedLoop(SteeredLoop):
    """A loop whose steps are recorded, with commands and checkpoints between them."""

    def __init__(
        self, claim: Claim, name: str, *, keep: int, statistics_every: int | None, signals: Signals | None
    ) -> None:
        super().__init__(claim, name, keep=keep, statistics_every=statistics_every, signals=signals)
        self._server.start()
        self._losses = BackwardLosses(self._hear, self._rows.see_gradients)
        self._stored = Metrics(self.folder.path)

    # --- it begins ---

    def _drive(self, driver: str, total: int, reasons: Sequence[str] = ()) -> None:
        if self._driver.kind:
            raise DescentError(
                _(
                    "run.{driver}(): a run has one loop that drives it; give run.batches all epochs, or begin "
                    "another run: descent.init",
                    driver=driver,
                )
            )
        if self._model is None:
            raise DescentError(_("run.{driver}(): call run.watch(model, optimizer) first", driver=driver))
        if self._began:
            raise DescentError(
                _("run.{driver}(): the optimizer has made steps before this loop; begin it first", driver=driver)
            )
        self._driver.kind, self._driver.total, self._driver.reasons = driver, total, list(reasons)
        if self._saved is not None:
            if self._saved["loop"] is None or self._saved["loop"]["driver"] != driver:
                raise DescentError(
                    _("{run}: its checkpoint is of another loop than run.{driver}", run=self.id, driver=driver)
                )
            self._restore(self._saved)
        is_through = self._driver.is_over
        self._is_finished = is_through and not self._is_forked and self._finished_before()
        self._begin()
        if is_through:
            self.warn(self._why_nothing_is_left())
        self._between_turns(first=True)

    def _finished_before(self) -> bool:
        """Whether the process that trained the run before this one has finished it."""
        states = [event["state"] for event in self.folder.events() if event["event"] == "state"]
        return [state for state in states if state != "starting"][-1:] == ["finished"]

    def _why_nothing_is_left(self) -> str:
        if self._is_forked:
            return _("the loop ends where this fork begins, so nothing is left to train; let it be longer")
        return _(
            "{run} is through with its loop, so nothing is left to train. Choose another id for another run, or let "
            "the loop be longer",
            run=self.id,
        )

    def _change_as_forked(self) -> None:
        """Make the changes that the fork was asked for. Its first checkpoint is to have them."""
        edits = (self.folder.origin() or {}).get("edits")
        if edits:
            self.edit(edits)
            self._events.write("command", step=self._step, command="set", arguments={"edits": edits}, replayed=True)

    def _begin(self) -> None:
        """Write and tell that the run trains from its step on."""
        assert self._model is not None
        self._began = True
        self._rows.untrained = Untrained(self._of_optimizer, self._tell_untrained, after=_SURELY)
        lost: Sequence[dict[str, Any]] = ()
        goes_on = bool(self._driver.kind) or self._asked
        if self._saved is not None or len(Metrics(self.folder.path)):
            log = self._saved["log"] if self._saved is not None and goes_on else 0
            if self._is_forked:  # the checkpoint speaks of the parent's log, and this one has only what both share
                log = self._events.size()
            if self._driver.library:
                log = None if self._step else 0
            elif not goes_on:
                text = _("the loop of this script begins anew, so its steps are counted from 0 again")
                if self._saved is not None:
                    text = _("{begins}; what is tracked is as it was at step {step:,}", begins=text, step=self._step)
                self._step = 0
                self.clock.set(0.0)
                self.warn(text)
            elif not self._driver.kind and self._saved is not None:
                self._edits.restore(self._saved)
            lost = to_give_again(self.folder.path, log) if goes_on else ()
            self._events.write("resumed", to=self._step, log=log)
            promise_again(lost, self._step, self._events, self.warn)
        if goes_on and self._saved is not None:
            self._tell_going_on()
        self._handler = CommandHandler(self, self._queue, self._events, script_of(self.folder.path), lost)
        self._exit.enter_context(self.clock.running())
        self._events.state("running", step=self._step)
        if not self._driver.kind:
            why = self._driver.why_not_resumed()
            if self._asked:
                why = _("this loop goes on from run.step, without its random numbers and batches")
            self._write_exact("script" if self._asked else "", [why])
        self._write_facts()
        if goes_on:
            self._save_beginning()
        if again.was_paused():
            self._handler.hold(None)

    def _save_beginning(self) -> None:
        """Write the first checkpoint of a run, or of a fork, with the changes that it was asked for."""
        if self._is_forked:
            self._change_as_forked()
        if self._saved is None or self._is_forked:
            self.save()

    def _of_optimizer(self) -> list[Tensor]:
        """Return the parameters that the main optimizer has."""
        return [p for group in self._optimizers[0].param_groups for p in group["params"] if p.requires_grad]

    def _tell_untrained(self, steps: int, has_gradients: bool | None) -> None:
        assert self._model is not None
        if has_gradients and trains(self._optimizers[:1], self._model):
            why = _(
                "They have gradients, so the rate is too small for the precision of the weights, or something puts "
                "the weights back after each step"
            )
        else:
            why = _(
                "Mostly they have no gradient when it steps: backward() is not called, zero_grad() comes between it "
                "and step(), or the loss is of another model, because the optimizer was made before the model was "
                "copied or replaced"
            )
        self.warn(
            _(
                "nothing is trained: in {steps:,} steps of the {optimizer} none of its parameters has changed. {why}",
                steps=steps,
                optimizer=type(self._optimizers[0]).__name__,
                why=why,
            )
        )

    def _tell_going_on(self) -> None:
        """Tell from where the run goes on, and what of its script has changed since it began."""
        if not self._is_forked and not (self._driver.kind and self._driver.is_over):
            text = _("{run} goes on from step {step:,}", run=self.id, step=self._step)
            print(f"descent: {text}", file=sys.stderr)
        found = changes(start_of(self.folder) or {})
        self._driver.reasons += found
        for change in found:
            self.warn(change)

    def _complete(self) -> None:
        """The driven loop is through: all its rows and its last checkpoint are on the disk."""
        self._rows.finish(self._step)
        self.save()
        self._through = True

    # --- hooks ---

    def _before_hook(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self.before_step(optimizer)

    def _after_hook(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self.after_step(optimizer)

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """The gradients are final, the weights still old."""
        if self._over or os.getpid() != self._pid:
            return
        if optimizer is self._optimizers[0]:
            if not self._began:
                self._begin()
            self._rows.finish(self._step)
            if not self._driver.kind and not self._driver.library:
                self._attend()
                if self._asked and self._keeper.rested():
                    self.save()
        self._rates.before_step(optimizer)
        self._is_updating = True
        if optimizer is self._optimizers[0]:
            self._rows.before_update(self._step)

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """The weights are new."""
        if self._over or os.getpid() != self._pid:
            return
        self._is_updating = False
        rate = self._rates.after_step(optimizer)
        row = self._rows.row
        if optimizer is not self._optimizers[0]:
            row.of_other, row.heard = row.heard, []  # of another optimizer, such as a discriminator's
            if len(self._optimizers) == 1 and optimizer not in self._others:
                self._meet(optimizer)
            if row.of_other and optimizer in self._named:
                self._rows.give({self._named[optimizer]: total(row.of_other, self._device)})
            return
        self._rows.after_update(rate)
        self._step += 1
        row.seconds = self.clock.seconds()
        self.clock.end_first_step()
        if self._rows.choose_cadence():
            self._write_facts()
        if not self._driver.kind:
            self._rows.watch_forward(self._step)

    def _meet(self, optimizer: torch.optim.Optimizer) -> None:
        """Take note of another optimizer that steps in an unchanged script.

        Those that are there from the beginning, such as a discriminator's, are in the checkpoints, too. Others may be
        made anew for each step.
        """
        self._others.add(optimizer)
        number = len(self._named) + 2
        if self._step <= 1 and number <= _MOST_KEPT:
            self._named[optimizer] = f"loss{number}"
            try:
                self._kept.add(f"model{number}", model_of(optimizer))
                self._kept.add(f"optimizer{number}", optimizer)
            except DescentError as error:
                self.warn(str(error))
        self._tell_of_others()

    def _hear(self, loss: Tensor) -> None:
        if not self._over and os.getpid() == self._pid:
            self._rows.row.heard.append(loss)

    # --- between two steps ---

    def _between_turns(self, *, first: bool = False) -> bool:
        """Follow commands and save, when the body of a driven loop is through. Returns whether the run went back."""
        driver = self._driver
        self._is_in_turn = False
        if not first:
            driver.turns_since += 1
        if self._rows.row.is_made:
            driver.step_made()
            self._rows.finish(self._step)
            if not self._told_exact:
                self._correct_length()
                self._tell_exact(sys._getframe(2))
            self._foresee()
        if driver.epoch_is_over and not first:
            self._end_epoch(self._driver.epochs)
        self._went_back = False
        if self._step != self._attended or first:
            self._attended = self._step
            self._attend()
        is_due = self._save_wanted or self._keeper.rested()
        if is_due and not self._went_back and not first and self._rows.row.is_clear:
            self.save()
        if self._rows.row.is_clear:  # an evaluation in the body of the loop is over
            self._rows.watch_forward(self._step)
        return self._went_back

    def _foresee(self) -> None:
        """Tell which rates the loop's own scheduler will have."""
        told = self._foresight.look(self._step, self._kept.objects.values(), self._optimizers[0], self._driver)
        if told is not None:
            self._events.write("rates", step=self._step, **told)

    def _take_commands(self) -> int | None:
        """Follow the commands that wait. Returns the number of the signal that asks to end, if one does."""
        if self._ranks is not None:
            self._handler.tell = self._ranks.tell
            return self._ranks.lead(self._handler, self._step, self._signal)
        self._handler.attend(self._is_interrupted)
        return self._signal()

    def _signal(self) -> int | None:
        return self._signals.received if self._signals is not None else None

    def _attend(self) -> None:
        if self._ranks is None and not self._handler.is_due and not self._is_interrupted():
            return  # as at nearly every step; several ranks ask each other
        with self._own_work():
            number = self._take_commands()
        if self._handler.stop in ("now", "discard"):
            receipt = self.save() if self._handler.stop == "now" else None
            self.end("stopped", receipt=receipt)
            if self._driver.library:
                return  # its callback ends it
            if is_typed() and threading.current_thread() is threading.main_thread():
                raise Stopped(self._stopped(receipt))
            raise SystemExit(0)
        if number is not None:
            receipt = self.save()
            self.end("stopped", receipt=receipt)
            print(f"descent: {self._stopped(receipt)}", file=sys.stderr)
            raise SystemExit(128 + number)
        if again.is_wanted():
            self.end("starting")
            raise SystemExit(0)

    def _stopped(self, receipt: Path | None) -> str:
        """Return where a run is that a signal has ended, and how it goes on. receipt: its last checkpoint."""
        if receipt is None:
            text = _("stopped at step {step:,}", step=self._step)
        else:
            text = _("stopped at step {step:,}; saved: {file}", step=self._step, file=receipt)
        if (self.is_driven or self._asked) and not self._through and not is_typed():
            text += f"; {self._continue()}"
        return text

    def why_not_written(self, error: BaseException) -> str:
        """Return what to do about an error that has ended the run, if it is a full disk's and met our own files."""
        file = error.filename if isinstance(error, OSError) and error.errno in DISK_FULL else None
        if file is None or not Path(str(file)).absolute().is_relative_to(self.folder.path.absolute()):
            return ""
        text = _("{file} can't be written: the disk is full; free some space, then try again", file=file)
        return f"{text}; {self._continue()}" if self.is_driven or self._asked else text

    def _continue(self) -> str:
        return _("continue with: {command}", command=f"descent resume {find.word_for(self.folder.path)}")

    def interrupt(self) -> str:
        """End the run because the script was interrupted, in code of its own. Returns what to say about it.

        Where nothing of ours drives the loop, the weights are those of the last step, and are saved.
        """
        if self._over or not self._began:
            self.end("stopped", reason=_("interrupted"))
            return ""
        receipt = None
        if not self.is_driven and not self._driver.library and not self._is_updating:
            self._rows.finish(self._step)
            try:
                receipt = self.save()
            except DescentError as error:
                self.warn(str(error))
        saved = self._keeper.steps()
        self.end("stopped", reason=_("interrupted"), receipt=receipt)
        return self._stopped(receipt or (self.folder.checkpoint(saved[-1]) if saved else None))

    def _wanted(self) -> bool:
        return self._signal() is not None

    def _is_interrupted(self) -> bool:
        return self._wanted() or again.is_wanted()

    def _end_epoch(self, epochs: int | None) -> None:
        """Tell that an epoch has ended, of `epochs` in all."""
        self._handler.end_epoch()
        done = self._driver.epoch + 1
        if epochs is not None and done % math.ceil(epochs / MOST_EPOCHS_SAID) and done != epochs:
            return
        self.drain()
        if self._stored.layout is None:  # before the first row
            self._stored = Metrics(self.folder.path)
        stored, first = self._stored, max(0, self._step - (self._driver.steps_per_epoch() or 1))
        mean = means_of_steps(stored, "loss", first, self._step, (), {})[0] if stored.layout is not None else None
        self._events.write("epoch", step=self._step, epoch=done, train_loss=mean)

    # --- exact, or why not ---

    def _tell_exact(self, frame: Any) -> None:
        """Find out whether a resumed run will end as one that was not interrupted, and say so in the log."""
        found = {**frame.f_globals, **frame.f_locals} if frame is not None else {}
        untracked = list(self._kept.untracked(found))
        reasons = list(self._driver.reasons)
        if untracked:
            names = ", ".join(untracked)
            reasons.append(_("not tracked: {names}; keep each with run.track(name=…)", names=names))
        if self._device.type != "cpu":
            reasons.append(_("on a GPU, sums may be rounded in another way"))
        if self._ranks is not None:
            reasons.append(_("{count} processes: the random numbers of the others are in no checkpoint",
                             count=self._ranks.size))  # fmt: skip
        self._told_exact = True
        self._write_exact(self._driver.kind, reasons)

    def _write_exact(self, driver: str, reasons: Sequence[str]) -> None:
        """Write whether the run is exact, and what people can't ask of it: a console does not offer that."""
        self._exact = {"driver": driver, "why_not": list(reasons), "refused": self._refused()}
        self._exact |= {"has_epochs": self.has_epochs, "library": self._driver.library}
        self._events.write("exact", step=self._step, **self._exact)
