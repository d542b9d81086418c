"""`python -m engine.training.probe` prints what PyTorch finds on this machine, as one JSON object."""

import json
import warnings
from typing import Any

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch

    gpus: list[dict[str, Any]] = []
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(i)
        gpu = {"name": properties.name, "bytes": properties.total_memory, "free": None, "trouble": ""}
        # The sum proves that kernels run: a card too old for this build of torch is listed all the same.
        try:
            gpu["free"] = torch.cuda.mem_get_info(i)[0]
            assert torch.ones(8, device=f"cuda:{i}").sum().item() == 8
        except Exception as error:
            gpu["trouble"] = str(error).strip().splitlines()[0]
        gpus.append(gpu)
found = {
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "threads": torch.get_num_threads(),
    "gpus": gpus,
    "warnings": [str(one.message).strip().splitlines()[0] for one in caught if "CUDA" in str(one.message)],
}
print(json.dumps(found))
