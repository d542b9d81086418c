"""Runs on the terminal: the table of all, one in detail, and removing one."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import library
from engine.errors import DescentError
from engine.metrics import Metrics
from engine.progress import duration, number
from engine.run import RunFolder, summary, worker_pid
from engine.texts import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*#@"  # where the terminal has no block characters
SIGNS = {
    "starting": "▷",
    "running": "▶",
    "paused": "‖",
    "finished": "✓",
    "stopped": "■",
    "failed": "✗",
    "lost": "?",
}


def list_runs(containing: str, runs_dir: Path | None, *, as_json: bool) -> None:
    """One line a run, the latest first. A run whose files can't be read is listed as damaged."""
    entries = [_listed(folder) for folder in library.known_runs(library.runs_dir(runs_dir))]
    entries = [entry for entry in entries if containing.casefold() in f"{entry['run']} {entry['state']}".casefold()]
    if as_json:
        print(json.dumps({"runs": entries}))
        return
    if not entries:
        what = f" whose id or state contains {containing!r}" if containing else " yet: descent run digits-mlp"
        print(f"no runs{what}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, right in (
        ("run", 0),
        ("state", 0),
        ("step", 1),
        ("train loss", 1),
        ("validation", 1),
        ("test", 1),
    ):
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for entry in entries:
        reached = entry.get("metrics", {})
        cells = [
            clean(entry["run"]),
            f"{_sign(entry['state'])} {entry['state']}",
            f"{entry.get('step', 0):,}",
        ]
        cells += [number(reached.get("train_loss")), _split(reached, "val"), _split(reached, "test")]
        table.add_row(*(Text(cell) for cell in cells))
    Console(highlight=False).print(table)


def _listed(folder: Path) -> dict[str, Any]:
    try:
        return summary(RunFolder(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {
            "run": folder.name,
            "dir": str(folder),
            "state": "damaged",
            "error": f"{type(error).__name__}: {error}",
        }


def show(word: str, runs_dir: Path | None, *, as_json: bool) -> None:
    """All that matters of one run, with its curves as sparklines."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    try:
        result, facts, metrics = summary(folder), folder.facts(), Metrics(folder.path)
    except (ValueError, KeyError, TypeError) as error:
        raise DescentError(f"{folder.path}: a file of this run is damaged: {error}") from None
    states = [event for event in folder.events() if event["event"] == "state"]
    reason = states[-1].get("reason") if states else None
    if as_json:
        details = {
            "preset": facts.get("preset"),
            "checkpoints": folder.checkpoints(),
            "reason": reason,
            "facts": facts,
        }
        print(json.dumps({**result, **details}))
        return
    lines = [("state", f"{_sign(result['state'])} {result['state']}" + (f": {reason}" if reason else ""))]
    if facts:
        lines += _facts(result, facts)
    for name, label in (
        ("loss", "loss"),
        ("accuracy", "accuracy"),
        ("lr", "lr"),
        ("grad_norm", "gradient norm"),
    ):
        line = _curve(metrics.column(name), percent=name == "accuracy")
        if line:
            lines.append((label, line))
    for short, label in (("val", "validation"), ("test", "test")):
        if f"{short}_loss" in result["metrics"]:
            lines.append((label, _split(result["metrics"], short)))
    lines.append(("checkpoints", _steps(folder.checkpoints())))
    lines.append(("folder", str(folder.path)))
    _print_lines(folder.id, lines)


def _facts(result: dict[str, Any], facts: dict[str, Any]) -> list[tuple[str, str]]:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts.get("started", 0)))
    threads = facts["threads"]
    device = facts["device_name"] + (
        f", {threads} thread{'s' if threads > 1 else ''}" if facts["device"] == "cpu" else ""
    )
    pace = f"{result['step'] / result['seconds']:,.0f} step/s" if result["seconds"] else "–"
    return [
        ("preset", str(facts["preset"])),
        ("started", f"{started} on {facts['host']}"),
        ("device", device),
        ("step", f"{result['step']:,} of {facts['total_steps']:,}, epoch {result['epoch']}"),
        ("training time", f"{duration(result['seconds'])}, {pace}"),
        ("parameters", f"{facts['parameters']:,}"),
    ]


def _print_lines(title: str, lines: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, value in lines:
        table.add_row(Text(label, style="dim"), Text(clean(value), overflow="fold"))
    console = Console(highlight=False)
    console.print(Text(clean(title), style="bold"))
    console.print(table)


def _curve(values: "NDArray[np.float32]", *, percent: bool) -> str:
    """A sparkline and its two ends; empty where nothing was measured."""
    import numpy as np

    measured = values[np.isfinite(values)]
    if not len(measured):
        return ""
    first, last = (f"{v:.1%}" if percent else number(float(v)) for v in (measured[0], measured[-1]))
    return f"{sparkline(measured)}  {first} → {last}"


def sparkline(values: "NDArray[np.float32]", width: int = 40) -> str:
    """(n,) finite values as at most `width` bars, each the mean of its share."""
    import numpy as np

    means = np.array([float(part.mean(dtype=np.float64)) for part in np.array_split(values, min(width, len(values)))])
    low, high = means.min(), means.max()
    scaled = np.zeros(len(means)) if high == low else (means - low) / (high - low)
    bars = BARS if _has_blocks() else ASCII_BARS
    return "".join(bars[round(float(share) * (len(bars) - 1))] for share in scaled)


def _has_blocks() -> bool:
    return "utf" in (sys.stdout.encoding or "").lower()


def _sign(state: str) -> str:
    return SIGNS.get(state, "!") if _has_blocks() else "-"


def _split(reached: dict[str, Any], short: str) -> str:
    if f"{short}_loss" not in reached:
        return "–" if _has_blocks() else "-"
    accuracy = reached.get(f"{short}_accuracy")
    return number(reached[f"{short}_loss"]) + (f", {accuracy:.1%}" if accuracy is not None else "")


def _steps(steps: list[int]) -> str:
    return ", ".join(f"{step:,}" for step in steps) or "none"


def remove(word: str, runs_dir: Path | None, *, yes: bool) -> None:
    """Delete a run's folder, once the user has agreed. Never a live run's."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    pid = worker_pid(folder.path)
    if pid is not None:
        raise DescentError(f"{folder.id} is training, in process {pid}; stop it first (kill {pid} saves and stops)")
    if not yes:
        if not sys.stdin.isatty():
            raise DescentError(f"{folder.path} would be deleted with its checkpoints; say so with --yes")
        answer = input(f"delete {folder.path} with {len(folder.checkpoints())} checkpoints? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("kept")
            return
    try:
        shutil.rmtree(folder.path)
    except OSError as error:
        raise DescentError(f"{folder.path} can't be deleted whole: {error.strerror}") from None
    print(f"deleted {folder.path}")
