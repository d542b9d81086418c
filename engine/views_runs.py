"""Runs on the terminal: the table of all, one in detail, and removing one."""

import shutil
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import library, output, views, views_members
from engine.errors import DescentError
from engine.metrics import Metrics
from engine.output import has_unicode
from engine.progress import number, time_taken
from engine.results import mean_curves, summary
from engine.run import ALIVE, RunFolder, worker_pid
from engine.texts import clean, shorten, show

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
HEAD = ("RUN", "STATE", "STEP", "LOSS", "VAL", "TEST", "STARTED")
NARROW = 92  # columns of a terminal that has no room for when a run was started
_MOST_MEMBERS = 40  # or candidates, in a table
CURVES = (("loss", "loss"), ("accuracy", "accuracy"), ("lr", "lr"), ("grad_norm", "gradient norm"))
# All that Descent itself writes into a run's folder.
_OWN = {"checkpoints", "code", "control.json", "control.sock", "events.jsonl", "metrics", "metrics.json",
        "output.log", "parent.json", "pictures", "preset.toml", "replay.jsonl", "run.json",
        "worker.lock"}  # fmt: skip


# --- all ---


def list_runs(containing: str, runs_dir: Path | None, *, as_json: bool) -> None:
    """One line a run, the latest first: those of `runs_dir`, or where none is given all that are known.

    A run whose files can't be read is listed as damaged.
    """
    folders = library.known_runs(library.runs_dir(runs_dir))
    if runs_dir is not None:
        here = library.runs_dir(runs_dir).resolve()
        folders = [folder for folder in folders if folder.parent == here]
    listed = [_listed(folder) for folder in folders]
    word = containing.casefold()
    chosen = [(entry, row) for entry, row in listed if word in f"{entry['run']} {entry['state']}".casefold()]
    if as_json:
        views.print_json({"runs": [entry for entry, _ in chosen]})
        return
    if not chosen:
        what = (
            f" whose id or state contains {show(containing)}" if containing else "; start one: descent run digits-mlp"
        )
        print(f"no runs{what}")
        return
    head = HEAD if views.width() >= NARROW else HEAD[:-1]
    rows = [row[: len(head)] for _, row in chosen]
    views.print_table(head, rows, right=("STEP", "LOSS", "VAL", "TEST"), whole=HEAD[1:])
    for entry, _ in chosen:
        if "error" in entry:
            print(f"{clean(entry['run'])}: damaged: {shorten(clean(entry['error']), 200)}")


def _listed(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A run as a JSON object and as a row of the table."""
    run = RunFolder(folder)
    try:
        entry = summary(run)
        facts = run.facts()
        entry |= {"preset": facts.get("preset"), "started": facts.get("started")}
        return entry, _row(run, entry)
    except Exception as error:  # the files may hold anything, and one broken run must not hide the others
        why = f"{type(error).__name__}: {error}"
        damaged = {"run": folder.name, "dir": str(folder), "state": "damaged", "error": why}
        return damaged, (folder.name, _state("damaged"), *[""] * (len(HEAD) - 2))


def _row(run: RunFolder, entry: dict[str, Any]) -> tuple[str, ...]:
    reached, started = entry.get("winner", entry)["metrics"], entry["started"]
    return (
        run.id,
        _state(entry["state"], run.host()),
        f"{entry['step']:,}",
        number(reached.get("train_loss")),
        _best_number(reached, "val"),
        _best_number(reached, "test"),
        "" if started is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(started)),
    )


def _state(state: str, host: str = "") -> str:
    """✓ finished, or of a live run of another machine: ▶ running on HOST."""
    elsewhere = f" on {host}" if state in ALIVE and host != socket.gethostname() else ""
    sign = SIGNS.get(state, "!") + " " if has_unicode(sys.stdout.encoding) else ""
    return f"{sign}{state}{elsewhere}"


def _best_number(reached: dict[str, Any], short: str) -> str:
    """The accuracy on a split, or the loss where there are no classes to be right about."""
    accuracy = reached.get(f"{short}_accuracy")
    return f"{accuracy:.1%}" if accuracy is not None else number(reached.get(f"{short}_loss"))


# --- one ---


def show_run(word: str, runs_dir: Path | None, *, as_json: bool) -> None:
    """All that matters of one run, with its curves as sparklines. DescentError where its files are damaged."""
    run = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    try:
        result, fields = _details(run)
    except Exception as error:  # the files may hold anything
        why = f"{type(error).__name__}: {shorten(clean(str(error)), 200)}"
        raise DescentError(f"{clean(str(run.path))}: the files of this run are damaged: {why}") from None
    if as_json:
        views.print_json(result)
    else:
        views.print_fields(run.id, fields)
        for line in _members(result):
            output.say(line)


def _details(run: RunFolder) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    result, facts = summary(run), run.facts()
    states = [event for event in run.events() if event["event"] == "state"]
    reason = states[-1].get("reason") if states else None
    checkpoints = run.checkpoints()
    state = _state(result["state"], run.host())
    fields = [("state", f"{state}: {reason}" if reason else state)]
    if facts:
        planned = run.last("plan")
        fields += _facts(result, facts, planned["total_steps"] if planned else facts["total_steps"])
    several = "members" in result
    if several:
        fields.append(("members", f"{views_members.headline(result)}{_way(facts)}"))
    curves = mean_curves(Metrics(run.path), [name for name, _ in CURVES])
    for name, label in CURVES:
        line = _curve(curves[name], percent=name == "accuracy") if name in curves else ""
        if line and not (name == "lr" and several and _rates_differ(result)):
            fields.append((f"mean {label}" if several else label, line))
    for short, label in (("val", "validation"), ("test", "test")):
        if f"{short}_loss" in result["metrics"] and not several:
            fields.append((label, _split(result["metrics"], short)))
    fields.append(("checkpoints", ", ".join(f"{step:,}" for step in checkpoints) or "none"))
    fields.append(("folder", str(run.path)))
    details = {"preset": facts.get("preset"), "checkpoints": checkpoints, "reason": reason, "facts": facts}
    return {**result, **details}, fields


def _members(result: dict[str, Any]) -> list[str]:
    """The tables of a run with several members: of its candidates, and of each model."""
    if "members" not in result:
        return []
    lines = ["", *views_members.table(result, most=_MOST_MEMBERS)]
    if "candidates" in result and len(result["candidates"]) < len(result["members"]):
        lines += ["", *views_members.members(result, most=_MOST_MEMBERS)]
    return lines


def _rates_differ(result: dict[str, Any]) -> bool:
    return any(key.startswith(("optimizer.lr", "schedule.")) for key in result["members"][0]["values"])


def _way(facts: dict[str, Any]) -> str:
    ways = {"batched": "as batched matrix products", "vmap": "by torch.func.vmap", "loop": "in turns"}
    return f", computed {ways[facts['way']]}" if facts.get("way") in ways else ""


def _facts(result: dict[str, Any], facts: dict[str, Any], total_steps: int) -> list[tuple[str, str]]:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts["started"]))
    threads = facts["threads"]
    device = str(facts["device_name"])
    if facts["device"] == "cpu":
        device += f", {threads} thread{'s' if threads > 1 else ''}"
    pace = f", {result['step'] / result['seconds']:,.0f} step/s" if result["seconds"] else ""
    return [
        ("preset", str(facts["preset"])),
        ("started", f"{started} on {facts['host']}"),
        ("device", device),
        ("step", f"{result['step']:,} of {total_steps:,}, epoch {result['epoch']}"),
        ("training time", f"{time_taken(result['seconds'])}{pace}"),
        ("parameters", f"{facts['parameters']:,}"),
    ]


def _split(reached: dict[str, Any], short: str) -> str:
    accuracy = reached.get(f"{short}_accuracy")
    return f"loss {number(reached[f'{short}_loss'])}" + (f", accuracy {accuracy:.1%}" if accuracy is not None else "")


def _curve(values: "NDArray[np.float32]", *, percent: bool) -> str:
    """(n,) A sparkline and its two ends; empty where nothing was measured."""
    import numpy as np

    measured = values[np.isfinite(values)]
    if not len(measured):
        return ""
    first, last = (f"{v:.1%}" if percent else number(float(v)) for v in (measured[0], measured[-1]))
    if (measured == measured[0]).all():
        return first
    room = min(40, max(8, views.width() - 40))  # beside the label and the two ends
    return f"{sparkline(measured, room)}  {first} → {last}"


def sparkline(values: "NDArray[np.float32]", width: int) -> str:
    """(n,) finite values as at most `width` bars, each the mean of its share."""
    import numpy as np

    parts = np.array_split(values, min(width, len(values)))
    means = np.array([float(part.mean(dtype=np.float64)) for part in parts])
    low, high = means.min(), means.max()
    scaled = np.zeros(len(means)) if high == low else (means - low) / (high - low)
    bars = BARS if has_unicode(sys.stdout.encoding) else ASCII_BARS
    return "".join(bars[round(float(share) * (len(bars) - 1))] for share in scaled)


# --- removing ---


def remove(word: str, runs_dir: Path | None, *, yes: bool) -> None:
    """Delete a run's folder, once the user has agreed. Never a live run's, and never what others put there."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)).resolve())
    path = clean(str(folder.path))
    refuse_delete(folder)
    if not yes:
        if not sys.stdin.isatty():
            raise DescentError(f"{path} would be deleted with its checkpoints; say so with --yes")
        answer = input(f"delete {path} with {len(folder.checkpoints())} checkpoints? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("kept")
            return
    delete(folder)
    print(f"deleted {path}")


def refuse_delete(folder: RunFolder) -> None:
    """DescentError, with the reason, where this folder is not to be deleted: a live run, or foreign files in it."""
    _refuse_alive(folder)
    foreign = _foreign(folder.path)
    if foreign:
        names = ", ".join(clean(name) for name in foreign[:5]) + (" …" if len(foreign) > 5 else "")
        raise DescentError(
            f"{clean(str(folder.path))} holds what Descent did not write: {names}; nothing was deleted"
        )


def delete(folder: RunFolder) -> None:
    """Delete a run's folder. DescentError where that must not or can't be done."""
    refuse_delete(folder)
    try:
        shutil.rmtree(folder.path)
    except OSError as error:
        raise DescentError(f"{clean(str(folder.path))} can't be deleted whole: {error.strerror}") from None


def _refuse_alive(folder: RunFolder) -> None:
    pid = worker_pid(folder.path)
    if pid is not None:
        raise DescentError(f"{folder.id} is training, in process {pid}; stop it first: descent stop {folder.id}")
    try:
        state, host = folder.state(), folder.host()
    except Exception:  # damaged beyond reading: nothing can be training it
        return
    if state == "starting":
        raise DescentError(f"{folder.id} is starting; stop it first")
    if state in ALIVE:
        raise DescentError(f"{folder.id} is {state} on host {clean(host)}; stop it there first")


def _foreign(folder: Path) -> list[str]:
    """What is in the folder and is no part of a run: `rm .` in a folder of presets would take it along."""
    names = sorted(entry.name for entry in folder.iterdir())
    return [name for name in names if name not in _OWN and not (name.startswith(".") and name.endswith(".tmp"))]
