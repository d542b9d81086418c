"""Encloses this process, then is the program that it was started for: see `enclosure.start`.

    python -P -m engine.labs.sandbox.enclosed ENCLOSURE [MODULE ARGUMENTS…]

Without a MODULE it prints the level that it has reached. It runs before anything else does, in one thread.
"""

import os
import resource
import runpy
import sys
from pathlib import Path

from descent.common import machine
from descent.common.i18n import _
from engine.labs.sandbox import kernel
from engine.labs.sandbox.enclosure import FAILED, LEVELS, Enclosure, Level

_MOST_FILES = 1024  # that are open at once
_MOST_THREADS = 64  # in addition to those that the user has already
_ROOM = 1 << 30  # bytes of a private folder that is kept in memory


def enclose(enclosure: Enclosure) -> Level:
    """Keep this process to what `enclosure` says, as far as this machine allows. Return the level.

    Raises OSError if that is not the level that it must have.
    """
    _limit(enclosure)
    if machine.starter() == os.getppid():
        machine.die_with_parent()  # a fork of the warm process does so itself, by a thread
    shown, alone = enclosure.shown(), enclosure.bubblewrap
    own, base = Path("/proc", str(os.getpid())), Path(enclosure.home)
    if not alone and enclosure.level in (None, "namespaces"):
        try:
            kernel.leave_namespaces(base)
        except OSError:
            if enclosure.level == "namespaces":
                raise
        else:
            kernel.change_root(base, shown, room=_ROOM)
            alone = True
    kernel.give_up_privileges()
    try:
        readable = [own, *(path for path, kind in shown if kind == "readable")]
        kernel.restrict_paths(readable, [path for path, kind in shown if kind != "readable"])
        fenced = True
    except OSError:
        fenced = False
    try:
        kernel.filter_calls(shares_memory=enclosure.gpu and machine.has_nvidia_device())
    except OSError:
        fenced = alone = False
    reached: Level = "namespaces" if alone else "landlock" if fenced else "limits"
    if enclosure.level and LEVELS.index(reached) < LEVELS.index(enclosure.level):
        raise OSError(f"{reached}, not {enclosure.level}")
    return reached


def _limit(enclosure: Enclosure) -> None:
    """Limit files, threads and memory."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: enclosure.file,
        resource.RLIMIT_NOFILE: _MOST_FILES,
        resource.RLIMIT_NPROC: _threads_of_user() + _MOST_THREADS,
    }
    if enclosure.memory:
        limits[resource.RLIMIT_DATA] = enclosure.memory
    for limit, wanted in limits.items():
        _soft, most = resource.getrlimit(limit)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(limit, (value, value))


def _threads_of_user() -> int:
    """Return how many threads all processes of the user have. The kernel's limit counts them."""
    user, count = os.getuid(), 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == user:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
            except OSError:
                continue  # it has just ended
    return count


def main(text: str, *words: str) -> None:
    try:
        reached = enclose(Enclosure.from_json(text))
    except OSError as error:
        print(_("the learner's code can't be kept apart here: {error}", error=error), file=sys.stderr)
        sys.exit(FAILED)
    if not words:
        print(reached)
        return
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
