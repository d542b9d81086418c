"""Images as pixels: in three colours, of another size."""

import numpy as np
from numpy.typing import NDArray

from tui.pictures.canvas import Pixels


def coloured(image: NDArray[np.uint8]) -> Pixels:
    """(C, h, w) -> (h, w, 3)"""
    return np.repeat(image[0][..., None], 3, axis=2) if len(image) == 1 else image.transpose(1, 2, 0)


def enlarged(pixels: Pixels, height: int, width: int) -> Pixels:
    """By whole pixels, without smoothing."""
    rows = np.arange(height) * len(pixels) // height
    columns = np.arange(width) * pixels.shape[1] // width
    return pixels[rows][:, columns]


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Each new pixel is the mean of those under it."""
    if height >= len(pixels):
        return enlarged(pixels, height, width)
    shrunk = _means(_means(pixels.astype(float), height).transpose(1, 0, 2), width).transpose(1, 0, 2)
    return np.clip(np.rint(shrunk), 0, 255).astype(np.uint8)


def _means(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Along the first axis, from the running sum between fractional places."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    places = np.linspace(0, len(values), count + 1)
    before = np.minimum(places.astype(int), len(values) - 1)
    share = (places - before).reshape(-1, 1, 1)
    at = total[before] * (1 - share) + total[before + 1] * share
    means: NDArray[np.float64] = np.diff(at, axis=0) * count / len(values)
    return means
