"""How the candidates of a sweep stand now: the best one first, each with the mean of its seeds."""

import statistics
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from descent.run.best_by import BestBy, best_by
from descent.run.follower import Follower
from descent.run.result_metrics import metric_of
from descent.run.sweep import SweepPoint
from tui.data.evaluations import history_of
from tui.data.recent import mean_before, mean_now

POINTS = 24  # of a curve of training losses
COLOURS = 8  # that tell candidates apart

_by: weakref.WeakKeyDictionary[Follower, BestBy] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Standing:
    """One candidate.

    number: its place among the candidates, from 1 on, which its sign and colour follow. train_loss: the mean over
    its last epoch. val, val_std: of the latest evaluation, over its members. lost: members that have diverged.
    curve: its validation losses, else its training losses, oldest first.
    """

    number: int
    point: SweepPoint
    is_best: bool = False
    is_winner: bool = False
    train_loss: float | None = None
    val_loss: float | None = None
    val_loss_std: float | None = None
    val_accuracy: float | None = None
    val_accuracy_std: float | None = None
    lost: int = 0
    curve: tuple[float, ...] = ()

    @property
    def sign(self) -> str:
        """Return the sign of its curve, in one cell."""
        return sign_of(self.number)

    @property
    def style(self) -> str:
        return style_of(self.number)

    @property
    def is_lost(self) -> bool:
        """Return whether all its members have diverged."""
        return self.lost == len(self.point.members)


def sign_of(number: int) -> str:
    """Return a digit, and behind 9 a letter, for the candidate of that number."""
    return "123456789abcdefghijklmnopqrstuvwxyz"[(number - 1) % 35]


def style_of(number: int) -> str:
    return f"run{(number - 1) % COLOURS + 1}"


def ranked(follower: Follower, until: int | None = None) -> list[SweepPoint]:
    """Return the candidates of a sweep, the best first: by what the run chooses its best by, else by training loss.

    Candidates of which a member has diverged come last, the winner, once it is chosen, first. until: the step at
    which they are ranked, by default the latest.
    """
    history, lost = history_of(follower), _lost_by(follower, until)
    winner = history.winner if until is None else None
    by = _by.get(follower)
    if by is None:
        by = _by[follower] = best_by(follower.folder)
    column = metric_of(by.metric).column
    values = {point.members: _latest(follower, column, point, until) for point in follower.points}
    if all(value is None for value in values.values()):
        by = BestBy("train_loss")
        values = {point.members: train_loss(follower, point, until) for point in follower.points}

    def rank(point: SweepPoint) -> tuple[bool, bool, float]:
        is_lost = any(member in lost for member in point.members)
        return point.members != winner, is_lost, by.rank({by.metric: values[point.members]})

    return sorted(follower.points, key=rank)


def standings(follower: Follower, until: int | None = None) -> list[Standing]:
    """Return how the candidates stand, or stood at the step `until`, the best first."""
    history, lost = history_of(follower), _lost_by(follower, until)
    numbers = {point.members: number for number, point in enumerate(follower.points, 1)}
    found = []
    for place, point in enumerate(ranked(follower, until)):
        alive = [member for member in point.members if member not in lost]
        latest = {
            name: [history.points("validation", name, member).until(until).latest for member in alive]
            for name in ("loss", "accuracy")
        }
        found.append(
            Standing(
                numbers[point.members],
                point,
                is_best=place == 0 and bool(alive),
                is_winner=until is None and point.members == history.winner,
                train_loss=train_loss(follower, point, until),
                val_loss=_latest(follower, "loss", point, until) if alive else None,
                val_loss_std=_std(latest["loss"]),
                val_accuracy=_latest(follower, "accuracy", point, until) if alive else None,
                val_accuracy_std=_std(latest["accuracy"]),
                lost=len(point.members) - len(alive),
                curve=_curve(follower, point, until),
            )
        )
    return found


def _lost_by(follower: Follower, until: int | None) -> set[int]:
    """Return the members that had diverged by a step, or have by now."""
    return {member for member in follower.diverged if until is None or follower.ended[member].step <= until}


def train_loss(follower: Follower, point: SweepPoint, until: int | None = None) -> float | None:
    """Return the training loss of a candidate as every part of the screen has it, now or at an earlier step."""
    if until is not None:
        return mean_before(follower, "loss", point.members, until)
    return mean_now(follower, "loss", point.members)


def _latest(follower: Follower, name: str, point: SweepPoint, until: int | None) -> float | None:
    return history_of(follower).points("validation", name, point.members).until(until).latest


def _curve(follower: Follower, point: SweepPoint, until: int | None) -> tuple[float, ...]:
    values = history_of(follower).points("validation", "loss", point.members).until(until).values
    if len(values) < 2:
        series = follower.series("loss", point.members)
        end = len(series) if until is None else min(until, len(series))
        if end < 2:
            return ()
        edges = np.unique(np.linspace(0, end, POINTS + 1).astype(np.int64))
        values = np.asarray(series.envelope(edges)[1], np.float64)
    return tuple(values.tolist())


def _std(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None
