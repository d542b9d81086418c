"""Whether a long training, and a console that looks on, stay as small as they were."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.launch import start
from engine.launch.options import Options
from tests.helpers.waiting import wait_for
from tests.tools.benchmarks.harness import Figure, Result
from tests.tools.benchmarks.screen import console

STEPS, HOUR = 1_000_000, 3600.0
EVERY = 5.0  # seconds between two looks
FROM, MOST = 0.5, 5.0  # from half of it on, by when the console keeps all that it will: MB more that count as flat
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Look(NamedTuple):
    """Resident MB (1,000,000 bytes) of both processes, after so many seconds and steps."""

    seconds: float
    step: int
    worker: float
    console: float


def memory(folder: Path) -> Result:
    """Worker and console after STEPS steps of digits-mlp, with the console open, and after half of them."""
    return _watch(folder, lambda look: look.step / STEPS)


def hour(folder: Path) -> Result:
    """The same after an hour, however many steps those are, and after half of it."""
    return _watch(folder, lambda look: look.seconds / HOUR)


def _watch(folder: Path, share: Callable[[Look], float]) -> Result:
    settings = ["train.epochs=10000000", "train.threads=1"]
    run = start.detach("digits-mlp", settings, Options("long", folder / "runs"))
    looks: list[Look] = []
    try:
        wait_for(lambda: len(Metrics(run.path)) > 100, "the run")
        begin = time.monotonic()
        with console(run, (120, 40)) as terminal:
            while not looks or share(looks[-1]) < 1:
                time.sleep(EVERY)
                assert run.state() == "running", run.last("state")
                memories = _resident(_worker(run)), _resident(terminal.process.pid)
                looks.append(Look(time.monotonic() - begin, len(Metrics(run.path)), *memories))
    finally:
        os.kill(_worker(run), signal.SIGKILL)
    early, late = next(look for look in looks if share(look) >= FROM), looks[-1]
    figures = [Figure("steps", f"{late.step:,} in {late.seconds / 60:.0f} min")]
    for name in ("worker", "console"):
        now, more = getattr(late, name), getattr(late, name) - getattr(early, name)
        figures.append(Figure(name, f"{now:.0f} MB"))
        figures.append(
            Figure(f"{name}, more than at {early.step:,}", f"{more:+.1f} MB", f"≤ {MOST:.0f} MB", more <= MOST)
        )
    return Result(figures, {}, {"seconds, step, worker, console": looks})


def _worker(run: RunFolder) -> int:
    pid = worker_pid(run.path)
    assert pid is not None, run.last("state")
    return pid


def _resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6
