"""The worker's lock: who trains a run, as the kernel knows it."""

import fcntl
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from descent.common.errors import DescentError

if TYPE_CHECKING:
    from descent.run.folder import RunFolder


class WorkerLock:
    """Held by the worker as long as it lives; the kernel lets go of it however the worker ends.

    lockf, not flock: a forked child inherits an flock and would keep it after the worker's death. The price: the
    process that holds it must not open and close the file again, for that drops the lock.
    """

    def __init__(self, run: "RunFolder") -> None:
        self._file = os.open(run.path / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise DescentError(
                f"{run.id} is training already, in process {worker_pid(run.path)}; nothing was changed"
            ) from None

    def release(self) -> None:
        os.close(self._file)


def worker_pid(run: Path) -> int | None:
    """The process that holds the run's lock, or None. Never takes the lock. Not for the worker itself."""
    try:
        file = os.open(run / "worker.lock", os.O_RDWR)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(file)
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else pid


# --- the lock that tells a live worker from a dead one ---------------------------------------------------

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
