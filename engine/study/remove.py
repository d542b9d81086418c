"""Removing a study with all its runs: never one that trains, and never what others put there."""

import shutil
import sys

from engine import removing
from engine.errors import DescentError
from engine.run import worker_pid
from engine.study.folder import Study
from engine.texts import clean

_OWN = {"study.json", "preset", "code", "runs", "jobs", "worker.lock"}


def remove(study: Study, *, yes: bool) -> None:
    """Delete the study's folder, once the user has agreed. DescentError where it must not be deleted."""
    _refuse(study)
    path, count = clean(str(study.folder)), len(list(study.runs.iterdir()))
    runs = f"{count:,} run{'' if count == 1 else 's'}"
    if not yes:
        if not sys.stdin.isatty():
            raise DescentError(f"{path} would be deleted with its {runs}; say so with --yes")
        if input(f"delete {path} with its {runs}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("kept")
            return
    try:
        shutil.rmtree(study.folder)
    except OSError as error:
        raise DescentError(f"{path} can't be deleted whole: {error.strerror}") from None
    print(f"deleted {path}")


def _refuse(study: Study) -> None:
    pid = worker_pid(study.folder)
    if pid is not None:
        raise DescentError(f"{study.name} is training, in process {pid}; stop it first, with Ctrl-C there")
    for job in study.jobs:
        held = worker_pid(study.process(job))
        if held is not None:
            raise DescentError(f"{job.id} is training, in process {held}; stop it first: descent stop {job.id}")
        if study.run(job).path.is_dir():
            removing.refuse_delete(study.run(job))
    known = {job.id for job in study.jobs}
    foreign = [entry.name for entry in study.folder.iterdir() if entry.name not in _OWN]
    foreign += [f"runs/{entry.name}" for entry in study.runs.iterdir() if entry.name not in known]
    if foreign:
        names = ", ".join(clean(name) for name in sorted(foreign)[:5])
        raise DescentError(f"{clean(str(study.folder))} holds what the study did not: {names}; nothing was deleted")
