"""CPUs, memory and GPUs of this machine, found without importing torch, and how a process ends with its parent."""

import contextlib
import ctypes
import importlib.util
import os
import re
import select
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_CLOCK_ERROR = 2.0  # seconds; the kernel tells in whole ones when it was booted
_OF_MACHINE = (("Available", "Free"), ("Total", "Total"))  # of /proc/meminfo: MemAvailable and SwapFree, …
# Files of a control group, of version 2 and 1: limits, what is used, and in memory.stat what can be dropped of it.
_OF_GROUP = (
    (("memory.max", "memory.high"), "memory.current", ("inactive_file", "active_file")),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)
_GROUPS, _OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


_starter: tuple[int, int] | None = None  # the process that has started this one and its descriptor, if not the parent


def started_by(process: int) -> None:
    """Note that another process than the parent has started this one. Raises ProcessLookupError if that has ended."""
    global _starter  # noqa: PLW0603 - a fact of the whole process
    _starter = process, os.pidfd_open(process)


def starter() -> int:
    """Return the process that has started this one: its parent, unless `started_by` was called."""
    return os.getppid() if _starter is None else _starter[0]


def is_forked() -> bool:
    """Return whether this process shares its memory with the warm process that it was forked from."""
    return _starter is not None


def is_alive_since(pid: int, moment: float) -> bool:
    """Return whether a process of this machine lives that had begun by a moment, in seconds of the epoch."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        [boot] = [line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime")]
        began = int(boot) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return False
    return after_name[0] != "Z" and began <= moment + _CLOCK_ERROR


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Send this process that signal when its `starter` ends. Does nothing where the kernel can't."""
    if _starter is not None:
        threading.Thread(target=_die_with, args=(_starter[1], how), name="starter", daemon=True).start()
        return
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)


def _die_with(process: int, how: signal.Signals) -> None:
    waiting = select.poll()
    waiting.register(process, select.POLLIN)
    waiting.poll()
    os.kill(os.getpid(), how)


def has_nvidia_device() -> bool:
    """Return whether the kernel knows an NVIDIA GPU, with or without torch. WSL2 has it by way of Windows."""
    known = ("/proc/driver/nvidia/gpus", "/dev/nvidiactl", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
    return any(Path(path).exists() for path in known)


def gpus_of_torch() -> Literal["cuda", "hip"] | None:
    """Return for which kind of GPUs the installed PyTorch was built, without importing it. None for CPUs only."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        content = Path(found.origin).with_name("version.py").read_text()
    except OSError:
        return None
    built = re.findall(r"^(cuda|hip)\b[^=\n]*= *['\"]", content, re.MULTILINE)
    return "cuda" if "cuda" in built else "hip" if "hip" in built else None


def nvidia_gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES knows the NVIDIA GPUs; of a card in parts (MIG), those parts.

    Without the driver's library, their numbers.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no such library, or no driver for it
        return [str(number) for number in range(nvidia_devices())]
    try:
        cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [_text(pynvml.nvmlDeviceGetUUID(part)) for card in cards for part in _parts(pynvml, card)]
    except pynvml.NVMLError:
        return [str(number) for number in range(nvidia_devices())]
    finally:
        pynvml.nvmlShutdown()


def _parts(nvml: Any, card: Any) -> list[Any]:
    """Return the parts of a card that is divided (MIG), else the card itself."""
    try:
        is_divided = nvml.nvmlDeviceGetMigMode(card)[0] == 1
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(card) if is_divided else 0
    except nvml.NVMLError:
        return [card]
    parts = []
    for index in range(count):
        with contextlib.suppress(nvml.NVMLError):  # a place in which no part was made
            parts.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index))
    return parts if is_divided else [card]


def _text(given: str | bytes) -> str:
    return given.decode() if isinstance(given, bytes) else given


def amd_devices(known: Path = Path("/sys/class/kfd/kfd/topology/nodes")) -> int:
    """Return how many GPUs ROCm's driver knows. Its nodes are CPUs too, whose gpu_id is 0."""
    ids = []
    for file in known.glob("*/gpu_id"):
        with contextlib.suppress(OSError):
            ids.append(file.read_text().strip())
    return sum(found not in ("", "0") for found in ids)


def nvidia_devices(known: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """Return how many NVIDIA GPUs the kernel knows."""
    try:
        return len(list(known.iterdir()))
    except OSError:
        return 1 if has_nvidia_device() else 0


def usable_cpus() -> int:
    """Return how many CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cgroup_cpus(root: Path = _GROUPS, own: Path = _OWN_GROUP) -> float | None:
    """Return how many CPUs' time the control group (a container, a batch job) may use. None without a limit.

    The limits of the groups above ours hold too, so the smallest counts.
    """
    limits = [_limit(folder) for folder in _groups("cpu", root, own)]
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those above it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        controllers, group = line.split(":", 2)[1:]
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        folder = base / group.lstrip("/")
        while folder.is_relative_to(base):
            yield folder
            if folder == base:
                break
            folder = folder.parent


def _limit(folder: Path) -> float | None:
    """Return quota divided by period, from the files of cgroup version 1 or 2. None without a limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{word}_us").read_text().strip() for word in ("quota", "period"))
        return float(quota) / float(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


@dataclass(frozen=True)
class Memory:
    """Bytes of memory. available: what processes may still take before one is ended. total: all that there is."""

    available: int
    total: int


def memory(root: Path = _GROUPS, own: Path = _OWN_GROUP, info: Path = Path("/proc/meminfo")) -> Memory | None:
    """Return the machine's memory with its swap, or that of the control group that has the least left.

    None where nobody knows.
    """
    found = [_memory_of(folder) for folder in _groups("memory", root, own)]
    with contextlib.suppress(OSError, KeyError, ValueError):
        of = _numbers(info)
        available, total = (1024 * (of[f"Mem{word}"] + of[f"Swap{swap}"]) for word, swap in _OF_MACHINE)
        found.append(Memory(available, total))
    return min((one for one in found if one is not None), key=lambda one: one.available, default=None)


def _memory_of(folder: Path) -> Memory | None:
    """Return what a control group of version 1 or 2 may take. The kernel drops files that it has read first."""
    for limits, used, files in _OF_GROUP:
        try:
            most = min(int(text) for name in limits if (text := (folder / name).read_text().strip()) != "max")
            of = _numbers(folder / "memory.stat")
            taken = int((folder / used).read_text()) - sum(of.get(name, 0) for name in files)
        except (OSError, ValueError):
            continue  # the other version's files, or no limit
        return Memory(max(0, most - taken), most)
    return None


def _numbers(file: Path) -> dict[str, int]:
    """Return the numbers of a file of the kernel with a name and a number in each line."""
    lines = [line.replace(":", " ").split() for line in file.read_text().splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
