"""What it costs to be looked at: steps a second, the console's own time, the bytes it sends, a key's way and back."""

import asyncio
import gc
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import loading
from tests.helpers.bare_terminal import BareTerminal
from tests.tools.benchmarks import long_run
from tests.tools.benchmarks.control import preset, training
from tests.tools.benchmarks.harness import Figure, Result, interleave, percentile, ratio, spread

SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}
SIZES = {(80, 24): None, (120, 40): 25.0, (200, 60): None}  # KB a second at most
ROUNDS, WINDOW, SETTLES = 100, 1.0, 0.3  # seconds
COUNTED = 8.0  # seconds in which bytes are counted
KEYS = 40
LONG = 1_000_000  # steps
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def console(run: RunFolder, size: tuple[int, int]) -> Iterator[BareTerminal]:
    """`descent attach` in a terminal of its own, as over SSH, once its charts are there."""
    terminal = BareTerminal(["attach", str(run.path)], run.path.parent, size=size, environment=SSH)
    try:
        terminal.see("update/w" if size[1] >= 24 else "loss")
        time.sleep(2 * SETTLES)
        yield terminal
    finally:
        terminal.end()


def screen(folder: Path) -> Result:
    """A console on a run that trains: it is stopped and let go on by signals, so that both arms have it in memory."""
    with training(preset(folder), folder=folder) as run:
        with console(run, (120, 40)) as terminal:
            pid = terminal.process.pid
            times = interleave(
                {
                    "attached": lambda: _step_time(run, pid, signal.SIGCONT),
                    "not attached": lambda: _step_time(run, pid, signal.SIGSTOP),
                },
                ROUNDS,
            )
            os.kill(pid, signal.SIGCONT)
            cpu = _cpu_share(pid)
            keys = _keys(terminal)
        sent = {size: _bytes(run, size) for size in SIZES}
    kept = ratio(times, "not attached", "attached")
    low, high = spread(times, "not attached", "attached")
    figures = [
        Figure("steps a second, attached / not", f"{kept:.3f} ({low:.3f} to {high:.3f})", "≥ 0.97",
               True if kept >= 0.97 else None if high >= 0.97 else False),
        Figure("the console's processor time, of one core", f"{100 * cpu:.1f} %"),
        *(
            Figure(f"KB a second over SSH, {width}×{height}", f"{sent[width, height]:.1f}",
                   f"≤ {bar:g}" if bar else "", sent[width, height] <= bar if bar else None)
            for (width, height), bar in SIZES.items()
        ),
        Figure("key → acknowledged on the screen: median; 99th", f"{_ms(statistics.median(keys))}; "
               f"{_ms(percentile(keys, 99))}"),
    ]  # fmt: skip
    return Result(figures, {**times, "keys": keys}, {"sent": {f"{w}×{h}": kb for (w, h), kb in sent.items()}})


def _step_time(run: RunFolder, pid: int, signal_number: signal.Signals) -> float:
    """Seconds a step over a window, with the console awake or not, by the rows' own clock.

    Rows reach the disk ten times a second: counted by this process's clock, they would be off by a tenth of a window.
    """
    os.kill(pid, signal_number)
    time.sleep(SETTLES)
    first = len(Metrics(run.path))
    time.sleep(WINDOW)
    stored = Metrics(run.path)
    assert stored.layout is not None
    seconds = stored.rows(first)[:, 0, stored.layout.columns.index("time")].tolist()
    return float(seconds[-1] - seconds[0]) / (len(seconds) - 1)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _cpu_share(pid: int) -> float:
    before, begin = _cpu(pid), time.perf_counter()
    time.sleep(COUNTED)
    return (_cpu(pid) - before) / (time.perf_counter() - begin)


def _keys(terminal: BareTerminal) -> list[float]:
    """The dial, up and down in turn, each once the one before was acknowledged."""
    times = []
    for number in range(KEYS):
        time.sleep(SETTLES)
        since, begin = len(terminal.output), time.perf_counter()
        terminal.type("+-"[number % 2])
        terminal.see("of the plan", since)
        times.append(time.perf_counter() - begin)
    return times


def _bytes(run: RunFolder, size: tuple[int, int]) -> float:
    """KB (1,000 bytes) a second, once the screen stands."""
    with console(run, size) as terminal:
        time.sleep(10 * SETTLES)
        before, begin = len(terminal.output), time.perf_counter()
        time.sleep(COUNTED)
        return (len(terminal.output) - before) / (time.perf_counter() - begin) / 1000


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


# --- a long run ------------------------------------------------------------------------------------------

OPENED, FRAMES = 7, 50


def long(folder: Path) -> Result:
    """The console's screen on a run of LONG steps and 42 columns, in the file cache: until all charts are drawn."""
    run = long_run.write(folder / "runs", LONG)
    opened, frames, spent = [], [], []
    for _ in range(OPENED):
        seconds, processor, drawn = asyncio.run(_open(run))
        opened.append(seconds)
        spent.append(processor)
        frames += drawn
    slow, frame = statistics.median(opened[1:]), statistics.median(frames)
    figures = [
        Figure("from the console's screen to full charts", f"{slow:.2f} s", "≤ 0.5 s", slow <= 0.5),
        Figure("processor time of it, of all threads", f"{statistics.median(spent[1:]):.2f} s"),
        Figure("a chart's frame, processor time", _ms(frame), "≤ 5 ms", frame <= 0.005),
    ]
    return Result(figures, {"opened": opened, "processor": spent, "frames": frames}, {"steps": LONG})


async def _open(run: RunFolder) -> tuple[float, float, list[float]]:
    """Seconds until it is open, processor time of that, and that of each chart's frames."""
    from tui.app import DescentApp
    from tui.screens.console.screen import Console
    from tui.widgets.chart import Chart

    app = DescentApp(runs_dir=run.path.parent, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        loading.settle()  # as the app does in a terminal
        begin, before = time.perf_counter(), time.process_time()
        screen = Console(run)
        await app.push_screen(screen)
        charts = list(screen.query(Chart))
        while screen.snapshot is None or not all(chart.data.lines for chart in charts if chart.display):
            await asyncio.sleep(0.005)  # looking costs processor time, which is measured as well
        opened, processor, frames = time.perf_counter() - begin, time.process_time() - before, []
        for chart in [chart for chart in charts if chart.display]:
            for _ in range(FRAMES):
                begin = time.thread_time()
                chart.refresh_data()
                frames.append(time.thread_time() - begin)
    gc.unfreeze()
    return opened, processor, frames
