"""Looks at rows as they reach the host: how far the run is, and whether its numbers are still numbers."""

from dataclasses import dataclass

import numpy as np

from engine.metrics import Layout
from engine.training.recorder import Rows


@dataclass(frozen=True)
class NonFinite:
    """The first step whose numbers are not finite, and what it was."""

    step: int
    what: str  # "loss", "update", or "gradient of layer NAME"


class Monitor:
    """Fed by the recorder; read by the loop and, from another thread, by the display."""

    def __init__(self, layout: Layout, *, gradients_may_overflow: bool) -> None:
        """gradients_may_overflow: fp16 skips such updates by itself, so they are no trouble."""
        names = layout.columns
        self._loss = names.index("loss")
        self._accuracy = names.index("accuracy") if "accuracy" in names else None
        self._flags = [] if gradients_may_overflow else [i for i, n in enumerate(names) if n.endswith(".non_finite")]
        self._names = names
        self._norm = names.index("grad_norm")
        self.non_finite: NonFinite | None = None
        self.known_ended: set[int] = set()  # members of which no number is expected any more
        self.diverged: list[tuple[int, int]] = []  # members that went non-finite, and at which step; to be taken
        self.last: dict[str, float | None] = {"loss": None, "accuracy": None, "grad_norm": None}
        self.steps_per_second: float | None = None
        self._sums, self._counts = np.zeros((2, len(layout.members)))  # of each member's losses since last asked
        self._lost: set[int] = set()  # members that went non-finite
        self._seen: tuple[float, float] | None = None  # step and time where the window begins
        self._rate_before: float | None = None
        self._time = names.index("time")

    def rows(self, first: int, rows: Rows) -> None:
        """rows: (n, M, columns) float32, of steps `first` on."""
        losses = rows[:, :, self._loss]
        if losses.shape[1] == 1:
            self._look_for_trouble(first, rows)
        else:
            self._look_for_diverged(first, losses)
        counted = np.isfinite(losses) | (losses.shape[1] == 1)  # a run's only loss, number or not, is its loss
        self._sums += np.sum(losses, axis=0, where=counted, dtype=np.float64)
        self._counts += counted.sum(axis=0)
        self.last = {
            "loss": float(mean_of_known(losses[-1:])[0]),
            "accuracy": None if self._accuracy is None else float(mean_of_known(rows[-1:, :, self._accuracy])[0]),
            "grad_norm": self._latest_norm(rows),
        }
        if self._seen is None:
            self._seen = float(first), float(rows[0, 0, self._time])
        self._rate(first + len(rows), float(rows[-1, 0, self._time]))

    def _look_for_trouble(self, first: int, rows: Rows) -> None:
        bad = ~np.isfinite(rows[:, 0, self._loss])
        flagged = np.nan_to_num(rows[:, 0, self._flags]).any(axis=1)
        if self.non_finite is None and (bad.any() or flagged.any()):
            row = int(np.argmax(bad | flagged))
            self.non_finite = NonFinite(first + row, self._what(rows[row], bool(bad[row])))

    def _look_for_diverged(self, first: int, losses: Rows) -> None:
        """losses: (n, M). A member that no longer trains has NaN from then on."""
        bad = ~np.isfinite(losses)
        for member in np.flatnonzero(bad.any(axis=0)).tolist():
            if member not in self.known_ended:
                self.known_ended.add(member)
                self._lost.add(member)
                self.diverged.append((member, first + int(np.argmax(bad[:, member]))))

    def report(self, step: int, what: str) -> None:
        """Something else than a row has shown trouble."""
        if self.non_finite is None:
            self.non_finite = NonFinite(step, what)

    def _what(self, row: Rows, loss: bool) -> str:
        """row: (M, columns) of the first step in trouble."""
        flagged = [self._names[i] for i in self._flags if (row[:, i] == 1).any()]
        if loss or not flagged:
            return "loss"
        # Backward runs from the last layer to the first, so the last one that is flagged was the first to go.
        return f"gradient of layer {flagged[-1].removeprefix('layer.').removesuffix('.non_finite')}"

    def _latest_norm(self, rows: Rows) -> float | None:
        norms = mean_of_known(rows[:, :, self._norm])
        measured = norms[~np.isnan(norms)]
        return float(measured[-1]) if len(measured) else self.last["grad_norm"]

    def _rate(self, step: int, seconds: float) -> None:
        """Steps a second of training time, over half a second and the half second before."""
        assert self._seen is not None
        then, when = self._seen
        if seconds <= when:
            return
        rate = (step - then) / (seconds - when)
        self.steps_per_second = rate if self._rate_before is None else 0.5 * (rate + self._rate_before)
        if seconds - when >= 0.5:
            self._seen, self._rate_before = (float(step), seconds), rate

    @property
    def has_more_to_tell(self) -> bool:
        """Whether there were rows since the mean loss was last asked."""
        return bool(self._counts.any())

    def mean_loss(self) -> float:
        """Of the rows since this was last asked, over the members that have not diverged; NaN where there is none."""
        known = [m for m in np.flatnonzero(self._counts).tolist() if m not in self._lost]
        mean = float(np.mean(self._sums[known] / self._counts[known])) if known else float("nan")
        self._sums[:] = self._counts[:] = 0
        return mean


def mean_of_known(values: Rows) -> Rows:
    """(n, M) -> (n,): the mean over the members that still have a number; NaN where none has."""
    if values.shape[1] == 1:
        return values[:, 0]
    known = np.isfinite(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
