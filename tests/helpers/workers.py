"""Workers in forked processes, which need not load PyTorch anew, started by the functions that the commands call."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import start as launch
from engine.launch.options import Options
from engine.training import loop, worker  # noqa: F401 - imported once here, not in each child
from tests.helpers.processes import fork
from tests.helpers.waiting import wait_for


def begin(action: Callable[[], int]) -> int:
    """Start `action` in a process that exits as a command would; the process's id."""

    def run() -> int:
        try:
            return action()
        except DescentError as error:
            print(error, file=sys.stderr)
            return error.exit_code

    return fork(run)


def ends_with(pid: int) -> int:
    """Wait for a process; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def child(action: Callable[[], int]) -> int:
    """The exit code of `action` in a forked process."""
    return ends_with(begin(action))


def rest_between_steps() -> None:
    """In a forked process: train at some hundred steps a second. A run for longer than any test would take a core."""
    take = loop.train_step

    def rested(*given: Any, **named: Any) -> Any:
        time.sleep(0.002)
        return take(*given, **named)

    loop.train_step = rested


def start(runs: Path, *settings: str, preset: str = "digits-mlp") -> tuple[int, RunFolder]:
    """A worker in a process of its own, training for longer than any test."""
    common = ["train.device=cpu", "train.threads=1", "train.statistics_every=10", "data.size=400", *settings]

    def run() -> int:
        rest_between_steps()
        return launch.run(preset, common, Options("live", runs, quiet=True))

    pid = begin(run)
    folder = RunFolder(runs / "live")
    wait_for(lambda: (folder.path / "events.jsonl").exists() and folder.state() == "running", "the run")
    return pid, folder


def alive(runs: Path, *settings: str) -> Iterator[tuple[int, RunFolder]]:
    """A worker that has begun to write rows, and is killed afterwards."""
    pid, folder = start(runs, *settings)
    wait_for(lambda: len(Metrics(folder.path).rows()), "the first rows")
    yield pid, folder
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
