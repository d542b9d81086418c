"""What is told when a run ends while the console is open."""

from collections.abc import Sequence

from engine.texts import clean
from tui.home.glance import Glance
from tui.home.rows import metric


def ended(before: Sequence[Glance], now: Sequence[Glance]) -> list[Glance]:
    """The runs that were live at the last look and are not any more."""
    live = {run.folder.path for run in before if run.alive}
    return [run for run in now if run.folder.path in live and not run.alive]


def text(run: Glance) -> str:
    """One line: which run, how it ended, what it reached."""
    name = f"{run.name} {run.letters}".strip()
    reached = " ".join(metric(run)).strip()
    reason = f": {run.reason}" if run.reason and run.state == "failed" else f", {reached}" if reached else ""
    return clean(f"{name} {run.state}{reason}")


def osc9(message: str) -> str:
    """The escape sequence by which terminals show a desktop notice."""
    return f"\x1b]9;{clean(message)}\x07"
