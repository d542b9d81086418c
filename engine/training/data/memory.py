"""The free memory, for data that may be too large."""

import os
from pathlib import Path

import torch

from descent.loop import device as devices

# A container's folder, and the files of its limit and its usage. The usage counts `inactive_file`, cached files that
# the kernel drops on demand, although that memory is free.
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def free_memory(device: torch.device) -> int:
    """Return the free bytes on `device`. For the CPU, what the kernel can give within the container's limit."""
    of_device = devices.free_bytes(device)
    if of_device is not None:
        return of_device
    free = [_available()]
    for folder, limit_file, usage_file in _CGROUPS:
        limit, usage = _number(Path(folder, limit_file)), _number(Path(folder, usage_file))
        if limit is not None and usage is not None:
            free.append(max(0, limit - usage + _droppable(Path(folder, "memory.stat"))))
    return min(free)


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int | None:
    """Return the number in a file, or None if the file is missing or says 'max'."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _droppable(statistics: Path) -> int:
    try:
        lines = dict(line.split(maxsplit=1) for line in statistics.read_text().splitlines())
        return int(lines["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0
