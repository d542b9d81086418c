"""The console must show the GPU that the run is on, not the first one of the machine."""
# ruff: noqa: N802 - NVIDIA's library names its functions so

import socket
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from descent.run.folder import RunFolder
from tui.data.machine import Meters


class _Memory(NamedTuple):
    used: int
    total: int


class _Rates(NamedTuple):
    gpu: int


class _Nvml:
    """NVIDIA's library with two cards, the second of which is a part of one (MIG) that has no utilisation."""

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return {"GPU-aa": "card 0", "MIG-bb": "part"}[name]

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return "card 0"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        return []

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> _Memory:
        return _Memory(3, 8) if handle == "part" else _Memory(1, 80)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> _Rates:
        if handle == "part":
            raise RuntimeError("Not Supported")
        return _Rates(50)


@pytest.mark.parametrize(
    ("uuid", "expected"),
    [("aa", (0.5, 1, 80)), ("bb", (None, 3, 8)), (None, (0.5, 1, 80)), ("of another driver", (0.5, 1, 80))],
)
def test_the_readings_are_those_of_the_runs_gpu(uuid: str | None, expected: tuple[Any, ...], tmp_path: Path) -> None:
    meters = Meters(RunFolder(tmp_path))
    meters._nvml = _Nvml()
    found = meters.read({"device": "cuda", "device_uuid": uuid}, socket.gethostname())
    assert (found.gpu, found.gpu_memory, found.gpu_total) == expected
