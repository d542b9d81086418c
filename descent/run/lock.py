"""The worker's lock, by which the kernel knows who trains a run."""

import fcntl
import os
import struct
from pathlib import Path

from descent.common.errors import DescentError
from descent.common.i18n import _

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
_held: dict[tuple[int, int], "WorkerLock"] = {}  # the locks of this process, by device and number of their files


class WorkerLock:
    """A lock that the worker holds as long as it lives. The kernel releases it however the worker ends.

    It uses lockf, not flock: a forked child inherits an flock and would keep it after the worker's death. The process
    that holds the lock must not open and close the file again, because that drops the lock; so `worker_pid` does not
    open a file of which this process has the lock.

    The file's first byte is locked by `announce` only. Until then the run's log is that of an earlier worker.
    """

    def __init__(self, run: Path) -> None:
        self.pid, self.is_announced = os.getpid(), False
        if _own(run) is not None:
            raise taken(run)
        self._file = os.open(run / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 1)  # from byte 1 on
        except OSError:
            os.close(self._file)
            raise taken(run) from None
        self._key = _key(os.fstat(self._file))
        _held[self._key] = self

    def announce(self) -> None:
        """Tell that the log has this worker's start."""
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        self.is_announced = True

    def release(self) -> None:
        _held.pop(self._key, None)
        os.close(self._file)


def _key(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


def _own(run: Path) -> WorkerLock | None:
    """Return the lock of a run if this process has it. A forked child has none of its parent's."""
    try:
        lock = _held.get(_key(os.stat(run / "worker.lock")))
    except OSError:
        return None
    return lock if lock is not None and lock.pid == os.getpid() else None


def taken(run: Path) -> DescentError:
    """Return what a second process is told that would train a run."""
    return DescentError(
        _(
            "{run} is training already, in process {pid}; nothing was changed. Watch it with: descent attach {run}; "
            "another run needs another id",
            run=run.name,
            pid=worker_pid(run),
        )
    )


def worker_pid(run: Path) -> int | None:
    """Return the process that holds the run's lock, or None, without taking it."""
    return _holder(run, 0)


def announced_pid(run: Path) -> int | None:
    """Return the same, but None too while the log does not yet have the start of the process that holds the lock."""
    return _holder(run, 1)


def _holder(run: Path, length: int) -> int | None:
    """Return the process that has a lock on the first `length` bytes of the file, on any where that is 0."""
    own = _own(run)
    if own is not None:
        return own.pid if own.is_announced or not length else None
    try:
        file = os.open(run / "worker.lock", os.O_RDWR)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, length, 0))
    except OSError:  # a pipe in the lock's place
        return None
    finally:
        os.close(file)
    kind, *_rest, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else pid
