"""The device that trains: which one it is, its memory, its random numbers, its clock and its failures.

The CPU, CUDA, ROCm (which is "cuda" to PyTorch), and what else torch.accelerator knows, such as XPU and MPS.
"""

import hashlib
import os
import re
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from descent.common.errors import CannotGoOnError, PresetError
from descent.common.i18n import _
from descent.common.text import clean, shorten

CPU = torch.device("cpu")
_PINS = ("cuda", "xpu")  # whose copies from pinned memory do not wait
# What the libraries under PyTorch write into a plain RuntimeError.
_FAILURES = re.compile(r"\b(CUDA|HIP|cuDNN)\serror\b|\b(CUBLAS|CUFFT|CUSOLVER|CUSPARSE)_STATUS_|\bNVRTC\b")


# --- which device ---


def choose(wanted: str) -> tuple[torch.device, str]:
    """Return the device of `train.device`, made the current one, and a note on one that can't be used, or "".

    "auto" takes the accelerator, of several the one with the most free memory, once a kernel has run on it, else the
    CPU. Raises PresetError if this machine does not have the device, CannotGoOnError if it does not work.
    """
    if wanted == "cpu":
        return CPU, ""
    if wanted == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if found is None:
            return CPU, ""
        device = _freest(found.type)
        trouble = trial(device)
        if trouble is None:
            return device, ""
        return CPU, _(
            "{device} is there but can't be used ({reason}), so this trains on the CPU; `descent doctor` tries it",
            device=device,
            reason=trouble,
        )
    device = torch.device(wanted)
    _refuse_missing(device, wanted)
    trouble = trial(device)
    if trouble is None:
        return device, ""
    raise CannotGoOnError(
        _(
            'train.device = "{device}": it is there but can\'t be used ({reason}). Check with `descent doctor` that '
            "it is free and that this PyTorch supports it, or train with --device cpu",
            device=wanted,
            reason=trouble,
        )
    )


def _refuse_missing(device: torch.device, wanted: str) -> None:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    count = torch.accelerator.device_count() if found is not None and found.type == device.type else 0
    if (device.index or 0) < count:
        return
    if not count:
        raise PresetError(
            _(
                'train.device = "{device}": no such GPU here (GPUs that torch sees: none; `descent doctor` says why)',
                device=wanted,
            )
            + _hiding(device)
        )
    raise PresetError(
        _(
            'train.device = "{device}": no such GPU here (GPUs that torch sees: {kind}:0 … {kind}:{last})',
            device=wanted,
            kind=device.type,
            last=count - 1,
        )
        + _hiding(device)
    )


def _hiding(device: torch.device) -> str:
    """Say which variable shows some of the GPUs only, as a cluster sets it for each job, or nothing."""
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        if device.type == "cuda" and variable in os.environ:
            value = clean(shorten(os.environ[variable], 80))
            return _('; {variable} = "{value}" shows these alone, numbered from 0', variable=variable, value=value)
    return ""


def _freest(kind: str) -> torch.device:
    """Return the device of this kind with the most free memory, without an index if there is only one.

    Asks the driver's library, because PyTorch itself would make a context of some 300 MB on each device.
    """
    count = torch.accelerator.device_count()
    if count < 2:
        return torch.device(kind)
    try:
        total = [torch.cuda.get_device_properties(i).total_memory for i in range(count)]
        free = [of_one - torch.cuda.device_memory_used(i) for i, of_one in enumerate(total)]
    except Exception:  # no such library, no permission, or another kind of device
        free = [0]
    return torch.device(kind, max(range(len(free)), key=free.__getitem__))


def trial(device: torch.device) -> str | None:
    """Make the device the current one and run a kernel on it. Returns what goes wrong in one line, or None."""
    try:
        use(device)
        if float(torch.ones(8, device=device).sum()) != 8:
            return _("it adds up wrongly")
    except (RuntimeError, AssertionError, OSError) as error:
        return one_line(error)
    return None


def use(device: torch.device) -> None:
    """Make it the device of everything that names none. Without it, an event would be one of another device."""
    if device.type != "cpu" and device.index is not None:
        torch.accelerator.set_device_index(device.index)


def one_line(error: BaseException) -> str:
    """Return the first line of an error."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return shorten(clean(lines[0] if lines else type(error).__name__), 160)


# --- what it is ---


def name(device: torch.device) -> str:
    """Return the device's name, such as "NVIDIA H100"."""
    if device.type == "cpu":
        return "CPU"
    module = torch.get_device_module(device)
    if hasattr(module, "get_device_name"):
        return str(module.get_device_name(device))
    return device.type.upper()


def uuid(device: torch.device) -> str | None:
    """Return what the driver's tools call this very device, for CUDA alone."""
    if device.type != "cuda":
        return None
    found = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if found is None else str(found)


@cache
def has_float64(device: torch.device) -> bool:
    """Return whether the device computes with numbers of double precision. MPS and many XPUs do not."""
    if device.type in ("cpu", "cuda"):
        return True
    if device.type == "mps":
        return False
    try:
        return float(torch.ones(1, dtype=torch.float64, device=device).sum()) == 1
    except (RuntimeError, TypeError):
        return False


def for_sums(device: torch.device) -> torch.dtype:
    """Return the type in which sums over many samples are kept: float64 where the device has it."""
    return torch.float64 if has_float64(device) else torch.float32


def for_exact(device: torch.device) -> torch.device:
    """Return where numbers of double precision are computed for this device: there, or on the CPU."""
    return device if has_float64(device) else CPU


# --- copies that nobody waits for ---


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to the device without waiting for what the device does.

    The values are copied into pinned memory first, which PyTorch keeps until the copy is over.
    """
    if device.type == "cpu":
        return values
    if device.type in _PINS:
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def host_buffer(like: Tensor) -> Tensor:
    """Return an empty tensor of the same shape on the host, into which the device can copy without waiting."""
    return torch.empty_like(like, device="cpu", pin_memory=like.device.type in _PINS)


def mark(device: torch.device) -> Any:
    """Return an event that is over once the device has done all that it was given until now. None for the CPU."""
    if device.type == "cpu":
        return None
    # A blocking event: waiting for it takes no core of the host.
    event: Any = torch.cuda.Event(blocking=True) if device.type == "cuda" else torch.Event(device)  # type: ignore[no-untyped-call]
    event.record(torch.accelerator.current_stream(device))
    return event


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    event = mark(device)
    if event is not None:
        event.synchronize()


# --- memory ---


def memory(device: torch.device) -> tuple[int, int] | None:
    """Return the free and all bytes of the device's own memory. None for the CPU, and where nobody knows."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    module: Any = None if device.type == "cpu" else torch.get_device_module(device)
    return module.mem_get_info(device) if hasattr(module, "mem_get_info") else None


def free_bytes(device: torch.device) -> int | None:
    """Return the free bytes of the device's own memory. None for the CPU, and where nobody knows."""
    found = memory(device)
    return None if found is None else found[0]


def give_back_unused() -> None:
    """Give memory that is kept for later tensors back to other programs. Does nothing without a GPU in use."""
    if torch.accelerator.is_available():
        getattr(torch.accelerator, "empty_cache", torch.cuda.empty_cache)()  # torch 2.6 knows only the latter


# --- random numbers ---


def random_state(device: torch.device) -> Tensor | None:
    """Return the state of the device's own generator, a tensor of the host. None for the CPU."""
    if device.type == "cpu":
        return None
    module: Any = torch.get_device_module(device)
    return cast(Tensor, module.get_rng_state(device) if device.type != "mps" else module.get_rng_state())


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Restore what `random_state` returned."""
    module: Any = torch.get_device_module(device)
    if device.type == "mps":
        module.set_rng_state(state)
    else:
        module.set_rng_state(state, device)


def seed_from(state: Tensor, device: torch.device) -> None:
    """Seed the device's generator by the state of another one, so that it repeats no draws of an earlier step."""
    if device.type != "cpu":
        digest = hashlib.sha256(state.numpy().tobytes()).digest()
        use(device)
        torch.get_device_module(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


# --- failures ---


def failure(error: BaseException) -> str | None:
    """Return what an error says of the device, in one line, or None for any other error."""
    accelerator = getattr(torch, "AcceleratorError", ())
    if isinstance(error, accelerator) or (
        isinstance(error, RuntimeError) and _FAILURES.search(str(error)) is not None
    ):
        return one_line(error)
    return None


def is_full(error: BaseException) -> bool:
    """Return whether the error says that the device's memory ran out, also before PyTorch's own allocator."""
    return isinstance(error, torch.OutOfMemoryError) or (
        failure(error) is not None and ("out of memory" in str(error) or "ALLOC_FAILED" in str(error))
    )
