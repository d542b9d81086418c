"""The rows of a run: recorded, written, and checked as they reach the host."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from descent.common.arrays import Rows, Seconds, mean_over_members
from descent.loop.histograms import HistogramRecorder
from descent.loop.layer_statistics import LayerStatistics
from descent.loop.recorder import Recorder
from descent.loop.scalars import ScalarRecorder
from descent.loop.untrained import Untrained
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.metrics import Metrics, MetricsWriter
from engine.training import losses
from engine.training.loss_watch import LossWatch
from engine.training.monitor import Monitor, RateWatch
from engine.training.protocols import StepResult
from engine.training.train_state import TrainState

_LOOK_BACK = 1000  # losses that a resumed run reads again, to know the lowest one
_GATHERED = 100  # calls of a step of the user's own, which may gather gradients over several, to one update at least


class RowWriter:
    """The rows from the current step of a run until it ends or goes back: recorded, written and checked."""

    def __init__(
        self,
        run: TrainState,
        folder: RunFolder,
        layout: Layout,
        events: Events,
        diverged: Callable[[int, int], Any],
        slow: Callable[..., Any],
        untrained: Callable[[int, bool | None], Any],
        watched: Mapping[str, Any] | None = None,
    ) -> None:
        """diverged(member, step): called when a member of several went non-finite. slow: see RateWatch.

        untrained: called where the user's own step trains nothing, see Untrained.

        watched: what `watched` returned at the current step. None in the checkpoints of an older Descent.
        """
        self._run, self._diverged, self._folder = run, diverged, folder.path
        self._scalars: ScalarRecorder | None = None  # of a task that tells some
        self._writer = MetricsWriter(folder.path, run.step)
        self._histograms: HistogramRecorder | None = None  # of one model
        if isinstance(run.statistics, LayerStatistics):
            found = folder.path, run.statistics, len(layout.layers)
            self._histograms = HistogramRecorder(*found, run.step, run.total_steps)
        self.monitor = Monitor(layout, gradients_may_overflow=run.preset.train.precision == "fp16")
        self.monitor.known_ended = set(run.ended())
        past = _past(folder, layout, run.step) if watched is None else ()
        self._watch = LossWatch(layout, run.step, events.write, past, _of_constant(run))
        if watched is not None:
            self._watch.restore(watched)
        self._rate = RateWatch(run, slow)
        self._layout = layout
        self._untrained: Untrained | None = None
        if run.own_step is not None:
            self._untrained = Untrained(run.trainable, untrained, after=_GATHERED)
        self._recorder = Recorder(self._writer, layout, run.device, run.step, self._look_at)

    def record(self, result: StepResult, lr: float | Tensor, seconds: float) -> None:
        """Record one step, with its learning rate. seconds: of training so far."""
        loss, accuracy, norms, layers = result[:4]
        if norms is not None:
            self._recorder.norms(*norms)
        if layers is not None:
            self._recorder.layers(layers)
            if self._histograms is not None and isinstance(self._run.statistics, LayerStatistics):
                self._histograms.note(self._run.step, self._run.statistics.samples())
        numbers = self._run.numbers if result.numbers is None else result.numbers
        if numbers is not None:
            self._recorder.parameters(numbers)
        if result.scalars:
            self._keep(result.scalars)
        self._recorder.record(loss, accuracy, lr, seconds)

    def _keep(self, told: Mapping[str, Any]) -> None:
        """Keep the named scalars of the step. Raises DescentError for a name that can't be used."""
        if self._scalars is None:
            self._scalars = ScalarRecorder(self._folder)
            self._scalars.begin(self._writer.generation)
        scalars = self._scalars
        scalars.take(self._run.step, {name: scalars.checked(name, value) for name, value in told.items()})

    def _look_at(self, first: int, rows: Rows, seconds: Seconds) -> None:
        """Check rows that have come to the host, and write the scalars and histograms too."""
        if self._scalars is not None:
            self._scalars.drain()
        if self._histograms is not None:
            self._histograms.drain()
        self.monitor.rows(first, rows, seconds)
        self._watch.rows(rows)
        self._rate.rows(first, seconds)
        if self._untrained is not None:
            self._untrained.rows(rows, self._layout)
        lost, self.monitor.diverged = self.monitor.diverged, []
        for member, step in lost:
            self._diverged(member, step)
        if lost and list(self._run.ended().values()) == ["diverged"] * len(self._run.members):
            self.monitor.report(lost[-1][1], "loss of every member")

    @property
    def collapsed(self) -> int | None:
        """The step at which the model collapsed although its numbers are finite. None if it has not."""
        return self._watch.collapse.since

    def watched(self) -> dict[str, Any]:
        """Return what the watch of the loss knows, for a checkpoint. All rows must have been drained."""
        return self._watch.state()

    def drain(self) -> None:
        """Write the rows of all steps so far into the file, where every reader finds them."""
        self._recorder.drain()
        self._recorder.drain()  # on a GPU the first copy is still running
        if self._scalars is not None:
            self._scalars.drain()

    def sync(self) -> None:
        """Write the rows onto the disk, as a checkpoint needs them."""
        if self._scalars is not None:
            self._scalars.flush()
        if self._histograms is not None:
            self._histograms.flush()
        self._recorder.flush()

    def end(self) -> None:
        """The training is through: all its rows have come."""
        self.sync()
        if self._untrained is not None:
            self._untrained.end()

    def close(self) -> None:
        """Write all rows onto the disk and close the file."""
        try:
            self.sync()
        finally:
            for each in (self._scalars, self._histograms):
                if each is not None:
                    each.close()
            self._writer.close()


def _of_constant(run: TrainState) -> float:
    """Return the loss of a model that knows the targets' mean only, 0 if it is not known or not needed."""
    dataset = run.dataset
    if len(run.members) > 1:  # of several, none collapses alone
        return 0.0
    classes = dataset.num_classes if dataset.task == "classification" else None
    return losses.of_constant(run.preset.loss, run.eval_criterion, dataset.train.targets, classes)


def _past(folder: RunFolder, layout: Layout, step: int) -> list[float]:
    """Return the very first loss and the latest ones before `step`, means over the members."""
    if not step:
        return []
    stored, column = Metrics(folder.path), layout.columns.index("loss")
    rows = [stored.rows(0, 1), stored.rows(max(1, step - _LOOK_BACK), step)]
    return [float(loss) for piece in rows for loss in mean_over_members(piece[:, :, column])]
