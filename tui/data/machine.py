"""What a run's worker takes of its machine: CPU, memory, GPU. Read from /proc and NVML, never from the worker."""

import contextlib
import os
import socket
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.run.folder import RunFolder
from descent.run.lock import worker_pid

EVERY = 1.0  # seconds between readings
_Gpu = tuple[float | None, int | None, int | None, int | None, float | None]
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Machine:
    """Readings of the machine. cpu: the share of one core. Memory is in bytes. None: not known, or not there."""

    cpu: float | None = None
    memory: int | None = None
    load: float | None = None
    cores: int = 1
    gpu: float | None = None
    gpu_memory: int | None = None
    gpu_total: int | None = None
    temperature: int | None = None  # of the GPU, in °C
    power: float | None = None  # of the GPU, in watts
    total: int | None = None  # memory of the machine


_SENSOR = 0  # NVML_TEMPERATURE_GPU
HISTORY = 120  # readings that are kept


@dataclass(frozen=True)
class History:
    """The last readings, the oldest first; None where one was not known. Shares of 1, and steps a second."""

    cpu: tuple[float | None, ...] = ()
    memory: tuple[float | None, ...] = ()
    gpu: tuple[float | None, ...] = ()
    gpu_memory: tuple[float | None, ...] = ()
    speed: tuple[float | None, ...] = ()


class Meters:
    """The readings of one run's worker, once a second at most."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._at = -EVERY
        self._before: tuple[int, float, float] | None = None  # process, its seconds of CPU, the time of that
        self._machine = Machine()
        self._readings: deque[tuple[Machine, float | None]] = deque(maxlen=HISTORY)
        self._history = History()
        self._nvml: Any = None
        self._device: Any = None

    def history(self, speed: float | None, *, is_alive: bool) -> History:
        """Return the last readings while the run lived, the same object until there is another.

        speed: steps a second now.
        """
        if not is_alive:
            return self._history
        if not self._readings or self._readings[-1][0] is not self._machine:
            self._readings.append((self._machine, speed))
            machines = [machine for machine, _speed in self._readings]
            self._history = History(
                tuple(None if each.cpu is None else each.cpu / max(1, each.cores) for each in machines),
                tuple(_share(each.memory, each.total) for each in machines),
                tuple(each.gpu for each in machines),
                tuple(_share(each.gpu_memory, each.gpu_total) for each in machines),
                tuple(speed for _machine, speed in self._readings),
            )
        return self._history

    def read(self, facts: dict[str, Any], host: str) -> Machine:
        """Return the latest readings, the same object for a second. host: the machine that trains the run."""
        now = time.monotonic()
        if now - self._at < EVERY:
            return self._machine
        self._at = now
        if host != socket.gethostname():
            self._machine = Machine()  # another machine's /proc is not ours to read
            return self._machine
        pid = worker_pid(self._folder.path)
        cpu = memory = None
        if pid is not None:
            cpu, memory = self._process(pid, now)
        gpu: _Gpu = (None, None, None, None, None)
        if str(facts.get("device", "")).startswith("cuda"):
            gpu = self._gpu(pid, str(facts["device"]), facts.get("device_uuid"))
        self._machine = Machine(cpu, memory, _load(), len(os.sched_getaffinity(0)), *gpu, total=_memory())
        return self._machine

    def _process(self, pid: int, now: float) -> tuple[float | None, int | None]:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / _TICKS
            memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            return None, None  # it has just ended
        before, self._before = self._before, (pid, seconds, now)
        if before is None or before[0] != pid:
            return None, memory
        return max(0.0, seconds - before[1]) / (now - before[2]), memory

    def _gpu(self, pid: int | None, device: str, uuid: str | None) -> _Gpu:
        """Utilisation, memory in use, memory, temperature and power of the GPU that the worker is on."""
        try:
            if self._nvml is None:
                import pynvml

                pynvml.nvmlInit()
                self._nvml = pynvml
            if self._device is None:
                self._device = self._find(pid, device, uuid)
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._device)
            return self._utilisation(), int(memory.used), int(memory.total), *self._heat()
        except Exception:  # no library, no driver, no permission: a console without this line is a whole console
            return None, None, None, None, None

    def _heat(self) -> tuple[int | None, float | None]:
        """Temperature and power. Not each GPU tells them."""
        found: list[float | None] = []
        for name, arguments in (("nvmlDeviceGetTemperature", (_SENSOR,)), ("nvmlDeviceGetPowerUsage", ())):
            try:
                found.append(float(getattr(self._nvml, name)(self._device, *arguments)))
            except Exception:  # a part of a card (MIG) has neither
                found.append(None)
        temperature, milliwatts = found
        return None if temperature is None else int(temperature), None if milliwatts is None else milliwatts / 1000

    def _utilisation(self) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(self._device).gpu / 100)
        except Exception:  # a part of a card (MIG) has memory of its own, and no such figure
            return None

    def _find(self, pid: int | None, device: str, uuid: str | None) -> Any:
        """By the name that the run has noted, which is right in a container too, else by the worker's process.

        The worker's CUDA_VISIBLE_DEVICES may count the GPUs otherwise than NVML does.
        """
        for name in () if uuid is None else (uuid, f"GPU-{uuid}", f"MIG-{uuid}"):
            with contextlib.suppress(Exception):
                return self._nvml.nvmlDeviceGetHandleByUUID(name)
        handles = [self._nvml.nvmlDeviceGetHandleByIndex(i) for i in range(self._nvml.nvmlDeviceGetCount())]
        for handle in handles:
            if any(p.pid == pid for p in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)):
                return handle
        index = device.partition(":")[2]
        return handles[int(index) if index else 0]


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def _memory() -> int | None:
    """The memory of the machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * _PAGE
    except (OSError, ValueError):
        return None


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
