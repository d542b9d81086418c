"""What every benchmark needs: arms measured in turn, ratios of medians, a table, and all times kept."""

import math
import os
import random
import signal
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One line of the table. holds: whether the figure is within its bar; None where that can't be told."""

    what: str
    value: str
    bar: str = ""
    holds: bool | None = None


@dataclass
class Result:
    """What a benchmark came to. raw: every time measured, in seconds, by arm or kind; facts: what else to keep."""

    figures: list[Figure]
    raw: Mapping[str, Sequence[float]]
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def watched(pid: int) -> Iterator[None]:
    """Wait for a forked process within: where that is interrupted, the process ends first."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise


def interleave(arms: Mapping[str, Callable[[], float]], rounds: int, *, seed: int = 0) -> dict[str, list[float]]:
    """Run every arm once a round, in an order drawn anew for each: a busy neighbour then hits all alike.

    An arm returns the seconds that count. One round before the first is thrown away.
    """
    draw = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name in draw.sample(list(arms), len(arms)):
            seconds = arms[name]()
            if number:
                times[name].append(seconds)
    return times


def ratio(times: Mapping[str, Sequence[float]], over: str, under: str) -> float:
    """The median of one arm, over that of another."""
    return statistics.median(times[over]) / statistics.median(times[under])


def spread(times: Mapping[str, Sequence[float]], over: str, under: str, *, seed: int = 0) -> tuple[float, float]:
    """The interval that holds `ratio` in 90 of 100 cases, from redrawn rounds: how much of it may be chance."""
    draw, rounds = random.Random(seed), range(len(times[over]))
    redrawn = []
    for _ in range(1000):
        chosen = draw.choices(rounds, k=len(rounds))
        redrawn.append(ratio({name: [times[name][i] for i in chosen] for name in (over, under)}, over, under))
    return percentile(redrawn, 5), percentile(redrawn, 95)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent of all do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, the columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
