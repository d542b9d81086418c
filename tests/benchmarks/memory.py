"""Whether a long training, and a console that looks on, stay as small as they were."""

import os
import signal
import time
from pathlib import Path

from engine import launch
from engine.metrics import Metrics
from engine.options import Options
from engine.run import RunFolder, worker_pid
from tests.benchmarks.harness import Figure, Result
from tests.benchmarks.screen import console
from tests.processes import until

STEPS, LOOKS = 1_000_000, 50
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory(folder: Path) -> Result:
    """Resident megabytes of worker and console while a linear regression trains STEPS steps with the console open."""
    settings = [f"train.steps={STEPS + 100_000}", "train.threads=1", "train.evaluate_every={ steps = 5000 }"]
    run = launch.detach("linear-regression", settings, Options("long", folder / "runs"))
    found: list[tuple[int, float, float]] = []
    try:
        until(lambda: len(Metrics(run.path)) > 100, "the run")
        with console(run, (120, 40)) as terminal:
            for look in range(1, LOOKS + 1):
                _reach(run, STEPS * look // LOOKS)
                step = len(Metrics(run.path))
                found.append((step, _resident(_worker(run)), _resident(terminal.process.pid)))
    finally:
        os.kill(_worker(run), signal.SIGKILL)
    figures = []
    for name, index in (("worker", 1), ("console", 2)):
        early, late = found[LOOKS // 10 - 1][index], found[-1][index]
        figures.append(Figure(f"{name} after {found[-1][0]:,} steps", f"{late:.0f} MB"))
        figures.append(Figure(f"{name}, more than after {found[LOOKS // 10 - 1][0]:,}", f"{late - early:+.1f} MB"))
    return Result(figures, {}, {"step, worker, console": found})


def _reach(run: RunFolder, step: int) -> None:
    stored = Metrics(run.path)
    while len(stored) < step:
        assert run.state() == "running", run.last("state")
        time.sleep(0.2)


def _worker(run: RunFolder) -> int:
    pid = worker_pid(run.path)
    assert pid is not None, run.last("state")
    return pid


def _resident(pid: int) -> float:
    """MB (1,000,000 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
