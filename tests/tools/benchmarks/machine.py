"""What the figures were measured on."""

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from descent.common.paths import version


def machine() -> dict[str, Any]:
    """CPU, cores that this process may use, memory, threads asked for, versions, and how busy it was before."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "descent": version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load": busy(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }


def busy() -> float:
    """Programs that wanted a core, the mean of the last minute."""
    return round(os.getloadavg()[0], 2)


def described(facts: dict[str, Any]) -> str:
    """The same in a line."""
    threads = facts["omp_num_threads"]
    return (
        f"{facts['cpu']}, {facts['cores']} cores, torch {facts['torch']}, Python {facts['python']}, "
        + (f"OMP_NUM_THREADS={threads}" if threads else "threads as measured by each run")
        + f"; load before: {facts['load']}"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
