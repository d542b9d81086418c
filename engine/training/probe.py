"""`python -m engine.training.probe` prints what PyTorch finds on this machine, as one JSON object."""

import json
import warnings
from typing import Any

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch

    from descent.loop import device as devices

    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    gpus: list[dict[str, Any]] = []
    for number in range(torch.accelerator.device_count() if kind is not None else 0):
        device = torch.device(kind.type, number)  # type: ignore[union-attr]
        gpu: dict[str, Any] = {"name": str(device), "bytes": None, "free": None, "trouble": ""}
        # A kernel proves that kernels run: a card too old for this build of torch is listed all the same.
        try:
            gpu["name"] = devices.name(device)
            gpu["trouble"] = devices.trial(device) or ""
            if not gpu["trouble"]:
                gpu["free"], gpu["bytes"] = devices.memory(device) or (None, None)
        except Exception as error:
            gpu["trouble"] = devices.one_line(error)
        gpus.append(gpu)
builds = {"CUDA": torch.version.cuda, "ROCm": torch.version.hip, "XPU": getattr(torch.version, "xpu", None)}
if torch.backends.mps.is_built():
    builds["MPS"] = ""
found = {
    "torch": torch.__version__,
    "builds": [f"{name} {version}".strip() for name, version in builds.items() if version is not None],
    "threads": torch.get_num_threads(),
    "gpus": gpus,
    "warnings": [str(one.message).strip().splitlines()[0] for one in caught if "CUDA" in str(one.message)],
}
print(json.dumps(found))
