"""Advice about a run that has ended, and removing one, but never a live one or other people's files."""

import shutil
import sys
from itertools import takewhile
from pathlib import Path

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.text import clean, shorten
from descent.run import find
from descent.run.folder import RunFolder, failed_at_start
from descent.run.lock import worker_pid
from descent.run.schema import LOOP_FILE
from descent.run.state import ALIVE

_LONGEST = 300  # characters of a reason
# All files that Descent itself writes into a run's folder.
_OWN = {"checkpoints", "code", "code.json", "control.json", "control.sock", "events.jsonl", "histograms.bin",
        "loop.json", "metrics", "metrics.json", "model.json", "note.json", "output.log", "parent.json", "pictures",
        "preset.toml", "replay.jsonl", "run.json", "worker.lock"}  # fmt: skip


def ended(run: RunFolder) -> str:
    """Return how a run has ended, why if it failed, and what helps, without a full stop."""
    state = run.state()
    reason = clean(str((run.last("state") or {}).get("reason") or "")) if state == "failed" else ""
    if reason:
        how = _("{run} has failed: {reason}", run=run.id, reason=shorten(reason, _LONGEST).removesuffix("."))
    else:
        how = _("{run} is {state}", run=run.id, state=_(state))
    return "; ".join([how, *([what] if (what := advice(run)) else [])])


def advice(run: RunFolder) -> str:
    """Return a clause with the command that helps, empty if none does."""
    state, name = run.state(), find.word_for(run.path)
    begins_anew = (run.path / LOOP_FILE).exists() and not (run.last("exact") or {}).get("driver")
    if begins_anew and not is_empty(run):
        return "" if state == "finished" else _("its loop begins anew whenever its script is started")
    if state == "finished":
        return _("a new run can begin at a checkpoint of it: {command}", command=f"descent fork {name} --at STEP")
    if state != "failed":
        return _("continue with: {command}", command=f"descent resume {name}")
    if is_empty(run):
        return _("fix this and start a new run; delete this one with: {command}", command=f"descent rm {name}")
    if _ended_non_finite(run):
        return _(
            "a resumed run would fail at the same step; continue in a new run with a lower learning rate: {command}",
            command=f"descent fork {name} --set optimizer.lr=…",
        )
    return _("fix this, then continue with: {command}", command=f"descent resume {name}")


def _ended_non_finite(run: RunFolder) -> bool:
    """Return whether the last event before the failure was a number that was not finite."""
    last_first = [event["event"] for event in reversed(run.events())]
    before = last_first[last_first.index("state") + 1 :]
    return "anomaly" in takewhile(lambda event: event != "state", before)


def remove(word: str, runs_dir: Path | None, *, yes: bool) -> None:
    """Delete a run's folder, once the user has agreed. A run that failed before its first step needs no question."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)).resolve())
    path = clean(str(folder.path))
    refuse_delete(folder)
    if not yes and not is_empty(folder):
        if not sys.stdin.isatty():
            raise DescentError(_("{folder} would be deleted with its checkpoints; confirm with --yes", folder=path))
        count = len(folder.checkpoints())
        asked = ngettext(
            "delete {folder} with {count} checkpoint? [y/N]",
            "delete {folder} with {count} checkpoints? [y/N]",
            count,
            folder=path,
        )
        if input(f"{asked} ").strip().lower() not in ("y", "yes"):
            print(_("kept"))
            return
    delete(folder)
    print(_("deleted {folder}", folder=path))


def is_empty(folder: RunFolder) -> bool:
    """Return whether the run failed or was killed before a step of its own, so that deleting it loses nothing."""
    from descent.run.results import result_of

    try:
        reached = result_of(folder)
    except Exception:  # the files may hold anything
        return False
    state = "failed" if reached.state == "lost" else reached.state
    return failed_at_start(state, reached.step, folder.origin())


def free_id(runs: Path, run_id: str | None) -> None:
    """Delete the run of this id if it failed or was killed before a step of its own, so that the id is free.

    Raises DescentError if it can't be deleted.
    """
    there = RunFolder(runs / run_id) if run_id else None
    if there is not None and find.is_run(there.path) and is_empty(there):
        delete(there)


def refuse_delete(folder: RunFolder) -> None:
    """Raise DescentError with the reason if this folder has a live run or foreign files."""
    _refuse_alive(folder)
    foreign = _foreign(folder.path)
    if foreign:
        names = ", ".join(clean(name) for name in foreign[:5]) + (" …" if len(foreign) > 5 else "")
        raise DescentError(
            _(
                "{folder} has files that Descent did not write: {names}; nothing was deleted",
                folder=clean(str(folder.path)),
                names=names,
            )
        )


def delete(folder: RunFolder) -> None:
    """Delete a run's folder. Raises DescentError if that must not or can't be done."""
    refuse_delete(folder)
    try:
        shutil.rmtree(folder.path)
    except OSError as error:
        path = clean(str(folder.path))
        raise DescentError(
            _("{folder}: can't be deleted completely: {error}", folder=path, error=error.strerror)
        ) from None


def _refuse_alive(folder: RunFolder) -> None:
    pid = worker_pid(folder.path)
    if pid is not None:
        raise DescentError(
            _("{run} is training in process {pid}; stop it first: descent stop {run}", run=folder.id, pid=pid)
        )
    try:
        state, host = folder.state(), folder.host()
    except Exception:  # damaged beyond reading: nothing can be training it
        return
    if state == "starting":
        raise DescentError(_("{run} is starting; stop it first", run=folder.id))
    if state in ALIVE:
        raise DescentError(
            _("{run} is {state} on host {host}; stop it there first", run=folder.id, state=_(state), host=clean(host))
        )


def _foreign(folder: Path) -> list[str]:
    """Return the files that are no part of a run: `rm .` in a folder of presets would delete them too."""
    names = sorted(entry.name for entry in folder.iterdir())
    return [name for name in names if name not in _OWN and not (name.startswith(".") and name.endswith(".tmp"))]
