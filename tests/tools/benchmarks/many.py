"""What a Home of thousands of runs costs: files, bytes, the first look at all of them, and the looks after it."""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from descent.run import find
from descent.run.layout import Layout
from descent.run.lock import WorkerLock
from engine.launch import start
from engine.launch.options import Options
from tests.tools.benchmarks.harness import Figure, Result
from tui.data.runs import Glances

ENDED, LIVE = 10_000, 200
_LOOKS = 20
_ROWS = 10  # that each live run gets between two looks


def many(folder: Path) -> Result:
    """10,000 ended runs, which share the bytes of one, and 200 that grow: their workers are simulated."""
    ended, live = folder / "ended", folder / "live"
    model = _trained(folder / "model")
    for number in range(ENDED):
        _copy(model, ended / f"digits-mlp-{number:05}", os.link)
    files = sum(1 for _ in model.rglob("*"))
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    figures = [
        Figure("a run of digits-mlp, 20 epochs", f"{files + 1} files and folders, {size / 1000:.0f} kB"),
        Figure(f"{ENDED:,} ended runs: `descent runs --json`", f"{_listed(ended):.1f} s"),
    ]
    begin = time.process_time()
    paths = find.known_runs(ended)
    found = time.process_time() - begin
    glances = Glances()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first, again = (_look(glances, paths) for _ in range(2))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    figures += [
        Figure(f"{ENDED:,} ended runs: found", f"{found:.2f} s of a core"),
        Figure(f"{ENDED:,} ended runs: the first look at all", f"{first:.1f} s of a core, {grown:.0f} MB"),
        Figure(f"{ENDED:,} ended runs: a look again", f"{again:.2f} s of a core"),
    ]
    seconds = _live_looks(model, live)
    figures.append(Figure(f"{LIVE} live runs: a look at all, each second", f"{seconds:.2f} s of a core"))
    return Result(figures, {}, {"files": files + 1, "bytes": size})


def _trained(runs: Path) -> Path:
    """Return the folder of a run that is over."""
    assert start.run("digits-mlp", ["train.threads=1"], Options("model", runs, quiet=True)) == 0
    return runs / "model"


def _copy(run: Path, to: Path, copy: Callable[[Path, Path], object]) -> None:
    for path in run.rglob("*"):
        target = to / path.relative_to(run)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(path, target)


def _listed(runs: Path) -> float:
    """Seconds until a shell has the table of all runs."""
    environment = {**os.environ, "DESCENT_RUNS": str(runs), "XDG_STATE_HOME": str(runs.parent / "state")}
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "descent", "runs", "--json"], env=environment, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - begin


def _look(glances: Glances, runs: Sequence[Path]) -> float:
    """Seconds of a core for a look at each of these runs."""
    begin = time.process_time()
    for run in runs:
        glances.of(run)
    return time.process_time() - begin


def _live_looks(model: Path, folder: Path) -> float:
    """The median of looks at runs whose rows have grown since the look before."""
    runs, locks, grown, glances = [], [], [], Glances()
    for number in range(LIVE):
        run = folder / f"digits-mlp-{number:05}"
        _copy(model, run, shutil.copyfile)
        events = [line for line in (run / "events.jsonl").read_text().splitlines(True) if '"finished"' not in line]
        (run / "events.jsonl").write_text("".join(events))
        locks.append(WorkerLock(run))
        locks[-1].announce()
        runs.append(run)
        grown.append(next((run / "metrics").iterdir()))
    layout = Layout.load(runs[0])
    assert layout is not None
    rows = grown[0].read_bytes()[: _ROWS * layout.row_bytes]
    times = []
    for _ in range(_LOOKS):
        for file in grown:
            with file.open("ab") as opened:
                opened.write(rows)
        times.append(_look(glances, runs))
    assert all(glances.of(run).alive for run in runs)
    for lock in locks:
        lock.release()
    return statistics.median(times)
