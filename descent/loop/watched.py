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

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from descent.common import job
from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import _
from descent.loop.best import BestEvaluation
from descent.loop.clock import Clock
from descent.loop.driver import Batch, Driver, doubts_about, generators_of, length_of
from descent.loop.folder import preset_text
from descent.loop.hooks import trains
from descent.loop.ranks import Ranks
from descent.loop.scalars import number, one_number
from descent.loop.stepping import SteppedLoop
from descent.run.scalars import check_name


class Loop(SteppedLoop):
    """A run of somebody's own training loop. `descent.init` returns one."""

    @property
    def epoch(self) -> int:
        """The epochs of `batches` that are complete: 0 in the first one, which the screen calls epoch 1."""
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
        if not trains(optimizers, model):
            self.warn(
                _(
                    "watch(model, optimizer): the optimizer has none of the model's parameters, so it can't train "
                    "this model. It was made for another one, or before this one was copied or replaced"
                )
            )
        self.watch_steps(model, optimizers[0])
        self._optimizers = optimizers
        self._edits.know(optimizers)
        for one in optimizers:
            handles = one.register_step_pre_hook(self._before_hook), one.register_step_post_hook(self._after_hook)
            for handle in handles:
                self._exit.callback(handle.remove)
        self.track(model=model, optimizer=optimizers[0])
        self.track(**{f"optimizer{n}": one for n, one in enumerate(optimizers[1:], 2)})
        self._named.update({one: f"loss{n}" for n, one in enumerate(optimizers[1:], 2)})
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
        if job.size() > 1 and self._ranks is None:
            self._ranks = Ranks()
        self._saved, self._step, seconds = self._find_place() if restores else (None, 0, 0.0)
        self.clock = Clock(self._device, seconds)
        text = preset_text(self._config, optimizer, self._best.by)
        if not self.folder.facts():
            kept = self._overruled(text) if self._is_forked else {}
            text = preset_text(self._config, optimizer, self._best.by, kept)
            write_atomically(self.folder.preset, text.encode())
            self._write_facts()

    def _overruled(self, text: str) -> dict[str, Any]:
        """Tell which numbers of the optimizer are the checkpoint's, where the fork's arguments would have others.

        text: the script's settings. Returns the numbers that stay.
        """
        kept = {}
        mine, theirs = (tomllib.loads(one)["optimizer"] for one in (text, self.folder.preset.read_text("utf-8")))
        parent = (self.folder.origin() or {})["run"]
        for key, value in mine.items():
            if key in ("name", "scheduled") or value == theirs.get(key, value):
                continue
            kept[key] = theirs[key]
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
        return kept

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
        if not self._over and not self._step:
            if self._model is None:
                why = _("run.watch(model, optimizer) was not called")
            else:
                why = _("the optimizer that run.watch() was given made no step")
            self.warn(_("nothing was recorded: {why}", why=why))
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


def _scalar(name: str, value: "Tensor | float", device: torch.device) -> Tensor:
    return one_number(name, value) if isinstance(value, Tensor) else torch.tensor(number(name, value), device=device)
