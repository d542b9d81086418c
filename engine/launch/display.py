"""The display of a run that trains in the foreground.

A thread draws at most twice a second, on a duplicate of the terminal's descriptor. A dead or blocked terminal ends
the display, but never the training.
"""

import contextlib
import io
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from descent.common.i18n import _
from descent.common.numbers import duration, metric, number, percent, rate
from descent.common.stdio import PATIENCE, plain, write_within
from descent.common.text import clean, shorten
from descent.run.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text


INTERVAL = 0.5  # seconds between frames
SILENCE = 15.0  # seconds without a line after which a log gets one, so that a slow run does not seem to hang
LONGEST_SILENCE = 600.0  # each time it is twice as long as before, up to this
LONGEST_NAME = 24
_NO_PATIENCE = 0.2  # seconds for a terminal, of a process that ends at once
_SHOW_CURSOR = b"\x1b[?25h\r\n"


class Display:
    """Shows lines and numbers on the file descriptor `terminal`. Shows nothing if it is None."""

    def __init__(self, name: str, terminal: int | None) -> None:
        self._name = shorten(clean(name), LONGEST_NAME)
        self._terminal = terminal
        self._draws = terminal is not None and os.isatty(terminal) and os.environ.get("TERM", "dumb") != "dumb"
        self._encoding = sys.stdout.encoding or "utf-8"
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._doing = _("loading PyTorch and data")
        self._progress: Callable[[], Progress] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._terminal is not None:
            self._thread = threading.Thread(target=self._run, name="display", daemon=True)
            self._thread.start()

    def say(self, line: str) -> None:
        """Print a line. Never waits, so that a signal's handler may call it."""
        self._lines.put(line)

    def say_stopping(self) -> None:
        self.say(_("stopping after this step, with a checkpoint; once more stops at once, without saving"))

    def doing(self, what: str) -> None:
        """Show what the worker does before it trains, which may take long. what: in the current language."""
        self._doing = what

    def watch(self, progress: Callable[[], Progress]) -> None:
        """Show what `progress` returns from now on. It is called from the display's thread."""
        self._progress = progress

    def finish(self) -> bool:
        """Draw what is left. Returns whether the terminal took it within PATIENCE."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=PATIENCE)
        return self._thread is None or not self._thread.is_alive()

    def give_terminal_back(self) -> None:
        """Show the cursor again, if the terminal takes that at once. For a process that ends at once."""
        if self._draws and self._terminal is not None:
            with contextlib.suppress(OSError):
                write_within(self._terminal, _SHOW_CURSOR, _NO_PATIENCE)

    # --- the display's thread ---

    def _run(self) -> None:
        assert self._terminal is not None
        descriptor = os.dup(self._terminal)
        with (
            contextlib.suppress(OSError),  # the terminal is gone, but the training goes on
            open(descriptor, "w", encoding=self._encoding, errors="backslashreplace") as file,
        ):
            if self._draws:
                self._draw_frames(file)
            else:
                self._print_lines(file)

    def _print_lines(self, file: io.TextIOWrapper) -> None:
        over = False
        began = spoke = time.monotonic()
        silence = SILENCE
        while not over:
            over = self._over.wait(INTERVAL)
            lines, now = list(self._waiting()), time.monotonic()
            if not lines and not over and now - spoke >= silence:
                silence = min(2 * silence, LONGEST_SILENCE)
                lines = [plain(self._sign_of_life(now - began), self._encoding)]
            for line in lines:
                print(line, file=file)
                spoke = now
            file.flush()

    def _sign_of_life(self, elapsed: float) -> str:
        """Return a line on what goes on, for a log to which nothing else was written for a while."""
        progress = self._progress() if self._progress is not None else None
        if progress is None:
            return self._waiting_for(elapsed)
        if progress.is_paused:
            return _("step {step:,} of {total:,}, paused", step=progress.step, total=progress.total_steps)
        return _(
            "step {step:,} of {total:,}, {rate} step/s, ETA {time}",
            step=progress.step,
            total=progress.total_steps,
            rate=rate(progress.steps_per_second),
            time=duration(progress.eta),
        )

    def _waiting_for(self, elapsed: float) -> str:
        return _("{name}  {doing} … {seconds:.0f} s", name=self._name, doing=self._doing, seconds=elapsed)

    def _waiting(self) -> Iterable[str]:
        while not self._lines.empty():
            yield plain(clean(self._lines.get()), self._encoding)

    def _draw_frames(self, file: io.TextIOWrapper) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(file=file, highlight=False)
        started = time.monotonic()
        self._fit(console)
        with Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as live:
            over = False
            while not over:
                over = self._over.wait(INTERVAL)
                self._fit(console)
                for line in self._waiting():
                    console.print(Text(line))
                live.update(self._frame(console.width, time.monotonic() - started), refresh=True)

    def _fit(self, console: "Console") -> None:
        """Set the console's size. Rich would ask descriptors 0 to 2, but two of them lead to the log by now."""
        assert self._terminal is not None
        width, height = os.get_terminal_size(self._terminal)
        console.size = (width or 80, height or 24)

    def _frame(self, width: int, elapsed: float) -> "RenderableType":
        """Return a frame: a bar, and the numbers under it."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._progress() if self._progress is not None else None
        if progress is None:
            waiting = plain(self._waiting_for(elapsed), self._encoding)
            return Text(waiting, style="dim", no_wrap=True, overflow="ellipsis")
        left = _("paused") if progress.is_paused else _("ETA {time}", time=duration(progress.eta))
        top = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for column in range(4):
            top.add_column(ratio=1 if column == 1 else None, no_wrap=True)
        top.add_row(
            Text(self._name, style="bold"),
            ProgressBar(
                total=max(1, progress.total_steps),
                completed=progress.step,
                complete_style="cyan",
                finished_style="cyan",
            ),
            percent(progress.step / max(1, progress.total_steps), 0),
            plain(left, self._encoding),
        )
        return Group(
            top, *packed(_pace(progress), width, self._encoding), *packed(_learned(progress), width, self._encoding)
        )


Cell = tuple[str, str]  # a label and its value


def _pace(progress: Progress) -> list[Cell]:
    # Padded, so that the numbers stay in the same place in every frame.
    total = f"{progress.total_steps:,}"
    of = f"/{progress.epochs}" if progress.epochs else ""
    return [
        (_("epoch"), f"{progress.epoch}{of}"),
        (_("step"), f"{progress.step:>{len(total)},}/{total}"),
        ("", _("{rate:>5} step/s", rate=rate(progress.steps_per_second))),
        ("lr", metric("lr", progress.lr)),
        (_("grad norm"), number(progress.grad_norm)),
    ]


def _learned(progress: Progress) -> list[Cell]:
    cells = [(_("best"), progress.candidate)] if progress.candidate else []
    cells.append((_("train loss"), f"{number(progress.loss):<8}"))
    if progress.accuracy is not None:
        cells.append((_("accuracy"), percent(progress.accuracy)))
    if progress.val_loss is not None:
        cells.append((_("validation loss"), f"{number(progress.val_loss):<8}"))
    if progress.val_accuracy is not None:
        cells.append((_("accuracy"), percent(progress.val_accuracy)))
    return cells


def packed(cells: list[Cell], width: int, encoding: str) -> "list[Text]":
    """Return the cells on as few lines as `width` allows. No cell is broken in two."""
    from rich.text import Text

    lines: list[Text] = []
    for label, value in cells:
        cell = Text.assemble((f"{label} " if label else "", "dim"), plain(value, encoding), no_wrap=True)
        if lines and lines[-1].cell_len + 2 + cell.cell_len <= width:
            lines[-1].append("  ").append_text(cell)
        else:
            lines.append(cell)
    return lines
