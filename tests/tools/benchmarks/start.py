"""How long a user waits: for a command's words, for the first frame, from Enter to the first point on the chart."""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.events import Key

from descent.run.state import ALIVE
from descent.warm import hold
from engine.labs.grader import Grader
from engine.labs.library import find_lab
from tests.helpers.lab_solutions import begun_and_solved
from tests.helpers.screens import seen
from tests.tools.benchmarks.harness import Figure, Result, interleave, percentile

ROUNDS, RUNS = 5, 50  # runs: as many as `descent runs` lists
LAB, PRESET = "gd-line", "digits-mlp"
BARS = {
    "descent --help": 0.3,
    "first frame of Home": 0.6,
    f"Enter to the first point, {PRESET}": 4.0,
    "the same, forked from a warm process": 0.7,
    f"a grading of {LAB}, forked": 2.0,
}
IMPORTS = 5  # of those that take longest, in `descent --help`
DESCENT = (sys.executable, "-m", "descent")
FRAME = """
import asyncio, os
from engine.launch import loading
async def leave(pilot):
    os._exit(0)
with loading.without_collections():  # as tui.open_console does
    from tui.app import DescentApp
    asyncio.run(DescentApp().run_async(headless=True, size=(120, 40), auto_pilot=leave))
"""
LOADING = "import os; from engine.launch import loading; loading.worker(); os._exit(0)"
_IMPORT = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|( *)(\S+)")


def start(folder: Path) -> Result:
    """Each in processes of its own, the files of Python and PyTorch in the page cache."""
    _many_runs(folder / "runs")
    hold().join()
    os.environ["DESCENT_WARM"] = "0"
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    work = folder / "lab"
    begun_and_solved(find_lab(LAB), work)
    arms: dict[str, Callable[[], float]] = {
        "descent --help": lambda: _lasts(*DESCENT, "--help"),
        f"descent runs, {RUNS} of them": lambda: _lasts(*DESCENT, "runs", "--runs-dir", str(folder / "runs")),
        "descent presets list": lambda: _lasts(*DESCENT, "presets", "list"),
        "first frame of Home": lambda: _lasts(sys.executable, "-c", FRAME),
        f"Enter to the first point, {PRESET}": lambda: _first_point(folder),
        "the same, forked from a warm process": lambda: _warm(lambda: _first_point(folder)),
        f"a grading of {LAB}": lambda: _grading(work),
        f"a grading of {LAB}, forked": lambda: _warm(lambda: _grading(work)),
        "of it, loading PyTorch": lambda: _lasts(sys.executable, "-c", LOADING),
    }
    times = interleave(arms, ROUNDS)
    figures = []
    for name, seconds in times.items():
        median, bar = statistics.median(seconds), BARS.get(name)
        value = f"{median:.3f} s; longest {percentile(seconds, 100):.2f} s"
        figures.append(Figure(name, value, f"≤ {bar:g} s" if bar else "", median <= bar if bar else None))
    slowest = _imports()
    figures += [Figure(f"import of {name}", f"{1000 * seconds:.0f} ms") for name, seconds in slowest[:IMPORTS]]
    return Result(figures, times, {"runs": RUNS, "imports": dict(slowest)})


def _lasts(*words: str) -> float:
    begin = time.perf_counter()
    # A session of its own: ctrl+c is for the benchmark, which ends it.
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, start_new_session=True)
    return time.perf_counter() - begin


def _warm(arm: Callable[[], float]) -> float:
    """`arm` with forks of the warm process."""
    os.environ["DESCENT_WARM"] = "1"
    try:
        return arm()
    finally:
        os.environ["DESCENT_WARM"] = "0"


def _grading(folder: Path) -> float:
    """From a start as `k` makes it to the verdict."""
    begin = time.perf_counter()
    with Grader(LAB, folder=folder) as grader:
        verdict = grader.wait()
    assert verdict["passed"], verdict
    return time.perf_counter() - begin


def _imports() -> list[tuple[str, float]]:
    """Own seconds of each module that `descent --help` imports, the longest first."""
    words = (sys.executable, "-X", "importtime", "-m", "descent", "--help")
    told = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    found = [(match[4], int(match[1]) / 1e6) for match in map(_IMPORT.match, told.splitlines()) if match]
    return sorted(found, key=lambda entry: -entry[1])


def _first_point(folder: Path) -> float:
    """From Enter on a preset in Home to a point on the chart of its loss."""
    return asyncio.run(_entered(folder / "starts"))


async def _entered(runs: Path) -> float:
    from descent.control import send
    from tui.app import DescentApp
    from tui.screens.console.screen import Console
    from tui.widgets.chart import Chart

    app: Any = DescentApp(runs_dir=runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, PRESET)
        await pilot.press("slash", *PRESET, "enter")
        await seen(pilot, f"$ descent run {PRESET}")
        begin = time.perf_counter()
        app.post_message(Key("enter", None))
        while True:
            chart = next(iter(app.screen.query("#loss").results(Chart)), None)
            if isinstance(app.screen, Console) and chart is not None and chart.data.lines:
                seconds = time.perf_counter() - begin
                break
            await pilot.pause(0.01)
        run = app.screen.folder
        if run.state() in ALIVE:
            send(run.path, "stop", {"how": "discard"})
        return seconds


def _many_runs(runs: Path) -> None:
    """One short run, copied."""
    os.environ["DESCENT_RUNS"] = str(runs)
    words = (*DESCENT, "run", "digits-mlp", "--set", "train.epochs=2", "--quiet", "--id", "run-0")
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    for number in range(1, RUNS):
        shutil.copytree(runs / "run-0", runs / f"run-{number}")
