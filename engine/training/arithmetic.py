"""How a GPU computes: TF32, the search for the fastest convolutions, repeatable algorithms, and how much memory."""

import os
import warnings

import torch

from descent.common.i18n import _
from engine.preset import schema

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the latter until PyTorch 2.8


def prepare(train: schema.Train) -> None:
    """Set what CUDA reads once, when it starts."""
    if train.device == "cpu":
        return
    if not any(name in os.environ for name in _ALLOCATOR):
        # Segments that grow: batches of changing sizes then leave fewer holes in the memory that a card shares.
        is_old = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9)
        os.environ[_ALLOCATOR[is_old]] = "expandable_segments:True"
    if train.deterministic:
        os.environ.setdefault(_WORKSPACE, ":4096:8")  # without it, cuBLAS may add up in another order each time


def use(train: schema.Train, device: torch.device) -> list[str]:
    """Compute as the settings say from now on. Returns notes for the user."""
    if torch.are_deterministic_algorithms_enabled() != train.deterministic:
        torch.use_deterministic_algorithms(train.deterministic)
    # It would fill every new tensor, to make reading of unwritten memory repeatable.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type != "cuda":
        return []
    torch.set_float32_matmul_precision("high" if train.tf32 == "all" else "highest")
    cudnn = torch.backends.cudnn
    cudnn.allow_tf32 = train.tf32 != "none"
    cudnn.deterministic, cudnn.benchmark = train.deterministic, train.cudnn_benchmark
    if train.gpu_memory is not None:
        torch.cuda.set_per_process_memory_fraction(train.gpu_memory, device)
    notes = []
    if train.precision == "bf16" and not _has_bf16(device):
        notes.append(
            _(
                'train.precision = "bf16": this GPU emulates it, which is slower than "fp32"; "fp16" is what it is '
                "fast in"
            )
        )
    return notes


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def has_no_repeatable_form(error: BaseException) -> bool:
    """Return whether the error is that of an operation that train.deterministic does not allow."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in str(error)
