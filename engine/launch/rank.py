"""A process that rank 0 of a run leads: `python -m engine.launch.rank PORT RANK SIZE`, or one of torchrun's.

It has no folder, takes no commands and writes nothing but errors; those of one that rank 0 started are in the run's
output.log. It ends when rank 0 says so, or has ended.
"""

import signal
import sys

from descent.common import job
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.machine import die_with_parent
from engine.launch import loading


def follow(port: int | None, rank: int, size: int) -> int:
    """Train with rank 0 until it ends. port: where it waits on this machine; None for what torchrun's variables say.

    Returns the exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # rank 0 gets them too, saves, and ends all
    try:
        loading.worker()  # says what is wrong where PyTorch can't be loaded
        from engine.training import rank_worker, ranks

        try:
            rank_worker.work(ranks.join(port, rank, size))
        finally:
            ranks.part()
    except DescentError as error:
        print(_("rank {rank}: {error}", rank=rank, error=error), file=sys.stderr)
        return error.exit_code
    return 0


def follow_in_job() -> int:
    """Train with rank 0 as one of the processes that torchrun or srun has started. Returns the exit code."""
    return follow(None, job.rank(), job.size())


def release_job() -> None:
    """Let those processes end, on rank 0, if they wait and there was nothing to train."""
    from engine.training import ranks

    ranks.release()


if __name__ == "__main__":
    die_with_parent()
    sys.exit(follow(*map(int, sys.argv[1:4])))
