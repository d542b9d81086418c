"""Whether torch.compile pays: what it takes to compile a model, and a step before and after."""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from descent.common.errors import DataMissingError
from engine.training import models
from tests.tools.benchmarks.harness import Figure, Result, interleave, ratio, spread
from tests.tools.benchmarks.work import CPU, WORKLOADS, Work, data_root, prepare

ROUNDS = 9
LEAST = 0.05  # seconds of steps to a measurement


def compiled(folder: Path) -> Result:
    """Steps on one batch, fused optimizer, one thread. Nothing that was compiled before is taken up."""
    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    figures, raw = [], {}
    for name in WORKLOADS:
        try:
            work = prepare(name, data_root())
        except DataMissingError as error:
            figures.append(Figure(f"{name}: not measured", str(error).splitlines()[0]))
            continue
        plain, fast = _step(work, compiled=False), _step(work, compiled=True)
        begin = time.perf_counter()
        fast()
        took = time.perf_counter() - begin
        times = interleave({"plain": partial(_lasts, plain), "compiled": partial(_lasts, fast)}, ROUNDS)
        kept, (low, high) = ratio(times, "compiled", "plain"), spread(times, "compiled", "plain")
        gained = statistics.median(times["plain"]) - statistics.median(times["compiled"])
        pays = f"; pays after {took / gained:,.0f} steps" if kept < 0.99 else "; does not pay"
        figures += [
            Figure(f"{name}: compiling", f"{took:.0f} s"),
            Figure(f"{name}: a step compiled / as it is", f"{kept:.2f} ({low:.2f} to {high:.2f}){pays}"),
        ]
        raw |= {f"{name}, {arm}": seconds for arm, seconds in times.items()}
    return Result(figures, raw)


def _step(work: Work, *, compiled: bool) -> Callable[[], object]:
    model = models.lay_out(work.fresh(), work.preset.model, CPU)
    optimizer = work.optimizer(model, fused=True)
    forward = torch.compile(model) if compiled else model
    rows = work.orders[0][0]
    inputs, targets = work.inputs.index_select(0, rows), work.targets.index_select(0, rows)

    def step() -> None:
        optimizer.zero_grad()
        work.criterion(forward(inputs), targets).backward()
        optimizer.step()

    return step


def _lasts(step: Callable[[], object]) -> float:
    """Seconds a step."""
    begin, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - begin < LEAST:
        step()
        count += 1
    return (time.perf_counter() - begin) / count
