"""Removing a run: never a live one's folder, and never what others put there."""

import shutil
import sys
from pathlib import Path

from engine import library
from engine.errors import DescentError
from engine.run import ALIVE, RunFolder, failed_at_start, worker_pid
from engine.texts import clean

# All that Descent itself writes into a run's folder.
_OWN = {"checkpoints", "code", "control.json", "control.sock", "events.jsonl", "metrics", "metrics.json",
        "output.log", "parent.json", "pictures", "preset.toml", "replay.jsonl", "run.json",
        "worker.lock"}  # fmt: skip


def remove(word: str, runs_dir: Path | None, *, yes: bool) -> None:
    """Delete a run's folder, once the user has agreed: unasked where it failed before its first step."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)).resolve())
    path = clean(str(folder.path))
    refuse_delete(folder)
    if not yes and not is_empty(folder):
        if not sys.stdin.isatty():
            raise DescentError(f"{path} would be deleted with its checkpoints; say so with --yes")
        answer = input(f"delete {path} with {len(folder.checkpoints())} checkpoints? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("kept")
            return
    delete(folder)
    print(f"deleted {path}")


def is_empty(folder: RunFolder) -> bool:
    """Whether the run failed before a step of its own, so that nothing is lost with it."""
    from engine.results import summary

    try:
        reached = summary(folder)
    except Exception:  # the files may hold anything
        return False
    return failed_at_start(reached["state"], reached["step"], folder.origin())


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
