"""A GPU that is missing, broken or of another kind must not cost a run, nor train on the wrong card in silence."""

import pytest
import torch

from descent.common.errors import CannotGoOnError, ExitCode, PresetError
from descent.loop import checkpoint
from descent.loop import device as devices

CUDA = torch.device("cuda")


@pytest.fixture
def broken_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch sees a GPU, and no kernel runs on it."""
    ones = torch.ones

    def fails(*size: int, device: torch.device | None = None) -> torch.Tensor:
        if device is not None and device.type == "cuda":
            raise torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\nmore")
        return ones(*size)

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: CUDA)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "ones", fails)


@pytest.mark.usefixtures("broken_gpu")
def test_auto_falls_back_to_the_cpu_and_says_why() -> None:
    """A laptop whose card is too old for this PyTorch could not train at all."""
    device, note = devices.choose("auto")
    assert device == torch.device("cpu")
    assert "no kernel image is available for execution on the device)" in note


@pytest.mark.usefixtures("broken_gpu")
def test_a_card_that_was_asked_for_is_not_replaced_in_silence() -> None:
    """Hours on the CPU in place of the GPU, and an exit code that says "a bug of Descent"."""
    with pytest.raises(CannotGoOnError, match="no kernel image") as caught:
        devices.choose("cuda")
    assert caught.value.exit_code == ExitCode.CANNOT_GO_ON
    with pytest.raises(PresetError, match=r'"cuda:3": no such GPU here \(GPUs that torch sees: cuda:0 … cuda:0\)'):
        devices.choose("cuda:3")
    with pytest.raises(PresetError, match='"xpu": no such GPU here'):
        devices.choose("xpu")


@pytest.mark.usefixtures("broken_gpu")
def test_a_card_that_a_cluster_hides_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM and Ray number what they give a job from 0: the fourth card is there, and can't be had."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(PresetError, match=r'cuda:0\); CUDA_VISIBLE_DEVICES = "3" shows these alone, numbered from 0'):
        devices.choose("cuda:3")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(PresetError, match=r"cuda:0\)$"):
        devices.choose("cuda:3")


@pytest.mark.parametrize(
    ("error", "failed", "full"),
    [
        (torch.AcceleratorError("CUDA error: out of memory\nCompile with …"), "CUDA error: out of memory", True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), None, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), None, True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None, False),
        (ValueError("CUDA error"), None, False),
    ],
)
def test_errors_of_the_device_are_told_from_those_of_the_code(
    error: Exception, failed: str | None, full: bool
) -> None:
    """A bug of the user's model would be called a broken GPU, or the other way round."""
    assert devices.is_full(error) == full
    if failed is not None or not full:
        assert devices.failure(error) == failed


def test_a_checkpoint_of_the_cpu_does_not_repeat_draws_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout on the GPU would drop the units of step 0 again."""
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeds.append)
    monkeypatch.setattr(devices, "use", lambda device: None)
    cpu = torch.device("cpu")
    before = checkpoint.random_state(cpu)
    torch.rand(1)
    after = checkpoint.random_state(cpu)
    for state in (before, after, before):
        checkpoint.restore_random_state(state, CUDA)
    assert seeds[0] == seeds[2] != seeds[1]


def test_sums_are_kept_in_what_the_device_has() -> None:
    """MPS has no float64: the first evaluation would end the run."""
    assert devices.for_sums(torch.device("cpu")) == devices.for_sums(CUDA) == torch.float64
    assert devices.for_sums(torch.device("mps")) == torch.float32
    assert devices.for_exact(torch.device("mps")) == torch.device("cpu")
    assert devices.for_exact(CUDA) == CUDA
