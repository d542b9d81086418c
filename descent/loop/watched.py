"""A training loop of one's own as a run: its folder and its socket, a row for every step, commands between steps.

    run = descent.init("digits", config=vars(args))
    run.watch(model, optimizer)
    run.track(scheduler=scheduler)
    for inputs, targets in run.batches(loader, epochs=10):
        …
        optimizer.step()

A step is a call of the main optimizer's step(). Where `batches` or `steps` drive the loop, commands and checkpoints
come between two turns of it, when its body is through. Else they come just before the next update.
"""

import math
import os
import sys
import tomllib
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from descent.common.errors import DescentError
from descent.common.files import write_atomically, write_json
from descent.common.i18n import _, ngettext
from descent.common.signals import Signals
from descent.control import Queue, Server
from descent.loop import again, checkpoint
from descent.loop import device as devices
from descent.loop.actions import Actions, error_of_script, undone_by_an_error
from descent.loop.best import BestEvaluation
from descent.loop.checkpoint import CheckpointManager, State
from descent.loop.clock import Clock
from descent.loop.commands import CommandHandler, promise_again
from descent.loop.driver import Batch, Driver, doubts_about, generators_of, length_of
from descent.loop.edits import LiveEdits
from descent.loop.folder import facts_of_process, preset_text, start_of
from descent.loop.hooks import BackwardLosses, Rates
from descent.loop.kept import Kept
from descent.loop.project import changes
from descent.loop.ranks import Ranks, size_of_job
from descent.loop.rows import StepRows
from descent.loop.samples import SampleRecorder
from descent.loop.scalars import number, one_number
from descent.run.events import script_of, to_give_again
from descent.run.folder import Claim, RunFolder
from descent.run.means import means_of_steps
from descent.run.metrics import Metrics
from descent.run.result_metrics import is_free
from descent.run.scalars import check_name
from descent.run.state import State as RunState

MOST_EPOCHS_SAID = 100  # of more epochs every n-th is in the log
CHECKPOINT_SHARE = 50  # times as long as the last write took, until the next one


class Loop:
    """A run of somebody's own training loop. `descent.init` returns one."""

    def __init__(
        self, claim: Claim, name: str, *, keep: int, statistics_every: int | None, signals: Signals | None
    ) -> None:
        """name: what the run is called in lists. statistics_every: None to measure what statistics cost.

        signals: handlers of the system's signals, unless the process has its own.
        """
        self.folder: RunFolder = claim.folder
        self.name = name
        self._claim, self._events, self._pid = claim, claim.events, os.getpid()
        self._queue = Queue()
        self._server = Server(self.folder.path, self._queue)
        self._signals = signals
        measured = self.folder.facts() or (self.folder.origin() or {}).get("measured", {})
        every = statistics_every or measured.get("statistics_every")
        self._rows = StepRows(self.folder, every, self.warn, self._tell_nonfinite)
        self._rows.is_chosen = self._rows.is_chosen or (statistics_every is None and bool(measured.get("is_chosen")))
        self._keeper = CheckpointManager(self.folder, self._events, self._rows.flush, keep, CHECKPOINT_SHARE)
        self._samples = SampleRecorder(self.folder, self._events)
        self._kept, self._rates, self._driver = Kept(), Rates(), Driver()
        self._edits = LiveEdits(self._rates)
        self._actions = Actions()
        self._handler = CommandHandler(self, self._queue, self._events)
        self._evaluations: list[Callable[[], Mapping[str, Any]]] = []
        self._config: dict[str, Any] = {}
        self._best = BestEvaluation()
        self._model: nn.Module | None = None
        self._optimizers: list[torch.optim.Optimizer] = []
        self._others: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()  # they step, too, unwatched
        self._of_main: set[str] = set()  # keys that were changed, before another optimizer was met
        self._device = torch.device("cpu")
        self._saved: State | None = None  # the checkpoint that the run goes on from
        self._step = 0
        self._shapes: dict[str, tuple[int, ...]] = {}  # of weights and buffers, as of the first checkpoint
        self._began = self._over = self._through = False
        self._is_in_turn = self._save_wanted = False
        self._asked = False  # whether the script has asked at which step to begin
        self._went_back = self._told_exact = self._told_not_saved = False
        self._ranks: Ranks | None = None  # the other processes of this training, if it has several
        self._attended = -1  # the step after which commands were followed last
        self._exit = ExitStack()
        self.clock = Clock(self._device, 0.0)
        self._server.start()
        self._losses = BackwardLosses(self._hear, self._rows.see_gradients)

    # --- what a script uses ---

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def step(self) -> int:
        """The updates made so far.

        A script that asks for it before its first update, once it has called watch(), begins its loop there.
        """
        if self._model is not None and not self._began and not self._driver.library:
            self._asked = True
        return self._step

    @property
    def epoch(self) -> int:
        """The epochs of `batches` that are complete."""
        return self._driver.epoch

    @property
    def epoch_is_over(self) -> bool:
        """Whether this turn of `batches` has the last batch of its epoch."""
        if self._driver.kind != "batches":
            raise DescentError(_("epoch_is_over is known inside a loop over run.batches(loader, epochs)"))
        if self._driver.length is None:
            raise DescentError(
                _("epoch_is_over: this loader has no len(), so that its last batch is not known beforehand")
            )
        return self._driver.epoch_is_over

    def configure(self, config: Mapping[str, Any], best: Mapping[str, Any] | None = None) -> None:
        """Keep the script's own settings, for people and comparisons, and what the best model is chosen by."""
        self._config = dict(config)
        if best is not None:
            self._best = BestEvaluation(best)

    def watch(
        self,
        model: "nn.Module | Sequence[nn.Module]",
        optimizer: "torch.optim.Optimizer | Sequence[torch.optim.Optimizer]",
    ) -> "Loop":
        """Record every step of an optimizer, and follow commands between steps.

        model: of several, such as a generator and a discriminator, a list. optimizer: of several, the first one is
        the main one, whose updates are counted. The rate of all is steered.
        Raises DescentError if the run's checkpoint does not fit.
        """
        if isinstance(model, Sequence) and model and all(isinstance(one, nn.Module) for one in model):
            model = nn.ModuleList(model)
        optimizers = [optimizer] if not isinstance(optimizer, Sequence) else list(optimizer)
        optimizers = [getattr(one, "optimizer", one) for one in optimizers]  # without the wrapper of a library
        wrong = next((one for one in optimizers if not isinstance(one, torch.optim.Optimizer)), None)
        if wrong is not None or not optimizers or not isinstance(model, nn.Module):
            raise DescentError(
                _(
                    "watch(model, optimizer): needs a torch.nn.Module or a list of them, and a torch.optim.Optimizer "
                    "or a list of them, not {given}",
                    given=type(wrong if wrong is not None else model).__name__,
                )
            )
        if self._model is not None:
            raise DescentError(_("watch(): this run watches a model already; call descent.init for another run"))
        self.watch_steps(model, optimizers[0])
        self._optimizers = optimizers
        self._edits.know(optimizers)
        for one in optimizers:
            handles = one.register_step_pre_hook(self._before_hook), one.register_step_post_hook(self._after_hook)
            for handle in handles:
                self._exit.callback(handle.remove)
        self.track(model=model, optimizer=optimizers[0])
        self.track(**{f"optimizer{n}": one for n, one in enumerate(optimizers[1:], 2)})
        return self

    def watch_steps(self, model: nn.Module, optimizer: torch.optim.Optimizer, *, restores: bool = True) -> None:
        """Get ready for the steps of an optimizer, whose hooks somebody else has set.

        restores: whether what is tracked from now on is set to what the run's last checkpoint has of it.
        """
        self._model, self._optimizers = model, [optimizer]
        self._edits.know(self._optimizers)
        parameters = list(model.parameters())
        self._device = parameters[0].device if parameters else torch.device("cpu")
        self._rows.watch(model, self._device)
        if size_of_job() > 1 and self._ranks is None:
            self._ranks = Ranks()
        self._saved, self._step, seconds = self._find_place() if restores else (None, 0, 0.0)
        self.clock = Clock(self._device, seconds)
        text = preset_text(self._config, optimizer, self._best.by)
        if not self.folder.facts():
            if self._is_forked:
                self._tell_overruled(text)
            write_atomically(self.folder.preset, text.encode())

    def _find_place(self) -> tuple[State | None, int, float]:
        """Return the checkpoint that the run goes on from, its step and its seconds."""
        saved, step, seconds = None, 0, 0.0
        if self._driver.library:
            step, seconds = self._place_in_rows(self._driver.begins_at)
        else:
            saved, complaints = checkpoint.latest(self.folder)
            for complaint in complaints:
                self.warn(_("checkpoint {problem}", problem=complaint))
        if saved is not None:
            step, seconds = saved["step"], saved["seconds"]
        if self._ranks is not None:
            folder = str(self.folder.path.absolute())
            self._ranks.send({"folder": folder, "is_saved": saved is not None, "step": step})
        return saved, step, seconds

    def _place_in_rows(self, updates: int) -> tuple[int, float]:
        """Return the step and the seconds at which a run goes on whose library says how many updates it has made."""
        stored = Metrics(self.folder.path)
        step = min(updates, len(stored))
        if step < updates:
            self.warn(
                _(
                    "{library} goes on after {updates:,} updates, of which this run has {rows:,}; its steps are "
                    "counted from there",
                    library=self._driver.library,
                    updates=updates,
                    rows=step,
                )
            )
        return step, float(stored.column("time")[step - 1]) if step else 0.0

    def _tell_overruled(self, text: str) -> None:
        """Tell which numbers of the optimizer are the checkpoint's, where the fork's arguments would have others."""
        mine, theirs = (tomllib.loads(one)["optimizer"] for one in (text, self.folder.preset.read_text("utf-8")))
        parent = (self.folder.origin() or {})["run"]
        for key, value in mine.items():
            if key in ("name", "scheduled") or value == theirs.get(key, value):
                continue
            if key == "lr" and mine.get("scheduled"):
                self.warn(
                    _(
                        "the schedule goes on as in the checkpoint of {parent}, at the rate {kept:g}, whatever the "
                        "script's arguments say; lr_scale multiplies it: --set lr_scale={scale}",
                        parent=parent,
                        kept=theirs[key],
                        scale=0.1,
                    )
                )
            else:
                self.warn(
                    _(
                        "optimizer.{key}: the script has {given:g}; the checkpoint of {parent} has {kept:g}, which "
                        "stays; change it by --set",
                        key=key,
                        given=value,
                        kept=theirs[key],
                        parent=parent,
                    )
                )

    def track(self, **things: Any) -> "Loop":
        """Keep more in the checkpoints: a scheduler, a GradScaler, an average of the weights, a random generator.

        Anything that has state_dict() and load_state_dict(). Where the run goes on, each is restored at once.
        """
        for name, thing in things.items():
            self._kept.add(name, thing)
            if self._saved is not None and not self._began:
                self._kept.restore_one(name, self._saved["objects"], self._saved["step"])
        return self

    def steps(self, total: int) -> Iterator[int]:
        """Yield 0, 1, … for `total` turns of the loop. A resumed run goes on where its checkpoint stands."""
        if isinstance(total, bool) or not isinstance(total, int) or total < 1:
            raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key="steps", given=total))
        self._drive("steps", total)
        driver = self._driver
        while not driver.is_over:
            turn = driver.turn
            self._is_in_turn = True
            yield turn
            driver.turn = turn + 1
            self._between_turns()
        self._complete()

    def batches(self, loader: Iterable[Batch], epochs: int) -> Iterator[Batch]:
        """Yield the batches of all epochs. A resumed run skips those that it has seen of its epoch.

        A sampler's set_epoch is called before each epoch.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key="epochs", given=epochs))
        self._driver.length = length_of(loader)
        for name, generator in generators_of(loader).items():
            self.track(**{name: generator})
        self._drive("batches", epochs, doubts_about(loader))
        driver = self._driver
        while not driver.is_over:
            went_back = False
            for batch in driver.opened(loader, self._kept, self._device):
                driver.batch += 1
                self._is_in_turn = True
                yield batch
                went_back = self._between_turns()
                if went_back:
                    break
            if not went_back:
                driver.next_epoch()
        self._complete()

    def log(
        self,
        values: "Mapping[str, Tensor | float] | None" = None,
        /,
        *,
        loss: "Tensor | float | None" = None,
        accuracy: "Tensor | float | None" = None,
        **named: "Tensor | float",
    ) -> None:
        """Give the numbers of this step. Without it, the loss is the scalar that backward() was called on.

        accuracy: from 0 to 1; it must be given at the first step, if it is given at all. named: any others, in a
        mapping where a name is no word of Python; each at the steps that have it. No value is waited for.
        """
        if values is not None:
            self.log(**{check_name(name): value for name, value in values.items()})
        if loss is not None:
            self._rows.row.given_loss = _scalar("loss", loss, self._device)
        if accuracy is not None:
            self._rows.row.accuracy = _scalar("accuracy", accuracy, self._device)
        if named:
            self._rows.give(named)

    def evaluation(self, *, split: str = "validation", **values: "Tensor | float") -> None:
        """Keep the results of an evaluation of the model as it is now, under any names.

        loss, accuracy, balanced_accuracy, f1, r2 and rmse are shown in the charts and tables.
        """
        if split not in ("validation", "test"):
            raise DescentError(_("split = {given!r}: must be validation or test", given=split))
        numbers = self._write_evaluation(split, values)
        if split == "validation" and self._best.observe(numbers, self._step) and self._model is not None:
            self.save()

    def sample(self, name: str, given: Any) -> None:
        """Keep small images or texts of the model as it is now, to be looked at in the console.

        given: (N, C, H, W) or (N, H, W) of numbers, 0 to 255 in uint8 and else 0 to 1, or a text, or a list of
        texts. Of each name the first, the latest and some between stay.
        """
        self._samples.put(name, given, self._step)

    def on_evaluate(self, function: Callable[[], Mapping[str, Any]]) -> Callable[[], Mapping[str, Any]]:
        """Let `descent evaluate` and the console's key call a function, which returns numbers by name.

        It sees the model as it is between two steps. What it draws from the global random generators, and whether it
        leaves the model in evaluation mode, does not change the training.
        """
        self._evaluations.append(function)
        return function

    def setting(
        self,
        name: str,
        get: Callable[[], Any],
        set: Callable[[Any], object],  # noqa: A002 - the word that `descent set` has
        *,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> None:
        """Declare a setting that `descent set RUN NAME=VALUE` can change between two steps.

        Its type is that of its value now: a bool, a whole number, a number or a text.
        """
        self._edits.declare(name, get, set, minimum, maximum)
        if self._saved is not None and not self._began:
            self._edits.restore_one(name, self._saved)

    def action(self, name: str, function: Callable[[], object]) -> None:
        """Let `descent action RUN NAME` call a function between two steps. It may change the training.

        If it raises an error, that is the answer, and all that is tracked is as it was before.
        """
        self._actions.declare(name, function)

    def finish(self) -> None:
        """End the run. The end of the process does the same."""
        self.end("finished" if self._through or not self._driver.kind else "stopped")

    # --- what the callback of a library uses, which drives the loop ---

    def lead(self, library: str, *, after: int, total_steps: int | None, steps_per_epoch: int | None) -> None:
        """Let a library, such as "Lightning", say where the loop is. Call it before watch().

        after: the updates that were made before, by the library's own checkpoint, which it has restored itself.
        """
        self._driver = Driver(library=library, begins_at=after, total=total_steps, length=steps_per_epoch)

    def between_steps(self) -> bool:
        """Follow commands, once an update is through. Returns whether the run has been stopped, and is over."""
        if not self._over and os.getpid() == self._pid and self._began and self._step != self._attended:
            self._rows.finish(self._step)
            self._attended = self._step
            self._attend()
        return self._over

    def end_epoch(self, done: int, epochs: int | None) -> bool:
        """Keep that the epoch `done`, counted from 1, has ended, of `epochs` in all.

        Returns whether the run has been stopped, and is over.
        """
        if self._over or not self._began:
            return self._over
        self._rows.finish(self._step)
        self._driver.epoch = done - 1
        self._end_epoch(epochs)
        self._driver.epoch = done
        self._attended = -1
        return self.between_steps()

    # --- a loop begins ---

    def _drive(self, driver: str, total: int, reasons: Sequence[str] = ()) -> None:
        if self._driver.kind:
            raise DescentError(
                _("run.{driver}(): a run has one loop that drives it; give run.batches all epochs", driver=driver)
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
        self._begin()
        if self._is_forked and self._driver.is_over:
            self.warn(_("the loop ends where this fork begins, so nothing is left to train; let it be longer"))
        self._between_turns(first=True)

    def _change_as_forked(self) -> None:
        """Make the changes that the fork was asked for. Its first checkpoint is to have them."""
        edits = (self.folder.origin() or {}).get("edits")
        if edits:
            self.edit(edits)
            self._events.write("command", step=self._step, command="set", arguments={"edits": edits}, replayed=True)

    @property
    def _is_forked(self) -> bool:
        """Whether the run goes on from a checkpoint of its parent."""
        return self._saved is not None and self._saved["run"] != self.id

    def _begin(self) -> None:
        """Write and tell that the run trains from its step on."""
        assert self._model is not None
        self._began = True
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
            self._tell_changes()
        self._handler = CommandHandler(self, self._queue, self._events, script_of(self.folder.path), lost)
        self._exit.enter_context(self.clock.running())
        self._events.state("running", step=self._step)
        if not self._driver.kind:
            why = self._driver.why_not_resumed()
            if self._asked:
                why = _("this loop goes on from run.step, without its random numbers and batches")
            self._events.write("exact", step=self._step, driver="script" if self._asked else "", why_not=[why])
        if self._rows.every is not None:
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

    def _tell_changes(self) -> None:
        """Tell what of the script has changed since the run began, which goes on with it."""
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
        if optimizer is self._optimizers[0]:
            self._rows.before_update(self._step)

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """The weights are new."""
        if self._over or os.getpid() != self._pid:
            return
        rate = self._rates.after_step(optimizer)
        row = self._rows.row
        if optimizer is not self._optimizers[0]:
            row.heard = []  # the losses of another optimizer, such as a discriminator's
            if len(self._optimizers) == 1 and optimizer not in self._others:
                self._others.add(optimizer)
                self._tell_of_others()
            return
        self._rows.after_update(rate)
        self._step += 1
        row.seconds = self.clock.seconds()
        self.clock.end_first_step()
        if self._rows.choose_cadence():
            self._write_facts()
        if not self._driver.kind:
            self._rows.watch_forward(self._step)

    def _hear(self, loss: Tensor) -> None:
        if not self._over and os.getpid() == self._pid:
            self._rows.row.heard.append(loss)

    def drain(self) -> None:
        """Write the rows of all steps so far into the file."""
        self._rows.drain()

    def _tell_nonfinite(self, step: int) -> None:
        saved = [at for at in self._keeper.steps() if at <= step]
        self._events.write("anomaly", step=step, what="loss", checkpoint=saved[-1] if saved else None)

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
                self._tell_exact(sys._getframe(2))
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
        number = self._take_commands()
        if self._handler.stop in ("now", "discard"):
            receipt = self.save() if self._handler.stop == "now" else None
            self.end("stopped", receipt=receipt)
            if self._driver.library:
                return  # its callback ends it
            raise SystemExit(0)
        if number is not None:
            receipt = self.save()
            self.end("stopped", receipt=receipt)
            raise SystemExit(128 + number)
        if again.is_wanted():
            self.end("starting")
            raise SystemExit(0)

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
        stored = Metrics(self.folder.path)
        first = max(0, self._step - (self._driver.steps_per_epoch() or 1))
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
        self._events.write("exact", step=self._step, driver=self._driver.kind, why_not=reasons)

    # --- what the handler of commands asks for ---

    @property
    def is_watching(self) -> bool:
        return self._model is not None

    @property
    def is_over(self) -> bool:
        return self._over

    @property
    def has_epochs(self) -> bool:
        return self._driver.has_epochs

    def warn(self, message: str) -> None:
        """Tell of something that a person should know, in the log and on stderr."""
        self._events.write("warning", message=message)
        print(f"descent: {message}", file=sys.stderr)

    def accept_trouble(self) -> None:
        """Go on: a loop of one's own is not held up by numbers that are not finite."""

    def edit(self, texts: list[str]) -> dict[str, Any]:
        """Change live settings by "key=value" texts: all of them, or none. Returns the values now in force."""
        taken = self._edits.take(texts)
        self._of_main |= taken.keys() & {"optimizer.lr", "optimizer.weight_decay"}
        self._tell_of_others()
        return taken

    def _tell_of_others(self) -> None:
        """Tell which changes of the main optimizer have not reached those that nobody watches."""
        while self._others and self._of_main:
            key = self._of_main.pop()
            self.warn(
                _(
                    "{key}: only the {optimizer} that stepped first has the new value; lr_scale reaches all "
                    "optimizers, and run.watch(model, [first, second]) gives each a key of its own: {second}",
                    key=key,
                    optimizer=type(self._optimizers[0]).__name__,
                    second=key.replace("optimizer", "optimizer2"),
                )
            )

    def extend(self, **more: int) -> int:
        """Train for more epochs, or more steps. Returns the new last step."""
        before = self._driver.more
        self._driver.extend(**more)
        total = self._driver.total_steps()
        short = None if total is None else self._kept.shortest(self._step, total)
        if short is not None:
            self._driver.more = before
            raise DescentError(
                _(
                    "{name}: this scheduler ends with an error after {most:,} steps, and so would the run; begin one "
                    "that is longer",
                    name=short[0],
                    most=short[1],
                )
            )
        self._events.write("length", step=self._step, total_steps=total)
        return self._step if total is None else total

    def look(self) -> dict[str, float]:
        """Evaluate for a client, by the script's own functions. The training goes on as if it had not been done."""
        if not self._evaluations:
            raise DescentError(_("this script has no function to evaluate with: run.on_evaluate(function)"))
        assert self._model is not None
        modes = [(module, module.training) for module in self._model.modules()]
        found: dict[str, Any] = {}
        with self.clock.stopped(), checkpoint.undisturbed(self._device):
            try:
                for function in self._evaluations:
                    found |= function()
            except Exception as error:
                raise error_of_script(error) from None
            finally:
                for module, mode in modes:
                    module.training = mode
        return {f"val_{name}": value for name, value in self._write_evaluation("validation", found).items()}

    def _write_evaluation(self, split: str, values: Mapping[str, Any]) -> dict[str, float]:
        numbers = {}
        for name, value in values.items():
            if not is_free(check_name(name)):
                raise DescentError(_("{name}: this name can't be a metric's; take another one", name=name))
            numbers[name] = number(name, value)
        self.drain()
        self._events.write("evaluation", step=self._step, split=split, member=0, **numbers)
        return numbers

    def act(self, name: object) -> None:
        """Call a function that the script has declared for this."""
        function = self._actions.find(name)
        assert self._model is not None
        with self.clock.stopped(), undone_by_an_error(self._kept, self._model, self._device):
            function()

    def picture(self, kind: str, options: dict[str, Any]) -> Path:
        """Pictures are of Descent's own models and data."""
        raise DescentError(_("pictures are drawn of presets; this run is a loop of one's own"))

    # --- checkpoints ---

    def save(self, *, wanted: bool = False) -> Path | None:
        """Write a checkpoint of all that is tracked, and return its file.

        In the body of a loop that `steps` or `batches` drive, it is written when the turn is through and its update
        is made; then None is returned. None too, unsaved, if a weight is not finite.
        wanted: a person asked for it, so it is kept beside the latest ones.
        Raises DescentError if the model has other weights than at the first checkpoint.
        """
        assert self._model is not None
        if self._is_in_turn:
            self._save_wanted = True
            return None
        self._save_wanted = False
        with self.clock.stopped():
            self._rows.flush()
            weights = self._model.state_dict()
            self._refuse_new_weights(checkpoint.shapes(weights))
            if checkpoint.not_finite(weights):
                if not self._told_not_saved:
                    self._told_not_saved = True
                    self.warn(_("step {step:,} was not saved: a weight is not finite", step=self._step))
                return None
            return self._keeper.save(self._capture(), wanted=wanted)

    def _refuse_new_weights(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Raise DescentError for a weight or a buffer that has come, gone or changed its shape in training."""
        known = self._shapes = self._shapes or shapes
        changed = next((name for name in [*shapes, *known] if shapes.get(name) != known.get(name)), None)
        if changed is None:
            return
        raise DescentError(
            _(
                "the model is another one than at the beginning: {weight} has the shape {given} at step {step:,}, "
                "and had {wanted}. Nothing could go on from a checkpoint of it, so none is written. Make all weights "
                "and buffers before run.watch(model, …); to train a larger model, begin another run with it",
                weight=changed,
                given=shapes.get(changed) or (_("none") if changed not in shapes else "()"),
                step=self._step,
                wanted=known.get(changed) or (_("none") if changed not in known else "()"),
            )
        )

    def _capture(self) -> State:
        loop = self._driver.state()
        return {
            "run": self.id,
            "step": self._step,
            "seconds": self.clock.seconds(),
            "objects": self._kept.states(),
            "random": self._kept.randomness(self._device),
            "loop": loop,
            **self._edits.state(),
            "epoch": 0 if loop is None else loop["epoch"],
            "metrics": {},
            "best": self._best.state(),
            "log": self._events.size(),
        }

    def _restore(self, state: State) -> None:
        """Go to a checkpoint. Raises DescentError if it does not fit; then nothing has changed."""
        self._kept.restore(state["objects"], state["step"])
        self._restore_random(state)
        self._driver.restore(state["loop"])
        self._best.restore(state["best"])
        self._step = state["step"]
        self._edits.restore(state)
        self.clock.set(state["seconds"])
        self._rows.begin_anew()
        self._samples.forget()

    def _restore_random(self, state: State) -> None:
        self._kept.restore_randomness(state["random"], self._device)

    def rewind(self, to: object) -> int:
        """Go back to the checkpoint of step `to`, or by default to the last one before this step."""
        if not self._driver.kind and (not self._asked or self._ranks is not None):
            raise DescentError(self._driver.why_no_rewind())
        if self._ranks is not None:
            raise DescentError(
                ngettext(
                    "the other process of this training can't go back with it: its random numbers are in no "
                    "checkpoint; start it again with this id",
                    "the other {count} processes of this training can't go back with it: their random numbers are in "
                    "no checkpoint; start it again with this id",
                    self._ranks.size - 1,
                )
            )
        at, state = self._keeper.to_go_back_to(to, self._step)
        self._rows.flush()
        if self._driver.kind:
            self._restore(state)
        else:
            again.want(self.folder, is_paused=self._handler.paused)
            self._step = at
        self._keeper.forget_beyond(at)
        self._events.write("rewound", to=at, log=state["log"])
        self._went_back, self._attended = True, at
        return at

    # --- facts, and the end ---

    def _write_facts(self) -> None:
        """Write run.json, once."""
        if self.folder.facts():
            return
        assert self._model is not None
        total, per_epoch = self._driver.total_steps(), self._driver.steps_per_epoch()
        facts = facts_of_process(self.name) | {
            "device": str(self._device),
            "device_name": devices.name(self._device),
            "threads": torch.get_num_threads(),
            "statistics_every": self._rows.every or 1,
            "is_chosen": self._rows.is_chosen,
            "samples": {"validation": 0} if self._evaluations else {},
            "settings": self._edits.declared(),
            "actions": self._actions.names(),
            "parameters": sum(parameter.numel() for parameter in self._model.parameters()),
            **({} if total is None else {"total_steps": total}),
            **({} if per_epoch is None else {"steps_per_epoch": per_epoch}),
        }
        write_json(self.folder.path / "run.json", facts)

    def end(self, state: RunState, *, reason: str | None = None, receipt: Path | None = None) -> None:
        """Write what is left and release the run. Called again it does nothing."""
        if self._over or os.getpid() != self._pid:
            return
        try:
            if self._began:
                self._rows.end(self._step)
                if self.folder.facts() == {}:
                    self._write_facts()
                if self._save_wanted and state != "failed":  # the script has left its loop in the body of a turn
                    self._is_in_turn = False
                    self.save()
            self._rows.flush()
        finally:
            self._over = True
            self._losses.end()
            self._exit.close()
            self._rows.close()
            saved = self._keeper.steps()
            last = receipt or (self.folder.checkpoint(saved[-1]) if saved else None)
            self._handler.say_stopped(None if last is None else str(last))
            self._tell_best(saved)
            self._events.state(state, **({} if reason is None else {"reason": reason}))
            self._server.stop()
            self._claim.release()
            if self._signals is not None:
                self._signals.give_back()

    def _tell_best(self, saved: Sequence[int]) -> None:
        """Write which checkpoint is of the best evaluation. saved: the steps of those that there are."""
        if self._best.is_missed and self._began:
            names = {"metric": (self._best.by or {})["metric"]}
            self.warn(
                _("best: no evaluation on the validation split had a {metric}, so no model is the best", **names)
            )
        elif self._best.step in saved:
            self._events.write("best", step=self._step, steps=[self._best.step])

    def leave(self) -> None:
        """In a process that was forked from this one: nothing here is its own."""
        self._over = True
        if self._signals is not None:
            self._signals.give_back()


def _scalar(name: str, value: "Tensor | float", device: torch.device) -> Tensor:
    return one_number(name, value) if isinstance(value, Tensor) else torch.tensor(number(name, value), device=device)
