"""What this machine offers, read without torch in this process, and how a child ends with its parent."""

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process, by that signal, when its parent is gone. Where it can't, nothing happens."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)


def has_nvidia_device() -> bool:
    """Whether the kernel knows an NVIDIA GPU, whatever torch says."""
    return Path("/proc/driver/nvidia/gpus").is_dir() or Path("/dev/nvidiactl").exists()


def nvidia_devices(known: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """How many NVIDIA GPUs the kernel knows."""
    try:
        return len(list(known.iterdir()))
    except OSError:
        return 1 if has_nvidia_device() else 0


def usable_cpus() -> int:
    """The CPUs that this process may be placed on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cgroup_cpus(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPUs' worth of time that the control group (a container, a batch job) may use; None: no limit.

    A limit of any group above ours holds too, so the smallest counts.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        folder = base / group.lstrip("/")
        while folder.is_relative_to(base):
            limits += [limit for limit in (_limit(folder),) if limit is not None]
            if folder == base:
                break
            folder = folder.parent
    return min(limits, default=None)


def _limit(folder: Path) -> float | None:
    """Quota over period, in either version's files."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{word}_us").read_text().strip() for word in ("quota", "period"))
        return float(quota) / float(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
