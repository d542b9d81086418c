"""What helps with a run that has ended, and removing one: never a live one, and never other people's files."""

import shlex
import shutil
import sys
from itertools import takewhile
from pathlib import Path

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.text import clean, shorten
from descent.run import find
from descent.run.folder import RunFolder, failed_at_start
from descent.run.lock import worker_pid
from descent.run.state import ALIVE

_LONGEST = 300  # characters of a reason


def ended(run: RunFolder) -> str:
    """How a run has ended, why if it failed, and what helps; without the full stop of a sentence."""
    state = run.state()
    reason = clean(str((run.last("state") or {}).get("reason") or "")) if state == "failed" else ""
    how = f"has failed: {shorten(reason, _LONGEST).removesuffix('.')}" if reason else f"is {state}"
    return "; ".join([f"{run.id} {how}", *([what] if (what := advice(run)) else [])])


def advice(run: RunFolder) -> str:
    """A clause that names the command; empty for a finished run, which needs none."""
    state, name = run.state(), shlex.quote(run.id)
    if state == "finished":
        return ""
    if state != "failed":
        return f"go on with: descent resume {name}"
    if is_empty(run):
        return f"put that right and start it anew; clear this one away with: descent rm {name}"
    if _ended_non_finite(run):
        return (
            "a resumed run would come to the same step; go on with a lower rate, in a run of its own: "
            f"descent fork {name} --set optimizer.lr=…"
        )
    return f"once that is put right, go on with: descent resume {name}"


def _ended_non_finite(run: RunFolder) -> bool:
    """Whether the last thing before the failure was a number that was not finite."""
    last_first = [event["event"] for event in reversed(run.events())]
    before = last_first[last_first.index("state") + 1 :]
    return "anomaly" in takewhile(lambda event: event != "state", before)


# All that Descent itself writes into a run's folder.
_OWN = {"checkpoints", "code", "control.json", "control.sock", "events.jsonl", "metrics", "metrics.json",
        "output.log", "parent.json", "pictures", "preset.toml", "replay.jsonl", "run.json",
        "worker.lock"}  # fmt: skip


def remove(word: str, runs_dir: Path | None, *, yes: bool) -> None:
    """Delete a run's folder, once the user has agreed: unasked where it failed before its first step."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)).resolve())
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
    from descent.run.results import result_of

    try:
        reached = result_of(folder)
    except Exception:  # the files may hold anything
        return False
    return failed_at_start(reached.state, reached.step, folder.origin())


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
