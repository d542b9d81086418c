"""Fixtures of the tests of data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from engine.preset import schema
from engine.training.data import Dataset, load

_SECTION: TypeAdapter[schema.AnyData] = TypeAdapter(schema.AnyData)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Dataset]:
    """read(name=…, key=…) loads a data section on the CPU."""

    def read(*, root: Path = tmp_path, loader: Any = None, **section: Any) -> Dataset:
        return load(_SECTION.validate_python(section), root=root, device=torch.device("cpu"), code=loader)

    return read
