"""How many jobs at once, with how many threads each, together never more than the cores; and on which GPU."""

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
    """jobs: processes at once. threads: of each, where its preset leaves them open. gpus: what each may be given, as
    CUDA_VISIBLE_DEVICES names them; empty where there are not several."""

    jobs: int
    threads: int
    gpus: tuple[str, ...] = ()

    def gpu_for(self, job: Job, taken: Sequence[str]) -> str | None:
        """The one with the fewest jobs, for a job that leaves it open. taken: by each job that trains."""
        if not self.gpus or job.device not in ("auto", "cuda"):
            return None
        return min(self.gpus, key=taken.count)


def cores() -> int:
    """Whole cores that this process, its container or batch job may use; at least one."""
    limit = machine.cgroup_cpus()
    usable = machine.usable_cpus()
    return max(1, usable if limit is None else min(usable, math.floor(limit)))


def gpus() -> tuple[str, ...]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all that the kernel knows."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(word.strip() for word in chosen.split(",") if word.strip() not in ("", "-1"))
    return tuple(str(number) for number in range(machine.nvidia_devices()))


def share(jobs: Sequence[Job], wanted: int | None, available: int, there: Sequence[str]) -> Budget:
    """The budget of a queue of `jobs` on so many cores, and the GPUs that are `there`. DescentError where `wanted`
    (--jobs) is none."""
    if wanted is not None and wanted < 1:
        raise DescentError(f"--jobs {wanted}: must be 1 or more")
    fixed = max((job.threads for job in jobs if job.threads is not None), default=1)
    # One on each GPU: how many jobs its memory holds is not known here.
    on_gpu = bool(there) and any(job.device != "cpu" for job in jobs)
    most = wanted or (len(there) if on_gpu else available)
    at_once = max(1, min(most, available // fixed, len(jobs)))
    return Budget(at_once, max(1, available // at_once), tuple(there) if on_gpu and len(there) > 1 else ())


def environment(threads: int, gpu: str | None = None) -> dict[str, str]:
    """This process's environment, with the threads of a child's libraries, and the GPU that it is to see."""
    seen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**os.environ, **dict.fromkeys(VARIABLES, str(threads)), **seen}
