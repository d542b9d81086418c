"""A job of a study's queue: `python -m engine.cli.job QUEUE FOLDER AGREED WORDS…` runs `descent WORDS…`.

QUEUE is the process that started the job. When it is killed, the job finishes its step and saves. FOLDER has the
job's lock, which this process holds from before torch is loaded until it ends. A queue that is started again while
the job is still saving waits for it. So does this process: where another engine's worker was killed, the next one
may start the job before the last has saved. AGREED has the SHA-256 of the user's own code that may run, with
commas: the user's record of it is not on every machine.
"""

import signal
import sys
import time
from pathlib import Path

from descent.common.errors import ExitCode
from descent.common.exit import end
from descent.common.machine import die_with_parent, starter
from descent.run.lock import WorkerLock, worker_pid
from engine.preset import consent

_LOOK = 0.1  # seconds between looks at the lock


def main(queue: int, folder: Path, agreed: str, words: list[str]) -> int:
    """Run the job and return its exit code."""
    _end_with(queue)
    consent.agree_for_now(*filter(None, agreed.split(",")))
    return end(lambda: _descent(folder, words), as_json=True)


def _descent(folder: Path, words: list[str]) -> object:
    from engine.cli import app_command

    while worker_pid(folder) is not None:
        time.sleep(_LOOK)
    lock = WorkerLock(folder)
    try:
        return app_command(words)
    finally:
        lock.release()


def _end_with(queue: int) -> None:
    """Get SIGUSR1 when the queue dies, for whatever reason."""
    die_with_parent(signal.SIGUSR1)
    if starter() != queue:  # it died before we asked
        sys.exit(ExitCode.TERMINATED)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
