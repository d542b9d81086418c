"""The turn of a grading: it begins when there is memory for it, so that it ends nobody's run or console.

Memory alone decides. Gradings of all users tell each other by the names of their processes how many come before, so
that not all begin at the moment when there is memory for one. Anybody can forge such names. So they delay a grading
that there is memory for by a minute at most.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from descent.common import machine
from descent.common.errors import CannotGoOnError
from descent.common.i18n import _, ngettext
from descent.common.numbers import memory

# What a grading may take, in bytes. Forked from a warm process it took 116 MB with data that are made, and 383 MB
# with MNIST. Each of its two or three processes that loads PyTorch itself takes 300 MB more, without CUDA 170 MB.
_SHARED = 400 << 20
_ALONE = {"cuda": 1300 << 20, "hip": 1300 << 20, None: 900 << 20}  # by the kind of GPUs that PyTorch is built for
_KEPT_FREE = 1 << 30  # bytes that stay free for runs and consoles, which grow
_PART_KEPT_FREE = 0.05  # of all memory, where that is less
_LOOK = 2.0  # seconds between two looks, about
_SAID_AGAIN = 30.0  # seconds after which the same line is told again
_OTHERS = (20.0, 60.0)  # seconds that others may come before, while there is memory for this grading
_LONGEST = 600.0  # seconds that a grading waits
_BEGINS_FOR = 10.0  # seconds in which a grading takes its memory

# Names of processes, which everybody may read. The kernel keeps 15 characters.
WAITS, BEGINS, GRADES = "descent-waits", "descent-begins", "descent-grades"


@dataclass(frozen=True)
class Seen:
    """A look at the machine. memory: None where nobody knows.

    before: other gradings that have waited for longer, or have begun and not taken their memory yet. under_way: those
    that have it.
    """

    memory: machine.Memory | None
    before: int = 0
    under_way: int = 0


def wait(
    tell: Callable[[str], None],
    *,
    look: Callable[[], Seen] | None = None,
    now: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> None:
    """Return when a grading may begin in this process.

    tell: hears what it waits for. Raises CannotGoOnError if there was too little memory for _LONGEST seconds.
    """
    look = look or seen
    began, enough_since, said, said_at = now(), None, "", 0.0
    others = random.uniform(*_OTHERS)
    _name(WAITS)
    while (found := look()).memory is not None:
        moment, needs = now(), _needed(found.memory)
        enough_since = None if found.memory.available < needs else enough_since or moment
        if enough_since is not None:
            fits_all = found.memory.available >= needs + _own_need() * found.before
            if fits_all or moment - enough_since >= others:
                break
        if moment - began >= _LONGEST:
            raise CannotGoOnError(_refusal(found.memory))
        text = _waiting(found, needs)
        if text != said or moment - said_at >= _SAID_AGAIN:
            tell(text)
            said, said_at = text, moment
        rest(_LOOK * random.uniform(0.5, 1.5))
    _name(BEGINS)
    later = threading.Timer(_BEGINS_FOR, _name, (GRADES,))
    later.daemon = True
    later.start()


def _own_need() -> int:
    return _SHARED if machine.is_forked() else _ALONE[machine.gpus_of_torch()]


def _needed(of: machine.Memory) -> int:
    """Return the bytes that must be available for this grading to begin."""
    return _own_need() + min(_KEPT_FREE, int(of.total * _PART_KEPT_FREE))


def _waiting(found: Seen, needs: int) -> str:
    count = found.before + found.under_way
    if count == 0:
        return _("waits for memory: {needed} must be free", needed=memory(needs))
    return ngettext("waits for memory, behind {count} grading", "waits for memory, behind {count} gradings", count)


def _refusal(of: machine.Memory) -> str:
    return _(
        "too little memory for {minutes:.0f} minutes: {available} are free, and a grading needs {needed}; end runs "
        "(`descent stop RUN`) and consoles that you do not need, or try again later; this does not count as an "
        "attempt",
        minutes=_LONGEST / 60,
        available=memory(of.available),
        needed=memory(_needed(of)),
    )


def seen(proc: Path = Path("/proc"), of: Callable[[], machine.Memory | None] = machine.memory) -> Seen:
    """Look at the memory, and at the gradings of all users as far as they can be seen."""
    gradings: dict[int, tuple[str, int]] = {}
    for entry in filter(str.isdigit, os.listdir(proc)):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
            gradings[int(entry)] = _name_and_start(f"{proc}/{entry}/stat")
    own = os.getpid()
    _own_name, since = gradings.pop(own, ("", 0))
    waiting = [pid for pid, (name, start) in gradings.items() if name == WAITS and (start, pid) < (since, own)]
    names = [name for name, _start in gradings.values()]
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
