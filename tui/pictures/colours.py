"""Colours and signs of pictures: one of each for every class, and scales for quantities."""

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tui.pictures.canvas import RGB, Pixels

# Told apart by most who see fewer colours, too; the first two are the accents of the curves.
_DARK: tuple[RGB, ...] = (
    (92, 178, 255), (240, 171, 83), (104, 205, 140), (236, 112, 152), (178, 150, 255),
    (224, 214, 96), (86, 208, 214), (222, 132, 90), (160, 176, 200), (210, 120, 222),
)  # fmt: skip
_LIGHT: tuple[RGB, ...] = (
    (10, 95, 194), (190, 96, 0), (22, 128, 62), (190, 32, 92), (104, 66, 200),
    (134, 116, 0), (0, 128, 138), (150, 70, 30), (80, 92, 112), (150, 40, 160),
)  # fmt: skip
MARKS = "●▲■◆★▼"  # of the training samples of a class
HOLLOW = "○△□◇☆▽"  # of its validation samples
TEXTURES = " ·:-=+*%"  # of the area of a class, where there are no colours

# Matplotlib's viridis and inferno at nine places.
VIRIDIS = np.array(
    [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
     (170, 220, 50), (253, 231, 37)], float)  # fmt: skip
_LOWEST, _HIGHEST = np.array([74, 134, 222.0]), np.array([222, 102, 64.0])


def of_class(index: int, *, dark: bool) -> RGB:
    colours = _DARK if dark else _LIGHT
    if index < len(colours):
        return colours[index]
    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1, 0.68 if dark else 0.36, 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def letter(index: int) -> str:
    """A, B, C … of a class, where shapes can't be shown."""
    return chr(ord("A") + index % 26)


def scale(amount: NDArray[np.floating]) -> Pixels:
    """0 to 1 as viridis: (…) -> (…, 3)"""
    at = np.clip(np.nan_to_num(amount), 0, 1) * (len(VIRIDIS) - 1)
    places = np.arange(len(VIRIDIS))
    return np.stack([np.interp(at, places, VIRIDIS[:, i]) for i in range(3)], axis=-1).astype(np.uint8)


def diverging(amount: NDArray[np.floating], middle: RGB) -> Pixels:
    """−1 to 1: blue below, the middle's colour at 0, red above."""
    amount = np.clip(np.nan_to_num(amount), -1, 1)[..., None]
    return mixed(np.where(amount < 0, _LOWEST, _HIGHEST), middle, np.abs(amount))


def mixed(one: NDArray[Any], other: NDArray[Any] | RGB, share: NDArray[Any] | float) -> Pixels:
    """`share` of `one`, the rest of `other`; (…, 3)."""
    sums = np.asarray(one) * share + np.asarray(other) * (1 - np.asarray(share))
    pixels: Pixels = np.clip(sums, 0, 255).astype(np.uint8)
    return pixels
