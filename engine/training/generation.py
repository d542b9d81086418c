"""A generation of a run's rows: recorded on the device, written to the file, and looked at on the way."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from engine.metrics import Layout, Metrics, MetricsWriter
from engine.run import Events, RunFolder
from engine.training.monitor import Monitor, mean_of_known
from engine.training.recorder import Recorder, Rows
from engine.training.slowing import RateWatch
from engine.training.spikes import LossWatch
from engine.training.training import Training

_LOOK_BACK = 1000  # losses that a resumed run reads again, to know how low it was


class Generation:
    """The rows from the run's present step on, until it ends or goes back."""

    def __init__(
        self,
        run: Training,
        folder: RunFolder,
        layout: Layout,
        events: Events,
        diverged: Callable[[int, int], Any],
        slow: Callable[..., Any],
    ) -> None:
        """diverged(member, step): called where a member of several went non-finite. slow: see RateWatch."""
        self._run, self._diverged = run, diverged
        self._writer = MetricsWriter(folder.path, run.step)
        self.monitor = Monitor(layout, gradients_may_overflow=run.preset.train.precision == "fp16")
        self.monitor.known_ended = set(run.ended())
        self._watch = LossWatch(layout, run.step, events.write, _past(folder, layout, run.step))
        self._rate = RateWatch(run, layout, slow)
        self._recorder = Recorder(self._writer, layout, run.device, run.step, self._look_at)

    def record(
        self,
        loss: Tensor,
        accuracy: Tensor | None,
        lr: float | Tensor,
        norms: tuple[Tensor, Tensor] | None,
        layers: Tensor | None,
        seconds: float,
    ) -> None:
        """One step, as loop.Learned has it. seconds: of training so far."""
        if norms is not None:
            self._recorder.norms(*norms)
        if layers is not None:
            self._recorder.layers(layers)
        if self._run.numbers is not None:
            self._recorder.parameters(self._run.numbers)
        self._recorder.record(loss, accuracy, lr, seconds)

    def _look_at(self, first: int, rows: Rows) -> None:
        """Rows that have come to the host."""
        self.monitor.rows(first, rows)
        self._watch.rows(rows)
        self._rate.rows(first, rows)
        lost, self.monitor.diverged = self.monitor.diverged, []
        for member, step in lost:
            self._diverged(member, step)
        if lost and list(self._run.ended().values()) == ["diverged"] * len(self._run.members):
            self.monitor.report(lost[-1][1], "loss of every member")

    @property
    def collapsed(self) -> int | None:
        """The step from which on the model is broken although its numbers are finite; None while it is whole."""
        return self._watch.collapse.since

    def drain(self) -> None:
        """Return when the rows of all steps so far are in the file, where every reader finds them."""
        self._recorder.drain()
        self._recorder.drain()  # on a GPU the first is still under way

    def sync(self) -> None:
        """Return when they are on the disk too: a checkpoint stands on them."""
        self._recorder.flush()

    def close(self) -> None:
        """Leave the rows on the disk."""
        try:
            self._recorder.flush()
        finally:
            self._writer.close()


def _past(folder: RunFolder, layout: Layout, step: int) -> list[float]:
    """The first loss of all and the latest ones before `step`, means over the members."""
    if not step:
        return []
    stored, column = Metrics(folder.path), layout.columns.index("loss")
    rows = [stored.rows(0, 1), stored.rows(max(1, step - _LOOK_BACK), step)]
    return [float(loss) for piece in rows for loss in mean_of_known(piece[:, :, column])]
