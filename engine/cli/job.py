"""`python -m engine.cli.job QUEUE FOLDER WORDS…` is `descent WORDS…` as a job of a study's queue.

QUEUE: the process that started it; where that is killed, this one finishes its step and saves. FOLDER: where the
job's lock is held for as long as this process lives, from before torch is loaded: a queue that is started anew while
this one is still saving waits for it.
"""

import os
import signal
import sys
from pathlib import Path

from descent.common.errors import ExitCode
from descent.common.exit import end
from descent.common.machine import die_with_parent
from descent.run.folder import RunFolder
from descent.run.lock import WorkerLock


def main(queue: int, folder: Path, words: list[str]) -> int:
    """The exit code."""
    _end_with(queue)
    return end(lambda: _descent(folder, words), as_json=True)


def _descent(folder: Path, words: list[str]) -> object:
    from engine.cli import app_command

    lock = WorkerLock(RunFolder(folder))
    try:
        return app_command(words)
    finally:
        lock.release()


def _end_with(queue: int) -> None:
    """Have the kernel ask for an end at the queue's death, however it dies."""
    die_with_parent(signal.SIGUSR1)
    if os.getppid() != queue:  # it died before we asked
        sys.exit(ExitCode.TERMINATED)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
