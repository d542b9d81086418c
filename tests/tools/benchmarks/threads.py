"""What a run makes of the machine's cores: alone, and beside three others that want them too."""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.launch import start
from engine.launch.options import Options
from tests.helpers.waiting import wait_for
from tests.tools.benchmarks.control import preset
from tests.tools.benchmarks.harness import Figure, Result, interleave

ROUNDS, WINDOW, SETTLES = 5, 6.0, 3.0  # seconds
TOGETHER = 4
BAR = 1.5
LONGEST = 200  # ms for the choice of threads


def threads(folder: Path) -> Result:
    """Steps a second of an MNIST-shaped model, summed over the runs. Each run measures how many threads are best."""
    source, cores = preset(folder), len(os.sched_getaffinity(0))
    chosen: dict[str, list[int]] = {}
    took: dict[str, list[float]] = {}

    def arm(name: str, runs: int, *settings: str) -> float:
        seconds, facts = _train(source, folder, runs, settings)
        chosen.setdefault(name, []).extend(each["threads"] for each in facts)
        took.setdefault(name, []).extend(each["measuring_took"].get("threads", 0.0) for each in facts)
        return seconds

    one, four, default = "one run", f"{TOGETHER} at once", f"{TOGETHER} at once, {cores} threads each"
    with _no_threads_asked_for():
        times = interleave(
            {
                one: lambda: arm(one, 1),
                four: lambda: arm(four, TOGETHER),
                default: lambda: arm(default, TOGETHER, f"train.threads={cores}"),
            },
            ROUNDS,
        )
    alone = statistics.median(times[one])
    together = alone / statistics.median(times[four])
    figures = [
        Figure(f"{one}", f"{1 / alone:,.0f} step/s; threads chosen: {_counted(chosen[one])}"),
        Figure(f"total of {four} / {one}", f"{together:.2f}; threads chosen: {_counted(chosen[four])}", f"≥ {BAR:g}",
               together >= BAR),
        Figure(f"choosing the threads, {one}", f"{1000 * statistics.median(took[one]):.0f} ms", f"≤ {LONGEST} ms",
               1000 * statistics.median(took[one]) <= LONGEST),
        Figure(f"total of {default}, as PyTorch would / {one}", f"{alone / statistics.median(times[default]):.2f}"),
    ]  # fmt: skip
    return Result(figures, times, {"chosen": chosen, "choosing_took": took})


@contextmanager
def _no_threads_asked_for() -> Iterator[None]:
    """OMP_NUM_THREADS would settle what is to be measured."""
    asked = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ["OMP_NUM_THREADS"] = asked


def _train(source: Path, folder: Path, count: int, settings: tuple[str, ...]) -> tuple[float, list[dict[str, Any]]]:
    """Seconds for each step that any of `count` runs makes while all train; what each wrote of itself."""
    with ExitStack() as stack:
        runs = [stack.enter_context(_worker(source, folder, settings)) for _ in range(count)]
        for run in runs:
            wait_for(lambda run=run: len(Metrics(run.path)) > 100, "the run")
        time.sleep(SETTLES)
        stored = [Metrics(run.path) for run in runs]
        before, begin = sum(map(len, stored)), time.perf_counter()
        time.sleep(WINDOW)
        seconds, made = time.perf_counter() - begin, sum(map(len, stored)) - before
        return seconds / max(1, made), [run.facts() for run in runs]


@contextmanager
def _worker(source: Path, folder: Path, settings: tuple[str, ...]) -> Iterator[RunFolder]:
    run = start.detach(str(source), ["train.evaluate_every=1000", *settings], Options(None, folder / "runs"))
    try:
        yield run
    finally:
        pid = worker_pid(run.path)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: worker_pid(run.path) is None, "the worker's end")


def _counted(threads: list[int]) -> str:
    return ", ".join(f"{threads.count(n)} × {n}" for n in sorted(set(threads)))
