"""Decoded images in the user's cache folder, so that a set of small files is decoded once."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import platformdirs

from engine.training.data.samples import Array


def place(source: Path, settings: tuple[object, ...], state: str) -> Path:
    """The file for these images: one name for source and settings, and one for the state of the source."""
    what = hashlib.sha256(repr((str(source.resolve()), settings)).encode()).hexdigest()[:16]
    version = hashlib.sha256(state.encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("descent")) / "images" / f"{what}-{version}.npy"


def read(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The images, mapped and not yet read; None where there are none, or not these."""
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def write(path: Path, images: Array) -> None:
    """Keep the images, all or none of them; a cache that can't be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, images, allow_pickle=False)
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        return
    _forget_older(path)


def _forget_older(path: Path) -> None:
    """The same source with the same settings, before it was changed."""
    for other in path.parent.glob(f"{path.name.split('-')[0]}-*.npy"):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()
