"""How many jobs at once, and how many threads each: together never more than the machine has cores."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from engine import machine
from engine.errors import DescentError
from engine.study.folder import Job

# What the libraries under PyTorch read. Their own default is all cores, for each process.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Budget:
    """jobs: processes at once. threads: of each, where its preset leaves them open."""

    jobs: int
    threads: int


def cores() -> int:
    """Whole cores that this process, its container or batch job may use; at least one."""
    limit = machine.cgroup_cpus()
    usable = machine.usable_cpus()
    return max(1, usable if limit is None else min(usable, math.floor(limit)))


def share(jobs: Sequence[Job], wanted: int | None, available: int) -> Budget:
    """The budget of a queue of `jobs` on so many cores. DescentError where `wanted` (--jobs) is none."""
    if wanted is not None and wanted < 1:
        raise DescentError(f"--jobs {wanted}: must be 1 or more")
    fixed = max((job.threads for job in jobs if job.threads is not None), default=1)
    # One GPU is shared by all: how many jobs its memory holds is not known here.
    on_gpu = machine.has_nvidia_device() and any(job.device != "cpu" for job in jobs)
    most = wanted or (1 if on_gpu else available)
    at_once = max(1, min(most, available // fixed, len(jobs)))
    return Budget(at_once, max(1, available // at_once))


def environment(threads: int) -> dict[str, str]:
    """This process's environment, with the threads of a child's libraries."""
    return {**os.environ, **dict.fromkeys(VARIABLES, str(threads))}
