"""Data sets as tensors on the device: made, bundled, downloaded, or the user's own."""

from engine.training.data.dataset import Dataset, Split
from engine.training.data.downloads import fetch
from engine.training.data.load import CodeLoader, load

__all__ = ["CodeLoader", "Dataset", "Split", "fetch", "load"]
