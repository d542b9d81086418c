"""A study must give its jobs the GPUs that they can use: too many workers on one card end without memory."""
# ruff: noqa: N802 - NVIDIA's library names its functions so

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from descent.common import machine


class _Nvml(ModuleType):
    """NVIDIA's library as it answers for a whole card and one in parts (MIG), of which one place is empty."""

    class NVMLError(Exception):
        """The library's own error."""

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"card {index}"

    def nvmlDeviceGetMigMode(self, card: str) -> list[int]:
        if card == "card 0":
            raise self.NVMLError("Not Supported")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: str) -> int:
        return 3

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: str, index: int) -> str:
        if index == 1:
            raise self.NVMLError("Not Found")
        return f"part {index}"

    def nvmlDeviceGetUUID(self, handle: str) -> str | bytes:
        return {"card 0": "GPU-0", "part 0": b"MIG-a", "part 2": "MIG-c"}[handle]


def test_parts_of_a_card_are_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = _Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert machine.nvidia_gpus() == ["GPU-0", "MIG-a", "MIG-c"]
    assert nvml.open == 0


def test_without_the_drivers_library_the_kernels_count_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml: Any = _Nvml()
    monkeypatch.setattr(nvml, "nvmlInit", lambda: (_ for _ in ()).throw(nvml.NVMLError("Driver Not Loaded")))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(machine, "nvidia_devices", lambda: 2)
    assert machine.nvidia_gpus() == ["0", "1"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "cuda"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.1'\n", "hip"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu = None\n", None),
        ('cuda = "12.6"\nhip = None\n', "cuda"),
    ],
)
def test_what_torch_was_built_for_is_read_without_importing_it(
    content: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build for CPUs on a laptop with a card would get one job at a time."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch" / "version.py").write_text(content)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert machine.gpus_of_torch() == kind
    assert "torch" not in sys.modules


def test_rocms_nodes_that_are_cpus_are_no_gpus(tmp_path: Path) -> None:
    for node, gpu in enumerate(("0", "52521", "3281")):
        (tmp_path / str(node)).mkdir()
        (tmp_path / str(node) / "gpu_id").write_text(f"{gpu}\n")
    assert machine.amd_devices(tmp_path) == 2
