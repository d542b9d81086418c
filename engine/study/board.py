"""Output of a queue of jobs: a line for each job that ended, and on a terminal a progress bar below them."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from descent.common.i18n import _
from descent.common.numbers import duration, number, percent, time_taken
from descent.common.stdio import plain
from descent.common.text import shorten
from descent.run.result_metrics import METRICS, loss_and_accuracy
from engine.launch.display import Display
from engine.study.results import Outcome
from engine.study.vary import label

if TYPE_CHECKING:
    from rich.console import RenderableType


_LONGEST_REASON = 160
_REASONS = 2  # of pending jobs, shown at most


class StudyDisplay(Display):
    """Display of a queue's jobs. A dead or blocked terminal does not slow the queue."""

    def __init__(self, name: str, terminal: int | None, total: int) -> None:
        super().__init__(name, terminal)
        self._total = total
        self._states: Counter[str] = Counter()
        self._reasons: Sequence[str] = ()
        self._at_start = 0
        self._began = self._looked = time.monotonic()  # at the first count; at the last job's end

    def count(self, states: Counter[str], reasons: Sequence[str] = ()) -> None:
        """Take the jobs' current states. reasons: why some are pending, in the words of their engine."""
        self._reasons = reasons
        if not self._states:
            self._at_start, self._began = _ended(states), time.monotonic()
        if _ended(states) != _ended(self._states):
            self._looked = time.monotonic()
        self._states = states

    def say_stopping(self) -> None:
        self.say(_("stopping: each job finishes its step and saves; Ctrl-C again stops them at once, unsaved"))

    def say_job(self, outcome: Outcome, how: str | None = None) -> None:
        """Print how a job ended, or `how` it is now."""
        job = outcome.job
        number = f"{job.index:>{len(str(self._total - 1))}}"
        words = [_("job {number}", number=number), label(job.values), f"seed={job.seed}"]
        if how is not None:
            self.say("  ".join(word for word in (*words, how) if word))
            return
        if outcome.state != "finished":
            words.append(_("{state} at step {step:,}", state=_(outcome.state), step=outcome.step))
        if outcome.reason:
            words.append(shorten(outcome.reason.split(". ")[0], _LONGEST_REASON))
        elif outcome.state == "finished":
            words += [_reached(outcome), time_taken(outcome.seconds)]
        self.say("  ".join(word for word in words if word))

    def _frame(self, width: int, elapsed: float) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for column in range(4):
            line.add_column(ratio=1 if column == 1 else None, no_wrap=True)
        bar = ProgressBar(
            total=max(1, self._total), completed=_ended(self._states), complete_style="cyan", finished_style="cyan"
        )
        eta = plain(self._eta(), self._encoding)
        line.add_row(Text(self._name, style="bold"), bar, self._counts(), eta)
        return line

    def _sign_of_life(self, elapsed: float) -> str:
        return f"{self._name}: {self._counts()}, {self._eta()}"

    def _counts(self) -> str:
        told = {"ended": _ended(self._states), "total": self._total, "running": self._states["running"]}
        if self._states["failed"]:
            counts = _("{ended}/{total}, {failed} failed, {running} running", failed=self._states["failed"], **told)
        else:
            counts = _("{ended}/{total}, {running} running", **told)
        if self._states["pending"]:
            counts += ", " + _("{pending} pending", pending=self._states["pending"])
            counts += f" ({', '.join(self._reasons[:_REASONS])})" if self._reasons else ""
        return counts

    def _eta(self) -> str:
        return _("ETA {time}", time=duration(self._seconds_left()))

    def _seconds_left(self) -> float | None:
        """Return the estimate from the pace of the jobs that ended here. It falls between two of them."""
        ended = _ended(self._states)
        if ended == self._at_start:
            return None
        pace = (self._looked - self._began) / (ended - self._at_start)
        return max(0.0, pace * (self._total - ended) - (time.monotonic() - self._looked))


def _ended(states: Counter[str]) -> int:
    return states["finished"] + states["failed"]


def _reached(outcome: Outcome) -> str:
    """Return the results on the split that says most, in a few words."""
    for metric in reversed(METRICS.values()):
        loss, accuracy = loss_and_accuracy(outcome.metrics, metric.split)
        if metric.column == "loss" and loss is not None:
            return f"{_(metric.head)} {number(loss)}" + (f", {percent(accuracy)}" if accuracy is not None else "")
    return ""
