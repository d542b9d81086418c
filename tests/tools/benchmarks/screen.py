"""What it costs to be looked at: steps a second, the console's own time, the bytes it sends, a key's way and back.

And what a long run costs the console: its opening, a chart's frame, a step back through the training.
"""

import asyncio
import gc
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from descent.common.numbers import count, number
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import loading
from tests.helpers.bare_terminal import BareTerminal
from tests.helpers.screens import text
from tests.tools.benchmarks import long_run
from tests.tools.benchmarks.control import preset, training
from tests.tools.benchmarks.harness import Figure, Result, interleave, percentile, ratio, spread

if TYPE_CHECKING:
    from tui.screens.console.screen import Console

SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22", "DESCENT_LANG": "en"}
SIZES = {(80, 24): None, (120, 40): 25.0, (200, 60): None}  # KB a second at most
ROUNDS, WINDOW, SETTLES = 30, 0.8, 0.3  # the last two in seconds; 70 s of the three minutes that all of it may take
COUNTED = 6.0  # seconds in which bytes and processor time are counted
STANDS = 3.0  # seconds until the screen has everything
CPU = 0.15  # of a core, at most
KEYS = 30
RATES = (0.01 * 2**0.5, 0.01)  # after `+`, and after `-`: those of the preset that is trained
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
            cpu, sent = _spent(terminal)
            times = interleave(
                {
                    "attached": lambda: _step_time(run, pid, signal.SIGCONT),
                    "not attached": lambda: _step_time(run, pid, signal.SIGSTOP),
                },
                ROUNDS,
            )
            os.kill(pid, signal.SIGCONT)
            keys = _keys(terminal)
        kilobytes = {size: sent if size == (120, 40) else _bytes(run, size) for size in SIZES}
    kept = ratio(times, "not attached", "attached")
    low, high = spread(times, "not attached", "attached")
    figures = [
        Figure("steps a second, attached / not", f"{kept:.3f} ({low:.3f} to {high:.3f})", "≥ 0.97",
               True if kept >= 0.97 else None if high >= 0.97 else False),
        Figure("the console's processor time, of one core", f"{100 * cpu:.1f} %", f"≤ {100 * CPU:g} %", cpu <= CPU),
        *(
            Figure(f"KB a second over SSH, {width}×{height}", f"{kilobytes[width, height]:.1f}",
                   f"≤ {bar:g}" if bar else "", kilobytes[width, height] <= bar if bar else None)
            for (width, height), bar in SIZES.items()
        ),
        Figure("key → acknowledged on the screen: median; 99th", f"{_ms(statistics.median(keys))}; "
               f"{_ms(percentile(keys, 99))}"),
    ]  # fmt: skip
    of_long = long(folder)
    facts = {"sent": {f"{w}×{h}": kb for (w, h), kb in kilobytes.items()}, **of_long.facts}
    return Result([*figures, *of_long.figures], {**times, "keys": keys, **of_long.raw}, facts)


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


def _spent(terminal: BareTerminal) -> tuple[float, float]:
    """The share of a core that the console takes, and KB (1,000 bytes) a second that it sends."""
    time.sleep(STANDS)
    pid = terminal.process.pid
    cpu, sent, begin = _cpu(pid), len(terminal.output), time.perf_counter()
    time.sleep(COUNTED)
    seconds = time.perf_counter() - begin
    return (_cpu(pid) - cpu) / seconds, (len(terminal.output) - sent) / seconds / 1000


def _bytes(run: RunFolder, size: tuple[int, int]) -> float:
    with console(run, size) as terminal:
        return _spent(terminal)[1]


def _keys(terminal: BareTerminal) -> list[float]:
    """The dial, up and down in turn, each once the one before was acknowledged."""
    times = []
    for press in range(KEYS):
        time.sleep(SETTLES)
        since, begin = len(terminal.output), time.perf_counter()
        terminal.type("+-"[press % 2])
        terminal.see(f"→ {number(RATES[press % 2])} from step", since)
        times.append(time.perf_counter() - begin)
    return times


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


# --- a long run ------------------------------------------------------------------------------------------

OPENED, FRAMES, SCRUBS = 5, 50, 10


def long(folder: Path) -> Result:
    """The console's screen on a run of LONG steps and 42 columns, in the file cache: until all charts are drawn.

    Then frames of each chart, and steps back through the training by the cursor, until the board shows that step.
    """
    run = long_run.write(folder / "runs", LONG)
    opened, spent, frames, scrubs = [], [], [], []
    for _ in range(OPENED):
        seconds, processor, drawn, scrubbed = asyncio.run(_open(run))
        opened.append(seconds)
        spent.append(processor)
        frames += drawn
        scrubs += scrubbed
    slow, frame, scrub = statistics.median(opened[1:]), statistics.median(frames), statistics.median(scrubs)
    figures = [
        Figure(f"{LONG:,} steps: from the console's screen to full charts", f"{slow:.2f} s", "≤ 0.5 s", slow <= 0.5),
        Figure("processor time of it, of all threads", f"{statistics.median(spent[1:]):.2f} s"),
        Figure("a chart's frame of them, processor time", _ms(frame), "≤ 5 ms", frame <= 0.005),
        Figure("← to the board of that step: median; 99th", f"{_ms(scrub)}; {_ms(percentile(scrubs, 99))}",
               "≤ 100 ms", scrub <= 0.1),
    ]  # fmt: skip
    raw = {"opened": opened, "processor": spent, "frames": frames, "scrubs": scrubs}
    return Result(figures, raw, {"steps": LONG})


async def _open(run: RunFolder) -> tuple[float, float, list[float], list[float]]:
    """Seconds until it is open, processor time of that and of each chart's frames, seconds of each step back."""
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
        screen.action_point(-1)  # the cursor begins at the last step
        scrubs = [await _scrub(screen) for _ in range(SCRUBS)]
    gc.unfreeze()
    return opened, processor, frames, scrubs


async def _scrub(screen: "Console") -> float:
    before, begin = _past(screen), time.perf_counter()
    screen.action_point(-1)
    while (past := _past(screen)) in (None, before) or f"◀ step {count(past)}" not in text(screen.app):
        await asyncio.sleep(0.002)
    return time.perf_counter() - begin


def _past(screen: "Console") -> int | None:
    return None if screen.snapshot is None else screen.snapshot.past
