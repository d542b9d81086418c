"""The turn of a grading or a picture: it begins when there is memory for it, so that it ends nobody's run or console.

    python -P -m descent.common.turn MODULE ARGUMENTS…

waits for it in a process of its own, and is that module then.

Memory alone decides. Those of all users tell each other by the names of their processes how many come before, so
that not all begin at the moment when there is memory for one. Anybody can forge such names. So they delay one that
there is memory for by a minute at most.
"""

import contextlib
import os
import random
import runpy
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from descent.common import machine, stages
from descent.common.errors import CannotGoOnError
from descent.common.exit import end
from descent.common.i18n import _, ngettext
from descent.common.numbers import memory

# What it may take, in bytes. A grading that was forked from a warm process took 116 MB with data that are made, and
# 383 MB with MNIST. Each process that loads PyTorch itself takes 300 MB more, without CUDA 170 MB.
_SHARED = 400 << 20
_LOADED = {"cuda": 300 << 20, "hip": 300 << 20, None: 170 << 20}  # by the kind of GPUs that PyTorch is built for
OF_GRADING = 3  # processes that load PyTorch
_KEPT_FREE = 1 << 30  # bytes that stay free for runs and consoles, which grow
_PART_KEPT_FREE = 0.05  # of all memory, where that is less
_LOOK = 2.0  # seconds between two looks, about
_SAID_AGAIN = 30.0  # seconds after which the same line is told again
_OTHERS = (20.0, 60.0)  # seconds that others may come before, while there is memory for this one
_LONGEST = 600.0  # seconds that one waits
_BEGINS_FOR = 10.0  # seconds in which one takes its memory

# Names of processes, which everybody may read. The kernel keeps 15 characters.
WAITS, BEGINS, GRADES = "descent-waits", "descent-begins", "descent-grades"


@dataclass(frozen=True)
class Seen:
    """A look at the machine. memory: None where nobody knows.

    before: others that have waited for longer, or have begun and not taken their memory yet. under_way: those that
    have it.
    """

    memory: machine.Memory | None
    before: int = 0
    under_way: int = 0


def wait(
    tell: Callable[[str], None],
    processes: int = OF_GRADING,
    *,
    look: Callable[[], Seen] | None = None,
    now: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> None:
    """Return when it may begin in this process.

    tell: hears what it waits for. processes: how many will load PyTorch. Raises CannotGoOnError if there was too
    little memory for _LONGEST seconds.
    """
    look = look or seen
    began, enough_since, said, said_at = now(), None, "", 0.0
    others = random.uniform(*_OTHERS)
    _name(WAITS)
    while (found := look()).memory is not None:
        moment, needs = now(), _needed(found.memory, processes)
        enough_since = None if found.memory.available < needs else enough_since or moment
        if enough_since is not None:
            fits_all = found.memory.available >= needs + _own_need(processes) * found.before
            if fits_all or moment - enough_since >= others:
                break
        if moment - began >= _LONGEST:
            raise CannotGoOnError(_refusal(found.memory, needs))
        text = _waiting(found, needs)
        if text != said or moment - said_at >= _SAID_AGAIN:
            tell(text)
            said, said_at = text, moment
        rest(_LOOK * random.uniform(0.5, 1.5))
    _name(BEGINS)
    later = threading.Timer(_BEGINS_FOR, _name, (GRADES,))
    later.daemon = True
    later.start()


def _own_need(processes: int = OF_GRADING) -> int:
    return _SHARED + (0 if machine.is_forked() else processes * _LOADED[machine.gpus_of_torch()])


def _needed(of: machine.Memory, processes: int = OF_GRADING) -> int:
    """Return the bytes that must be available for this one to begin."""
    return _own_need(processes) + min(_KEPT_FREE, int(of.total * _PART_KEPT_FREE))


def _waiting(found: Seen, needs: int) -> str:
    count = found.before + found.under_way
    if count == 0:
        return _("waits for memory: {needed} must be free", needed=memory(needs))
    return ngettext("waits for memory, behind {count} other", "waits for memory, behind {count} others", count)


def _refusal(of: machine.Memory, needs: int) -> str:
    return _(
        "too little memory for {minutes:.0f} minutes: {needed} must be free, and {available} are; end runs "
        "(`descent stop RUN`) and consoles that you do not need, or try again later",
        minutes=_LONGEST / 60,
        available=memory(of.available),
        needed=memory(needs),
    )


def seen(proc: Path = Path("/proc"), of: Callable[[], machine.Memory | None] = machine.memory) -> Seen:
    """Look at the memory, and at those of all users that wait or have begun, as far as they can be seen."""
    others: dict[int, tuple[str, int]] = {}
    for entry in filter(str.isdigit, os.listdir(proc)):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
            others[int(entry)] = _name_and_start(f"{proc}/{entry}/stat")
    own = os.getpid()
    _own_name, since = others.pop(own, ("", 0))
    waiting = [pid for pid, (name, start) in others.items() if name == WAITS and (start, pid) < (since, own)]
    names = [name for name, _start in others.values()]
    return Seen(of(), len(waiting) + names.count(BEGINS), names.count(GRADES))


def _name_and_start(stat: str) -> tuple[str, int]:
    """Return the name of a process, and when it began in ticks since the machine did."""
    with open(stat, "rb", buffering=0) as file:  # Path takes five times as long, and there are hundreds of them
        before, _bracket, after = file.read(1024).rpartition(b")")
    fields = after.split()
    return "" if fields[0] == b"Z" else before.partition(b"(")[2].decode(errors="replace"), int(fields[19])


def _name(name: str) -> None:
    """Give this process a name that others can read."""
    with contextlib.suppress(OSError):  # a kernel that has no such file
        Path(f"/proc/self/task/{os.getpid()}/comm").write_text(name)


def main(*words: str) -> int:
    """Wait in this process, then be the module that the words name. A refusal is JSON on stdout."""
    machine.die_with_parent()
    refused = end(lambda: wait(stages.tell_waiting, processes=1), as_json=True)
    if not refused:
        sys.argv = list(words)
        runpy.run_module(words[0], run_name="__main__", alter_sys=False)
    return refused


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
