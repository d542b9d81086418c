"""The rows of a loop of one's own: what is seen of each step, and how often its layers are measured."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from descent.common.arrays import Rows, Seconds
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import layers
from descent.loop.histograms import HistogramRecorder
from descent.loop.hooks import places_of
from descent.loop.layer_statistics import LayerStatistics
from descent.loop.recorder import Recorder
from descent.loop.scalars import ScalarRecorder
from descent.loop.untrained import Untrained
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.metrics import MetricsWriter
from descent.run.not_given import NOT_GIVEN, is_given

MEASURED_FIRST = 4  # steps with statistics, to know what they cost; as many without follow
STATISTICS_SHARE = 0.01  # of a step's time, by the first ones; later ones are rare, out of the caches, and cost twice
NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(slots=True)
class Row:
    """The numbers of a step, until the body of the loop is through with it."""

    heard: list[Tensor] = field(default_factory=list)  # losses since the last update
    of_other: list[Tensor] = field(default_factory=list)  # losses before the last update of another optimizer
    losses: list[Tensor] = field(default_factory=list)
    given_loss: Tensor | None = None
    accuracy: Tensor | None = None
    layers: Tensor | None = None
    samples: Tensor | None = None  # of the layers' numbers
    rate: float | Tensor = math.nan
    seconds: float = 0.0
    cost: float = 0.0  # seconds that the statistics took
    is_made: bool = False
    scalars: dict[str, Tensor | float] = field(default_factory=dict)  # by name, what else was given

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
        return total(self.losses, device)


def total(losses: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the sum of the losses that went backward before an update. There must be one."""
    return losses[0] if len(losses) == 1 else torch.stack([loss.to(device) for loss in losses]).sum()


class StepRows:
    """Writes a row for every step of one optimizer, with the statistics of the model's layers now and then."""

    def __init__(
        self, folder: RunFolder, every: int | None, warn: Callable[[str], None], nonfinite: Callable[[int], None]
    ) -> None:
        """every: steps between statistics; None to choose it by what they cost in the first steps.

        nonfinite: told the first step whose loss is not finite.
        """
        self.every = every
        self.is_chosen = every is None  # by what they cost: then the first steps are measured in any case
        self.row = Row()
        self._scalars = ScalarRecorder(folder.path)
        self._folder, self._warn, self._nonfinite = folder, warn, nonfinite
        self._device = torch.device("cpu")
        self._layers: list[tuple[str, nn.Module]] = []
        self._statistics: LayerStatistics | None = None
        self._watching, self._is_watching = ExitStack(), False
        self._measures = False
        self._sees_gradients = False  # whether those that come now are of the update under way
        self._costs: list[float] = []  # of the first steps: what statistics cost by themselves
        self._took: tuple[list[float], list[float]] = [], []  # seconds of steps without statistics, and with them
        self._ended_at: float | None = None
        self._layout: Layout | None = None
        self._recorder: Recorder | None = None
        self._histograms: HistogramRecorder | None = None
        self._writer: MetricsWriter | None = None
        self._told_nonfinite = self._told_no_loss = self._told_late_accuracy = False
        self.untrained: Untrained | None = None  # of a run that has begun

    def watch(self, model: nn.Module, device: torch.device) -> None:
        """Measure the layers of a model, where its weights lie on one device and in whole."""
        self._device = device
        inner = getattr(model, "_orig_mod", model)  # of torch.compile
        if isinstance(inner, nn.parallel.DistributedDataParallel):
            inner = inner.module
        parameters = list(inner.parameters())
        found = layers.layers(inner)
        is_trainable = any(p.is_floating_point() for _, module in found for p in module.parameters(recurse=False))
        if is_trainable and len(places_of(parameters)) == 1 and not any(hasattr(p, "placements") for p in parameters):
            self._layers = found
            self._statistics = LayerStatistics(inner, found)
            self._statistics.sampling = True  # of the very first step, before which there is no recorder

    # --- a step ---

    def give(self, values: Mapping[str, Any]) -> None:
        """Keep numbers of this step by their names. Raises DescentError for a wrong name or value."""
        self.row.scalars |= {name: self._scalars.checked(name, value) for name, value in values.items()}

    def before_update(self, step: int) -> None:
        """The gradients of step `step` are final, the weights still old."""
        self.row.losses = self.row.heard or self.row.of_other  # of one loss, two optimizers may have made updates
        self.row.heard, self.row.of_other = [], []
        self._measures = self._statistics is not None and self._is_measured(step)
        if self._measures and self._statistics is not None:
            began = time.perf_counter()
            self._statistics.before_update()
            self.row.cost = time.perf_counter() - began
        self._sees_gradients = self._measures

    def see_gradients(self) -> None:
        """backward() has been called. In an update this is the work of a closure, whose first gradients count."""
        if self._sees_gradients and self._statistics is not None:
            self._sees_gradients = False
            began = time.perf_counter()
            self._statistics.note_gradients()
            self.row.cost += time.perf_counter() - began

    def after_update(self, rate: float | Tensor) -> None:
        """The weights are new."""
        row = self.row
        row.rate = rate
        row.losses += row.heard[:1]  # a closure calls backward inside the step, and may do it again
        row.heard = []
        row.is_made = True
        self._sees_gradients = False
        if self._measures and self._statistics is not None:
            began = time.perf_counter()
            self._watching.close()
            row.layers = self._statistics.row()
            row.samples = self._statistics.samples()
            row.cost += time.perf_counter() - began

    def watch_forward(self, step: int) -> None:
        """Look at the activations of the forward passes from now on, if step `step` is measured."""
        if self._is_watching:
            self._is_watching = False
            self._watching.close()
        if self._statistics is not None and self._is_measured(step):
            self._is_watching = True
            self._watching.enter_context(self._statistics.watch())

    def _is_measured(self, step: int) -> bool:
        if self.is_chosen and step <= 2 * MEASURED_FIRST:  # by the step alone, so that a replay measures the same
            return step <= MEASURED_FIRST
        return len(self._costs) < MEASURED_FIRST if self.every is None else step % self.every == 0

    def choose_cadence(self) -> bool:
        """After the first steps, choose how often statistics are taken. What a run has chosen it keeps.

        Returns whether it was chosen only now.
        """
        now, before = self.row.seconds, self._ended_at  # of training: a pause is no part of a step
        self._ended_at = now
        if self.every is not None or before is None:
            return False
        if self._measures:
            self._costs.append(self.row.cost)
        self._took[self._measures].append(now - before)
        few = [took for took in self._took if len(took) < MEASURED_FIRST]
        if few and (self._statistics is not None or self._took[False] in few):
            return False
        plain = median(self._took[False])
        cost = max(median(self._costs), median(self._took[True]) - plain) if self._costs else 0.0
        wanted = math.ceil(cost / (STATISTICS_SHARE * max(1e-9, plain)))
        self.every = next((n for n in NICE if n >= wanted), NICE[-1])
        return True

    # --- the file ---

    def finish(self, step: int) -> bool:
        """Record the step that was made, once the body of the loop is through with it. Returns whether there was one.

        step: the steps made so far, with this one.
        """
        row = self.row
        if not row.is_made:
            return False
        self.row = Row(heard=row.heard, of_other=row.of_other)
        recorder = self._recorder or self._open(step - 1, accuracy=row.accuracy is not None)
        loss = row.loss(self._device)
        if loss is None:
            if not self._told_no_loss:
                self._told_no_loss = True
                self._warn(_("no loss was seen; give it with run.log(loss=loss)"))
            loss = torch.tensor(NOT_GIVEN, dtype=torch.int32).view(torch.float32)
        if row.layers is not None:
            norm = row.layers[:, 0].square().sum().sqrt()
            recorder.norms(norm, norm)
            recorder.layers(row.layers)
            if self._histograms is not None:
                self._histograms.note(step - 1, row.samples)
        if row.scalars:
            self._scalars.take(step - 1, row.scalars)
        if row.accuracy is not None and not recorder.has_accuracy:
            self._tell_late_accuracy(step)
        recorder.record(loss, row.accuracy if recorder.has_accuracy else None, row.rate, row.seconds)
        return True

    def _tell_late_accuracy(self, step: int) -> None:
        if self._told_late_accuracy:
            return
        self._told_late_accuracy = True
        self._warn(
            _(
                "accuracy was given at step {step:,} for the first time and is not kept: give it from the first step "
                "on, or under another name, which any step may have",
                step=step,
            )
        )

    def end(self, step: int) -> None:
        """Record the last step, and what was given after it."""
        if not self.finish(step) and self.row.scalars and self._recorder is not None:
            self._scalars.take(step - 1, self.row.scalars)
            self.row.scalars = {}

    def _open(self, first: int, *, accuracy: bool) -> Recorder:
        """Begin to write rows, the first one for step `first`."""
        if self._layout is None:
            found = tuple({"name": name, "kind": layers.describe(module)} for name, module in self._layers)
            member = {"member": 0, "seed": 0, "values": {}}
            layout = Layout.of(accuracy=accuracy, members=(member,), layers=found)
            stored = Layout.load(self._folder.path)
            if stored is None:
                layout.save(self._folder.path)
            elif [c for c in stored.columns if c != "accuracy"] != [c for c in layout.columns if c != "accuracy"]:
                raise DescentError(
                    _("{run}: its rows are of another model; begin a new run under another id", run=self._folder.id)
                )
            self._layout = stored or layout
        self._writer = MetricsWriter(self._folder.path, first)
        self._scalars.begin(self._writer.generation)
        if self._statistics is not None:
            self._histograms = HistogramRecorder(self._folder.path, self._statistics, len(self._layers), first)
        self._recorder = Recorder(self._writer, self._layout, self._device, first, self._look_at)
        return self._recorder

    def _look_at(self, first: int, rows: Rows, seconds: Seconds) -> None:
        """Write scalars and histograms too, and tell of the first number of these rows that is not finite."""
        self._scalars.drain()
        if self._histograms is not None:
            self._histograms.drain()
        if self.untrained is not None and self._layout is not None:
            self.untrained.rows(rows, self._layout)
        losses = rows[:, 0, 0]
        bad = ~np.isfinite(losses) & is_given(losses)
        if bad.any() and not self._told_nonfinite:
            self._told_nonfinite = True
            self._nonfinite(first + int(np.argmax(bad)))

    def drain(self) -> None:
        """Write the rows of all steps so far into the file."""
        if self._recorder is not None:
            self._recorder.drain()
            self._recorder.drain()
            self._scalars.drain()

    def flush(self) -> None:
        self._scalars.flush()
        for each in (self._histograms, self._recorder):
            if each is not None:
                each.flush()

    def begin_anew(self) -> None:
        """Forget the step under way, because a checkpoint is restored; later rows are written after it."""
        self.close()
        self._recorder = self._writer = self._histograms = None
        self.row, self._told_nonfinite = Row(), False
        self._ended_at = None

    def close(self) -> None:
        self._watching.close()
        for each in (self._writer, self._histograms):
            if each is not None:
                each.close()
        self._scalars.close()
