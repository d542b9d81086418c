"""What a run says of itself while it trains in the foreground.

A thread draws at most twice a second, on a duplicate of the terminal: a dead or blocked terminal ends the
display, never the training.
"""

import math
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

INTERVAL = 0.5  # seconds between frames


@dataclass(frozen=True)
class Progress:
    """The numbers of this moment."""

    step: int = 0
    total_steps: int = 0
    epoch: int = 0  # the one under way, from 1
    epochs: int | None = None
    steps_per_second: float | None = None
    lr: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    grad_norm: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None

    @property
    def eta(self) -> float | None:
        """Seconds of training to go: what evaluations and pauses took does not count."""
        if not self.steps_per_second:
            return None
        return (self.total_steps - self.step) / self.steps_per_second


class Display:
    """Shows lines and numbers on file descriptor `terminal`; nothing at all where it is None."""

    def __init__(self, name: str, terminal: int | None) -> None:
        self._name = name
        self._terminal = terminal
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._progress: Callable[[], Progress] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._terminal is not None:
            self._thread = threading.Thread(target=self._run, name="display", daemon=True)
            self._thread.start()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._lines.put(line)

    def watch(self, progress: Callable[[], Progress]) -> None:
        """From now on, show what `progress` returns. It is called from the display's thread."""
        self._progress = progress

    def finish(self) -> None:
        """Draw what is left. A terminal that does not take it within a second is left alone."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        from rich.console import Console

        assert self._terminal is not None
        try:
            with open(os.dup(self._terminal), "w", encoding="utf-8", errors="replace") as file:
                console = Console(file=file, highlight=False)
                if os.isatty(self._terminal):
                    self._draw_frames(console)
                else:
                    self._print_lines(console)
        except OSError:
            pass  # the terminal is gone; the training is not

    def _print_lines(self, console: "Console") -> None:
        while not self._over.wait(INTERVAL):
            self._print_waiting(console)
        self._print_waiting(console)

    def _print_waiting(self, console: "Console") -> None:
        while not self._lines.empty():
            console.print(self._lines.get(), markup=False, soft_wrap=True)
        console.file.flush()

    def _draw_frames(self, console: "Console") -> None:
        from rich.live import Live

        started = time.monotonic()
        with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            over = False
            while not over:
                over = self._over.wait(INTERVAL)
                self._print_waiting(live.console)
                progress = self._progress() if self._progress is not None else None
                live.update(_frame(self._name, progress, time.monotonic() - started), refresh=True)


def _frame(name: str, progress: Progress | None, elapsed: float) -> "RenderableType":
    """One frame: a bar, and under it the numbers."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    if progress is None:
        return Text(f"{name}  loading torch and data … {elapsed:.0f} s", style="dim")
    top = Table.grid(padding=(0, 2), expand=True)
    for column in range(5):
        top.add_column(ratio=1 if column == 2 else None, no_wrap=True)
    epochs = f"epoch {progress.epoch}" + (f"/{progress.epochs}" if progress.epochs else "")
    top.add_row(
        Text(f"{name}  {epochs}", style="bold"),
        f"step {progress.step:,}/{progress.total_steps:,}",
        ProgressBar(total=max(1, progress.total_steps), completed=progress.step),
        f"{progress.step / max(1, progress.total_steps):.0%}",
        f"{number(progress.steps_per_second)} step/s  ETA {duration(progress.eta)}",
    )
    cells = [
        ("loss", number(progress.loss)),
        ("lr", number(progress.lr)),
        ("|grad|", number(progress.grad_norm)),
    ]
    if progress.accuracy is not None:
        cells.insert(1, ("accuracy", f"{progress.accuracy:.1%}"))
    if progress.val_loss is not None:
        cells.append(("val loss", number(progress.val_loss)))
    if progress.val_accuracy is not None:
        cells.append(("val accuracy", f"{progress.val_accuracy:.1%}"))
    numbers = Text("  ".join(f"{label} {value}" for label, value in cells))
    return Group(top, numbers)


def number(value: float | None) -> str:
    """Three significant digits; an en dash where there is none yet."""
    if value is None:
        return "–"
    if math.isfinite(value) and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds as 0:05, 12:34 or 1:02:03."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
