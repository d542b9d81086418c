"""Where the real data sets are that some tests and benchmarks need."""

import os
from pathlib import Path


def real_folder() -> Path | None:
    """The folder of MNIST and CIFAR-10: where $DESCENT_TEST_DATA says, or beside the checkout; None without one."""
    named = os.environ.get("DESCENT_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return folder if folder.is_dir() else None
