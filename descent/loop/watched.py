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
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from descent.common import settings
from descent.common.arrays import Rows, Seconds
from descent.common.errors import DescentError
from descent.common.files import write_atomically, write_json
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.common.text import clean, did_you_mean, shorten
from descent.control import Queue, Server
from descent.loop import checkpoint, layers
from descent.loop.checkpoint import CheckpointManager, State
from descent.loop.clock import Clock
from descent.loop.commands import CommandHandler
from descent.loop.folder import facts_of_process, preset_text
from descent.loop.hooks import BackwardLosses, Rates, places_of
from descent.loop.kept import Kept
from descent.loop.layer_statistics import LayerStatistics
from descent.loop.recorder import Recorder
from descent.run.events import to_give_again
from descent.run.folder import Claim, RunFolder
from descent.run.live_settings import latest
from descent.run.means import means_of_steps
from descent.run.metrics import Layout, Metrics, MetricsWriter
from descent.run.schema import EVENT, Kind
from descent.run.state import State as RunState

Batch = TypeVar("Batch")
NOT_MEASURED = float("nan")
LOOP_KEYS = ("lr_scale", "optimizer.lr", "optimizer.weight_decay")  # that every loop's optimizer has
MOST_EPOCHS_SAID = 100  # of more epochs every n-th is in the log
MEASURED_FIRST = 4  # steps with statistics, to know what they cost
STATISTICS_SHARE = 0.02  # of a step's time at most
NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
CHECKPOINT_SHARE = 50  # times as long as the last write took, until the next one
_END = object()


@dataclass
class Place:
    """Where a driven loop is: turns made by `steps`, or epochs and batches of the epoch seen by `batches`.

    begun: the random generators as they were when this epoch's batches were begun.
    """

    turn: int = 0
    epoch: int = 0
    batch: int = 0
    begun: State | None = None
    more: int = 0  # turns or epochs that a command has added


@dataclass(frozen=True)
class Setting:
    """A setting that the script has declared, with its limits."""

    get: Callable[[], Any]
    set: Callable[[Any], object]
    kind: type
    minimum: float | None
    maximum: float | None


class Loop:
    """A run of somebody's own training loop. `descent.init` returns one."""

    def __init__(self, claim: Claim, name: str, *, keep: int, statistics_every: int | None) -> None:
        """name: what the run is called in lists. statistics_every: None to measure what statistics cost."""
        self.folder: RunFolder = claim.folder
        self.name = name
        self._claim, self._events, self._pid = claim, claim.events, os.getpid()
        self._queue = Queue()
        self._server = Server(self.folder.path, self._queue)
        self._signals = _signals()
        self._every = statistics_every or self.folder.facts().get("statistics_every")
        self._keeper = CheckpointManager(self.folder, self._events, self._flush, keep, CHECKPOINT_SHARE)
        self._kept, self._rates, self._place = Kept(), Rates(), Place()
        self._handler = CommandHandler(self, self._queue, self._events)
        self._settings: dict[str, Setting] = {}
        self._edits: list[str] = []
        self._evaluations: list[Callable[[], Mapping[str, Any]]] = []
        self._config: dict[str, Any] = {}
        self._model: nn.Module | None = None
        self._optimizers: list[torch.optim.Optimizer] = []
        self._statistics: LayerStatistics | None = None
        self._watching = ExitStack()
        self._layers: list[tuple[str, nn.Module]] = []
        self._layout: Layout | None = None
        self._recorder: Recorder | None = None
        self._writer: MetricsWriter | None = None
        self._device = torch.device("cpu")
        self._saved: State | None = None  # the checkpoint that the run goes on from
        self._step = 0
        self._driver = ""  # "steps" or "batches"
        self._total: int | None = None  # turns, or epochs, as the script gave them
        self._length: int | None = None  # batches of an epoch
        self._turns_a_step = 1
        self._turns_since = 0
        self._began = self._over = self._through = False
        self._went_back = False
        self._attended = -1
        self._reasons: list[str] = []
        self._inexact: tuple[str, ...] | None = None
        self._row = _Row()
        self._costs: list[tuple[float, float]] = []  # of the first steps: what statistics cost, and the rest
        self._ended_at: float | None = None
        self._measures = False
        self._told_nonfinite = self._told_no_loss = self._told_not_saved = False
        self._epoch_began = 0
        self._exit = ExitStack()
        self.clock = Clock(self._device, 0.0)
        self._server.start()
        self._losses = BackwardLosses(self._hear)

    # --- what a script uses ---

    @property
    def id(self) -> str:
        return self.folder.id

    @property
    def step(self) -> int:
        """The updates made so far."""
        return self._step

    @property
    def epoch(self) -> int:
        """The epochs of `batches` that are complete."""
        return self._place.epoch

    @property
    def epoch_is_over(self) -> bool:
        """Whether this turn of `batches` has the last batch of its epoch."""
        if self._driver != "batches":
            raise DescentError(_("epoch_is_over is known inside a loop over run.batches(loader, epochs)"))
        if self._length is None:
            raise DescentError(
                _("epoch_is_over: this loader has no len(), so that its last batch is not known beforehand")
            )
        return self._place.batch == self._length

    def configure(self, config: Mapping[str, Any]) -> None:
        """Keep the script's own settings, for people and comparisons."""
        self._config = dict(config)

    def watch(self, model: nn.Module, optimizer: "torch.optim.Optimizer | Sequence[torch.optim.Optimizer]") -> "Loop":
        """Record every step of an optimizer, and follow commands between steps.

        optimizer: of several, the first one is the main one, whose updates are counted. The rate of all is steered.
        Raises DescentError if the run's checkpoint does not fit.
        """
        optimizers = [optimizer] if not isinstance(optimizer, Sequence) else list(optimizer)
        optimizers = [getattr(one, "optimizer", one) for one in optimizers]  # without the wrapper of a library
        wrong = next((one for one in optimizers if not isinstance(one, torch.optim.Optimizer)), None)
        if wrong is not None or not optimizers or not isinstance(model, nn.Module):
            raise DescentError(
                _(
                    "watch(model, optimizer): needs a torch.nn.Module and a torch.optim.Optimizer or a list of them, "
                    "not {given}",
                    given=type(wrong if wrong is not None else model).__name__,
                )
            )
        if self._model is not None:
            raise DescentError(_("watch(): this run watches a model already; call descent.init for another run"))
        self.watch_steps(model, optimizers[0])
        self._optimizers = optimizers
        for one in optimizers:
            handles = one.register_step_pre_hook(self._before_hook), one.register_step_post_hook(self._after_hook)
            for handle in handles:
                self._exit.callback(handle.remove)
        self.track(model=model, optimizer=optimizers[0])
        self.track(**{f"optimizer{n}": one for n, one in enumerate(optimizers[1:], 2)})
        return self

    def watch_steps(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Get ready for the steps of an optimizer, whose hooks somebody else has set."""
        self._model, self._optimizers = model, [optimizer]
        parameters = list(model.parameters())
        self._device = parameters[0].device if parameters else torch.device("cpu")
        seconds = 0.0
        inner = getattr(model, "_orig_mod", model)  # of torch.compile
        self._layers = layers.layers(inner)
        if self._layers and len(places_of(parameters)) == 1 and not any(hasattr(p, "placements") for p in parameters):
            self._statistics = LayerStatistics(inner, self._layers)
        else:
            self._layers = []
        self._saved, complaints = checkpoint.latest(self.folder)
        for complaint in complaints:
            self.warn(_("checkpoint {problem}", problem=complaint))
        if self._saved is not None:
            self._step, seconds = self._saved["step"], self._saved["seconds"]
        self.clock = Clock(self._device, seconds)
        text = preset_text(self._config, optimizer)
        if not self.folder.facts():
            write_atomically(self.folder.preset, text.encode())

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
        place = self._place
        while place.turn < total + place.more:
            turn = place.turn
            yield turn
            place.turn = turn + 1
            self._between_turns()
        self._complete()

    def batches(self, loader: Iterable[Batch], epochs: int) -> Iterator[Batch]:
        """Yield the batches of all epochs. A resumed run skips those that it has seen of its epoch.

        A sampler's set_epoch is called before each epoch.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key="epochs", given=epochs))
        self._length = _length(loader)
        for name, generator in _generators_of(loader).items():
            self.track(**{name: generator})
        self._drive("batches", epochs, _reasons(loader))
        place = self._place
        while place.epoch < epochs + place.more:
            source = self._opened(loader)
            went_back = False
            for batch in source:
                place.batch += 1
                yield batch
                went_back = self._between_turns()
                if went_back:
                    break
            if not went_back:
                place.epoch, place.batch, place.begun = place.epoch + 1, 0, None
        self._complete()

    def _opened(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Return the batches that are left of the epoch, by the same random numbers as when it was begun."""
        place = self._place
        set_epoch = getattr(getattr(loader, "sampler", None), "set_epoch", None)
        if callable(set_epoch):
            set_epoch(place.epoch)
        if not place.batch or place.begun is None:
            place.begun = checkpoint.copied(self._kept.randomness(self._device))
            return iter(loader)
        now = checkpoint.copied(self._kept.randomness(self._device))
        self._kept.restore_randomness(place.begun, self._device)
        source = iter(loader)
        for _batch in range(place.batch):
            next(source)
        self._kept.restore_randomness(now, self._device)
        return source

    def log(self, *, loss: "Tensor | float | None" = None, accuracy: "Tensor | float | None" = None) -> None:
        """Give the numbers of this step. Without it, the loss is the scalar that backward() was called on.

        accuracy: from 0 to 1; it must be given at the first step, if it is given at all.
        """
        if loss is not None:
            self._row.given_loss = _scalar("loss", loss, self._device)
        if accuracy is not None:
            self._row.accuracy = _scalar("accuracy", accuracy, self._device)

    def evaluation(self, *, split: str = "validation", **values: "Tensor | float") -> None:
        """Keep the results of an evaluation of the model as it is now, under any names.

        loss, accuracy, balanced_accuracy, f1, r2 and rmse are shown in the charts and tables.
        """
        if split not in ("validation", "test"):
            raise DescentError(_("split = {given!r}: must be validation or test", given=split))
        self._write_evaluation(split, values)

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
        kind = type(get())
        if kind not in (bool, int, float, str):
            raise DescentError(
                _(
                    "setting {name}: its value is a {kind}; it must be a bool, an int, a float or a str",
                    name=name,
                    kind=kind.__name__,
                )
            )
        if not all(part.isidentifier() for part in name.split(".")) or name in (*LOOP_KEYS, "member"):
            raise DescentError(_("setting {name}: this name can't be used; take another one", name=name))
        self._settings[name] = Setting(get, set, kind, minimum, maximum)
        if self._saved is not None and name in self._saved["settings"] and not self._began:
            set(self._saved["settings"][name])

    def finish(self) -> None:
        """End the run. The end of the process does the same."""
        self.end("finished" if self._through or not self._driver else "stopped")

    # --- a loop begins ---

    def _drive(self, driver: str, total: int, reasons: Sequence[str] = ()) -> None:
        if self._driver:
            raise DescentError(
                _("run.{driver}(): a run has one loop that drives it; give run.batches all epochs", driver=driver)
            )
        if self._model is None:
            raise DescentError(_("run.{driver}(): call run.watch(model, optimizer) first", driver=driver))
        if self._began:
            raise DescentError(
                _("run.{driver}(): the optimizer has made steps before this loop; begin it first", driver=driver)
            )
        self._driver, self._total, self._reasons = driver, total, list(reasons)
        if self._saved is not None:
            if self._saved["loop"] is None or self._saved["loop"]["driver"] != driver:
                raise DescentError(
                    _("{run}: its checkpoint is of another loop than run.{driver}", run=self.id, driver=driver)
                )
            self._restore(self._saved)
        self._begin()
        if self._saved is None:
            self.save()
        self._between_turns(first=True)

    def _begin(self) -> None:
        """Write and tell that the run trains from its step on."""
        assert self._model is not None
        self._began = True
        again: Sequence[dict[str, Any]] = ()
        if self._saved is not None or len(Metrics(self.folder.path)):
            goes_on = bool(self._driver)
            log = self._saved["log"] if self._saved is not None and goes_on else 0
            if not goes_on:
                self._step = 0
                self.clock.set(0.0)
                self.warn(
                    _("nothing drives this loop, so it begins anew; run.batches or run.steps would let it go on")
                )
            again = to_give_again(self.folder.path, log) if goes_on else ()
            self._events.write("resumed", to=self._step, log=log)
        self._handler = CommandHandler(self, self._queue, self._events, (), again)
        self._exit.enter_context(self.clock.running())
        self._events.state("running", step=self._step)
        if self._every is not None:
            self._write_facts()

    def _complete(self) -> None:
        """The driven loop is through: all its rows and its last checkpoint are on the disk."""
        self._finish_row()
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
            self._finish_row()
            if not self._driver:
                self._attend()
        self._rates.before_step(optimizer)
        if optimizer is not self._optimizers[0]:
            return
        self._row.losses, self._row.heard = self._row.heard, []
        self._measures = self._statistics is not None and self._is_measured(self._step)
        if self._measures and self._statistics is not None:
            began = time.perf_counter()
            self._statistics.before_update()
            self._row.cost = time.perf_counter() - began

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """The weights are new."""
        if self._over or os.getpid() != self._pid:
            return
        rate = self._rates.after_step(optimizer)
        if optimizer is not self._optimizers[0]:
            self._row.heard = []  # the losses of another optimizer, such as a discriminator's
            return
        row = self._row
        row.rate = rate
        row.losses = row.losses or row.heard[:1]  # a closure calls backward inside the step, and may do it again
        row.heard = []
        row.is_made = True
        if self._measures and self._statistics is not None:
            began = time.perf_counter()
            self._watching.close()
            row.layers = self._statistics.row()
            row.cost += time.perf_counter() - began
        self._step += 1
        row.seconds = self.clock.seconds()
        self.clock.end_first_step()
        self._choose_cadence()
        if self._statistics is not None and self._is_measured(self._step):
            self._watching = ExitStack()
            self._watching.enter_context(self._statistics.watch())

    def _hear(self, loss: Tensor) -> None:
        if not self._over and os.getpid() == self._pid:
            self._row.heard.append(loss)

    def _is_measured(self, step: int) -> bool:
        return self._every is None or step % self._every == 0

    def _choose_cadence(self) -> None:
        """After the first steps, choose how often statistics are taken. What a run has chosen it keeps."""
        now, before = time.perf_counter(), self._ended_at
        self._ended_at = now
        if self._every is not None or before is None:
            return
        self._costs.append((self._row.cost, max(1e-9, now - before - self._row.cost)))
        if len(self._costs) == MEASURED_FIRST:
            self._settle_cadence()

    def _settle_cadence(self) -> None:
        costs, steps = (sorted(values)[len(values) // 2] for values in zip(*self._costs, strict=True))
        wanted = math.ceil(costs / (STATISTICS_SHARE * steps))
        self._every = next((n for n in NICE if n >= wanted), NICE[-1])
        self._write_facts()

    # --- rows ---

    def _finish_row(self) -> None:
        """Record the step that was made, once the body of the loop is through with it."""
        row = self._row
        if not row.is_made:
            return
        self._row = _Row(heard=row.heard)
        recorder = self._recorder or self._open_rows(accuracy=row.accuracy is not None)
        loss = row.loss(self._device)
        if loss is None:
            if not self._told_no_loss:
                self._told_no_loss = True
                self.warn(_("no loss was seen; give it with run.log(loss=loss)"))
            loss = torch.tensor(NOT_MEASURED, device=self._device)
        if row.layers is not None:
            norm = row.layers[:, 0].square().sum().sqrt()
            recorder.norms(norm, norm)
            recorder.layers(row.layers)
        assert self._layout is not None
        recorder.record(loss, row.accuracy if "accuracy" in self._layout.columns else None, row.rate, row.seconds)

    def _open_rows(self, *, accuracy: bool) -> Recorder:
        """Begin to write rows from the current row on."""
        if self._layout is None:
            found = tuple({"name": name, "kind": layers.describe(module)} for name, module in self._layers)
            member = {"member": 0, "seed": 0, "values": {}}
            layout = Layout.of(accuracy=accuracy, members=(member,), layers=found)
            stored = Layout.load(self.folder.path)
            if stored is None:
                layout.save(self.folder.path)
            elif [c for c in stored.columns if c != "accuracy"] != [c for c in layout.columns if c != "accuracy"]:
                raise DescentError(
                    _("{run}: its rows are of another model; begin a new run under another id", run=self.id)
                )
            self._layout = stored or layout
        first = self._step - 1  # the row that is about to be recorded is of the step just made
        self._writer = MetricsWriter(self.folder.path, first)
        self._recorder = Recorder(self._writer, self._layout, self._device, first, self._look_at)
        return self._recorder

    def _look_at(self, first: int, rows: Rows, seconds: Seconds) -> None:
        """Tell of the first number that is not finite in the rows that have come to the host."""
        bad = ~np.isfinite(rows[:, 0, 0])
        if bad.any() and not (self._told_nonfinite or self._told_no_loss):
            self._told_nonfinite = True
            step = first + int(np.argmax(bad))
            saved = [at for at in self._keeper.steps() if at <= step]
            self._events.write("anomaly", step=step, what="loss", checkpoint=saved[-1] if saved else None)

    def drain(self) -> None:
        """Write the rows of all steps so far into the file."""
        if self._recorder is not None:
            self._recorder.drain()
            self._recorder.drain()

    def _flush(self) -> None:
        if self._recorder is not None:
            self._recorder.flush()

    # --- between two steps ---

    def _between_turns(self, *, first: bool = False) -> bool:
        """Follow commands and save, when the body of a driven loop is through. Returns whether the run went back."""
        place = self._place
        if not first:
            self._turns_since += 1
        is_end = self._driver == "batches" and place.batch == self._length and not first
        if self._row.is_made:
            self._turns_a_step, self._turns_since = self._turns_since, 0
            self._finish_row()
            if self._inexact is None:
                self._tell_exact(sys._getframe(2))
        if is_end:
            self._end_epoch()
        self._went_back = False
        if self._step != self._attended or first:
            self._attended = self._step
            self._attend()
        if not self._went_back and not first and self._row.is_clear and self._keeper.rested():
            self.save()
        return self._went_back

    def _attend(self) -> None:
        self._handler.attend(self._wanted)
        if self._handler.stop in ("now", "discard"):
            receipt = self.save() if self._handler.stop == "now" else None
            self.end("stopped", receipt=receipt)
            raise SystemExit(0)
        if self._wanted():
            assert self._signals is not None
            number = self._signals.received or 0
            receipt = self.save()
            self.end("stopped", receipt=receipt)
            raise SystemExit(128 + number)

    def _wanted(self) -> bool:
        return self._signals is not None and self._signals.wanted()

    def _end_epoch(self) -> None:
        self._handler.end_epoch()
        assert self._total is not None
        done, epochs = self._place.epoch + 1, self._total + self._place.more
        if done % math.ceil(epochs / MOST_EPOCHS_SAID) and done != epochs:
            return
        self.drain()
        stored = Metrics(self.folder.path)
        per_epoch = max(1, (self._length or 1) // self._turns_a_step)
        first = max(0, self._step - per_epoch)
        mean = means_of_steps(stored, "loss", first, self._step, (), {})[0] if stored.layout is not None else None
        self._events.write("epoch", step=self._step, epoch=done, train_loss=mean)

    # --- exact, or why not ---

    def _tell_exact(self, frame: Any) -> None:
        """Find out whether a resumed run will end as one that was not interrupted, and say so in the log."""
        found = {**frame.f_globals, **frame.f_locals} if frame is not None else {}
        untracked = list(self._kept.untracked(found))
        reasons = list(self._reasons)
        if untracked:
            names = ", ".join(untracked)
            reasons.append(_("not tracked: {names}; keep each with run.track(name=…)", names=names))
        if self._device.type != "cpu":
            reasons.append(_("on a GPU, sums may be rounded in another way"))
        self._inexact = tuple(reasons)
        self._events.write("exact", step=self._step, driver=self._driver, why_not=reasons)

    # --- what the handler of commands asks for ---

    @property
    def is_watching(self) -> bool:
        return self._model is not None

    @property
    def is_over(self) -> bool:
        return self._over

    @property
    def has_epochs(self) -> bool:
        return self._driver == "batches"

    def warn(self, message: str) -> None:
        """Tell of something that a person should know, in the log and on stderr."""
        self._events.write("warning", message=message)
        print(f"descent: {message}", file=sys.stderr)

    def accept_trouble(self) -> None:
        """Go on: a loop of one's own is not held up by numbers that are not finite."""

    def edit(self, texts: list[str]) -> dict[str, Any]:
        """Change live settings by "key=value" texts: all of them, or none. Returns the values now in force."""
        given, problems = settings.parse(texts)
        if problems or not given:
            raise DescentError("\n".join(problems) or _("give at least one key=value"))
        edits = {".".join(override.path): override.value for override in given}
        for key, value in edits.items():
            self._check_edit(key, value)
        for key, value in edits.items():
            self._take_edit(key, value)
        self._edits = latest([*self._edits, *(f"{key}={_text(value)}" for key, value in edits.items())])
        return edits

    def _check_edit(self, key: str, value: Any) -> None:
        """Raise DescentError if this loop can't take an edit."""
        main = self._optimizers[0]
        allowed = (*LOOP_KEYS, *self._settings)
        if key in self._settings:
            _check_value(key, value, self._settings[key])
            return
        if key not in allowed:
            raise DescentError(
                _(
                    "{key} can't be changed in a loop of one's own; allowed: {keys}; a script declares more with "
                    "run.setting",
                    key=key,
                    keys=", ".join(allowed),
                )
                + did_you_mean(key, allowed)
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DescentError(_("{key} = {given!r}: must be a number ≥ 0", key=key, given=value))
        if key == "optimizer.lr" and self._rates.is_scheduled(main):
            raise DescentError(
                _(
                    "optimizer.lr: this loop has a schedule of its own, which sets the rate anew; lr_scale "
                    "multiplies it: lr_scale={scale}",
                    scale=0.1,
                )
            )
        if key == "optimizer.weight_decay" and "weight_decay" not in main.defaults:
            raise DescentError(
                _("optimizer.weight_decay: {optimizer} has no weight decay", optimizer=type(main).__name__)
            )

    def _take_edit(self, key: str, value: Any) -> None:
        main = self._optimizers[0]
        match key:
            case "lr_scale":
                self._rates.scale = float(value)
            case "optimizer.lr":
                self._rates.set(main, float(value))
            case "optimizer.weight_decay":
                decays = [group for group in main.param_groups if group["weight_decay"]] or main.param_groups
                for group in decays:  # a group that is to have none keeps none
                    group["weight_decay"] = float(value)
            case _:
                setting = self._settings[key]
                setting.set(float(value) if setting.kind is float else value)

    def extend(self, **more: int) -> int:
        """Train for more epochs, or more steps. Returns the new last step."""
        for name, value in more.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key=name, given=value))
        unit = {"batches": "epochs", "steps": "steps"}.get(self._driver)
        if unit is None:
            raise DescentError(
                _("nothing drives this loop, so its length is not known; run.batches or run.steps would let it grow")
            )
        wanted = {name for name, value in more.items() if value}
        if wanted != {unit}:
            raise DescentError(_("this loop is counted in {unit}: descent extend RUN --{unit} N", unit=unit))
        factor = self._turns_a_step if unit == "steps" else 1
        self._place.more += more[unit] * factor
        total = self._total_steps()
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
                where = traceback.extract_tb(error.__traceback__)[-1]
                raise DescentError(
                    _(
                        "the script's function raised {kind}: {error} ({file}:{line})",
                        kind=type(error).__name__,
                        error=shorten(clean(str(error)), 200),
                        file=Path(where.filename).name,
                        line=where.lineno,
                    )
                ) from None
            finally:
                for module, mode in modes:
                    module.training = mode
        return {f"val_{name}": value for name, value in self._write_evaluation("validation", found).items()}

    def _write_evaluation(self, split: str, values: Mapping[str, Any]) -> dict[str, float]:
        numbers = {}
        for name, value in values.items():
            shape = EVENT.optional.get(name)
            if name in ("event", "member", "split") or (isinstance(shape, Kind) and not shape.fits(0.5)):
                raise DescentError(_("{name}: this name can't be a metric's; take another one", name=name))
            numbers[name] = _number(name, value)
        self.drain()
        self._events.write("evaluation", step=self._step, split=split, member=0, **numbers)
        return numbers

    def picture(self, kind: str, options: dict[str, Any]) -> Path:
        """Pictures are of Descent's own models and data."""
        raise DescentError(_("pictures are drawn of presets; this run is a loop of one's own"))

    # --- checkpoints ---

    def save(self, *, wanted: bool = False) -> Path | None:
        """Write a checkpoint of all that is tracked. Return None, unsaved, if a weight is not finite."""
        assert self._model is not None
        with self.clock.stopped():
            self._flush()
            if checkpoint.not_finite(self._model.state_dict()):
                if not self._told_not_saved:
                    self._told_not_saved = True
                    self.warn(_("step {step:,} was not saved: a weight is not finite", step=self._step))
                return None
            return self._keeper.save(self._capture(), wanted=wanted)

    def _capture(self) -> State:
        place = self._place
        at = {
            "turn": place.turn,
            "epoch": place.epoch,
            "batch": place.batch,
            "begun": place.begun,
            "more": place.more,
        }
        if place.batch and place.batch == self._length:
            at |= {"epoch": place.epoch + 1, "batch": 0, "begun": None}
        return {
            "run": self.id,
            "step": self._step,
            "seconds": self.clock.seconds(),
            "objects": self._kept.states(),
            "random": self._kept.randomness(self._device),
            "loop": {"driver": self._driver, **at} if self._driver else None,
            "lr_scale": self._rates.scale,
            "settings": {name: setting.get() for name, setting in self._settings.items()},
            "edits": list(self._edits),
            "epoch": at["epoch"],
            "metrics": {},
            "best": {"step": None},
            "log": self._events.size(),
        }

    def _restore(self, state: State) -> None:
        """Go to a checkpoint. Raises DescentError if it does not fit; then nothing has changed."""
        self._kept.restore(state["objects"], state["step"])
        self._kept.restore_randomness(state["random"], self._device)
        at = state["loop"]
        place = self._place
        place.turn, place.epoch, place.batch = at["turn"], at["epoch"], at["batch"]
        place.begun, place.more = at["begun"], at["more"]
        self._step, self._rates.scale = state["step"], state["lr_scale"]
        self._rates.forget()
        self._edits = list(state["edits"])
        for name, value in state["settings"].items():
            if name in self._settings:
                self._settings[name].set(value)
        self.clock.set(state["seconds"])
        self._turns_since, self._row = 0, _Row()

    def rewind(self, to: object) -> int:
        """Go back to the checkpoint of step `to`, or by default to the last one before this step."""
        if not self._driver:
            raise DescentError(
                _("nothing drives this loop, so it can't go back; write it over run.batches or run.steps")
            )
        at, state = self._keeper.to_go_back_to(to, self._step)
        self._flush()
        before = self._place.begun
        try:
            self._restore(state)
        except DescentError:
            self._place.begun = before
            raise
        self._watching.close()
        if self._writer is not None:
            self._writer.close()
        self._recorder = self._writer = None
        self._keeper.forget_beyond(at)
        self._events.write("rewound", to=at, log=state["log"])
        self._went_back, self._told_nonfinite, self._attended = True, False, at
        return at

    # --- facts, and the end ---

    def _total_steps(self) -> int | None:
        """The last step, as far as it is known."""
        if self._total is None:
            return None
        turns = self._total + self._place.more
        if self._driver == "batches":
            if self._length is None:
                return None
            turns *= self._length
        return max(1, turns // max(1, self._turns_a_step))

    def _write_facts(self) -> None:
        """Write run.json, once."""
        if self.folder.facts():
            return
        assert self._model is not None
        total = self._total_steps()
        per_epoch = None if self._length is None else max(1, self._length // max(1, self._turns_a_step))
        cuda = self._device.type == "cuda"
        facts = facts_of_process(self.name) | {
            "device": str(self._device),
            "device_name": torch.cuda.get_device_name(self._device) if cuda else str(self._device),
            "threads": torch.get_num_threads(),
            "statistics_every": self._every or 1,
            "samples": {"validation": 0} if self._evaluations else {},
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
                self._finish_row()
                if self.folder.facts() == {}:
                    self._write_facts()
            self._flush()
        finally:
            self._over = True
            self._watching.close()
            self._losses.end()
            self._exit.close()
            if self._writer is not None:
                self._writer.close()
            saved = self._keeper.steps()
            last = receipt or (self.folder.checkpoint(saved[-1]) if saved else None)
            self._handler.say_stopped(None if last is None else str(last))
            self._events.state(state, **({} if reason is None else {"reason": reason}))
            self._server.stop()
            self._claim.release()
            if self._signals is not None:
                self._signals.give_back()

    def leave(self) -> None:
        """In a process that was forked from this one: nothing here is its own."""
        self._over = True
        if self._signals is not None:
            self._signals.give_back()


@dataclass
class _Row:
    """The numbers of a step, until the body of the loop is through with it."""

    heard: list[Tensor] = field(default_factory=list)  # losses since the last update
    losses: list[Tensor] = field(default_factory=list)
    given_loss: Tensor | None = None
    accuracy: Tensor | None = None
    layers: Tensor | None = None
    rate: float | Tensor = NOT_MEASURED
    seconds: float = 0.0
    cost: float = 0.0  # seconds that the statistics took
    is_made: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether no update is under way: gradients that are gathered over several batches are in no checkpoint."""
        return not self.is_made and not self.heard

    def loss(self, device: torch.device) -> Tensor | None:
        """Return the loss of the step: as it was given, or the sum of those that went backward before it."""
        if self.given_loss is not None:
            return self.given_loss
        if not self.losses:
            return None
        return self.losses[0] if len(self.losses) == 1 else torch.stack([x.to(device) for x in self.losses]).sum()


def _signals() -> Signals | None:
    """Return handlers of the system's signals, unless the process has its own or runs in a notebook."""
    import signal
    import threading

    is_default = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if threading.current_thread() is not threading.main_thread() or not is_default or "ipykernel" in sys.modules:
        return None
    signals = Signals()
    text = _("stopping after this step, with a checkpoint; once more stops at once, without saving")

    def tell() -> None:
        os.write(2, f"descent: {text}\n".encode())

    signals.on_first = tell
    return signals


def _length(loader: Iterable[Any]) -> int | None:
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader of an iterable data set without a length
        return None


def _generators_of(loader: Any) -> dict[str, torch.Generator]:
    """Return the random generators of a DataLoader's own, by the names that they are tracked under."""
    found: dict[str, torch.Generator] = {}
    for owner in ("", "sampler", "batch_sampler"):
        generator = getattr(getattr(loader, owner, None) if owner else loader, "generator", None)
        if isinstance(generator, torch.Generator) and not any(generator is known for known in found.values()):
            found[f"{owner or 'loader'}_generator"] = generator
    return found


def _reasons(loader: Any) -> list[str]:
    """Return why the batches of a resumed run may not be those of a run that was not interrupted."""
    if isinstance(loader, Iterator):
        return [_("the batches come from an iterator, which can't begin again")]
    if getattr(loader, "persistent_workers", False):
        return [_("persistent_workers: the random numbers of workers that stay are in no checkpoint")]
    return []


def _scalar(name: str, value: "Tensor | float", device: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise DescentError(
                _("{name}: must be one number, not a tensor of shape {shape}", name=name, shape=tuple(value.shape))
            )
        return value.detach().reshape(())
    return torch.tensor(_number(name, value), device=device)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise DescentError(
            _("{name} = {given}: must be a number", name=name, given=shorten(clean(repr(value)), 80))
        ) from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_value(key: str, value: Any, setting: Setting) -> None:
    """Raise DescentError if a value is not of the setting's type, or beyond its limits."""
    kinds: dict[type, tuple[type, ...]] = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}
    fits = isinstance(value, kinds[setting.kind]) and (setting.kind is bool or not isinstance(value, bool))
    low, high = setting.minimum, setting.maximum
    if fits and setting.kind in (int, float):
        fits = (low is None or value >= low) and (high is None or value <= high)
    if fits:
        return
    words = {float: _("a number"), int: _("a whole number"), bool: _("true or false"), str: _("a text")}
    limits = [] if low is None else [f"≥ {low:g}"]
    limits += [] if high is None else [f"≤ {high:g}"]
    raise DescentError(
        _(
            "{key} = {given!r}: must be {what}",
            key=key,
            given=value,
            what=" ".join([words[setting.kind], *limits]),
        )
    )
