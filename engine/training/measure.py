"""What is chosen by measuring, before step 0, on a throw-away copy of the model: threads, and how often to take
statistics. The choices are kept for the run's life: a resumed run must add up in the same order."""

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from engine.training.checkpoint import random_state, restore_random_state

BUDGET_THREADS = 0.1  # seconds for a choice, or twice as long where a step takes that long
BUDGET_CADENCE = 0.2
STATISTICS_SHARE = 0.02  # of a step's time, at most
NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

Step = Callable[[bool], None]  # one training step of the copy, with statistics or without


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Put the random generators back afterwards, so that measuring changes no run."""
    state = copy.deepcopy(random_state(device))
    try:
        yield
    finally:
        restore_random_state(state, device)


def thread_candidates() -> list[int]:
    """1, 2, 4 … and all cores that this process may use; only the user's number where OMP_NUM_THREADS is set."""
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return [max(1, int(os.environ["OMP_NUM_THREADS"]))]
    cores = len(os.sched_getaffinity(0))
    return [n for n in (1, 2, 4, 8, 16, 32, 64) if n < cores] + [cores]


def choose_threads(step: Step) -> int:
    """The smallest number of threads within 5% of the fastest.

    More threads can be many times slower: on a shared machine they spin at barriers while a core is taken away.
    """
    candidates = thread_candidates()
    if len(candidates) == 1:
        return candidates[0]
    times: dict[int, list[float]] = {n: [] for n in candidates}
    deadline = time.perf_counter() + BUDGET_THREADS
    while not times[candidates[-1]] or time.perf_counter() < deadline:  # interleaved: a neighbour hits all alike
        for n in candidates:
            torch.set_num_threads(n)
            step(False)  # the first step after a change wakes threads up
            times[n].append(_seconds(step, False))
            if time.perf_counter() > deadline + BUDGET_THREADS:
                break  # a large model: what is known has to do
        else:
            continue
        break
    known = {n: _median(measured) for n, measured in times.items() if measured}
    fastest = min(known.values())
    return min(n for n, seconds in known.items() if seconds <= 1.05 * fastest)


def choose_cadence(step: Step, device: torch.device) -> int:
    """Steps between statistics, so that they take at most 2% of the time; a round number."""
    plain: list[float] = []
    full: list[float] = []
    step(True)
    deadline = time.perf_counter() + BUDGET_CADENCE
    while len(plain) < 3 or time.perf_counter() < deadline:
        plain.append(_seconds(step, False, device))
        full.append(_seconds(step, True, device))
        if time.perf_counter() > deadline + BUDGET_CADENCE:
            break
    extra = max(0.0, _median(full) - _median(plain))
    wanted = math.ceil(extra / (STATISTICS_SHARE * _median(plain)))
    return next((n for n in NICE if n >= wanted), NICE[-1])


def _seconds(step: Step, statistics: bool, device: torch.device | None = None) -> float:
    start = time.perf_counter()
    step(statistics)
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
