"""A preset's data, for the checks of a lab."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from engine.preset import load_preset
from engine.training.data import Dataset, load


@lru_cache(maxsize=4)
def _dataset(preset: str, root: str, *, raw: bool) -> Dataset:
    section = load_preset(Path(preset)).data
    if raw:
        section = section.model_copy(update={"scaling": "none"})
    return load(section, root=Path(root), device=torch.device("cpu"), code=None)


def splits(preset: str, root: str, split: str, *, raw: bool) -> dict[str, torch.Tensor] | None:
    """`inputs` and `targets` of a split as the model sees them, or before scaling; None where there is no such split.

    preset: its file. root: of downloaded data. Errors as `load` has them.
    """
    data = _dataset(preset, root, raw=raw)
    found = {"train": data.train, "validation": data.validation, "test": data.test}[split]
    return None if found is None else {"inputs": found.inputs, "targets": found.targets}


def facts(preset: str, root: str) -> dict[str, Any]:
    """What a model must know of the data that it is made for."""
    data = _dataset(preset, root, raw=False)
    return {
        "input_shape": list(data.input_shape),
        "task": data.task,
        "target_size": data.target_size,
        "classes": data.num_classes,
    }
