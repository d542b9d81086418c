"""Random changes of a batch of training images. They are drawn for each image, on the device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.preset import schema


def is_on(settings: schema.Augment) -> bool:
    """Return whether the settings ask for any change."""
    return settings.flip or settings.shift > 0 or settings.rotation > 0


def augment(images: Tensor, settings: schema.Augment) -> Tensor:
    """Flip, then rotate, then shift: (B, C, H, W) -> (B, C, H, W) of the same type.

    Draws from the global generator of the images' device, and does not wait for the device.
    """
    if settings.flip:
        images = _flip(images)
    if settings.rotation > 0:
        images = _rotate(images, settings.rotation)
    if settings.shift > 0:
        images = _shift(images, settings.shift)
    return images


def _flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability 1/2."""
    mirrored = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def _shift(images: Tensor, pixels: int) -> Tensor:
    """Pad with zeros on all sides, then crop to the old size at a random place, one of (2 · pixels + 1)²."""
    count, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, (pixels, pixels, pixels, pixels))
    down, right = torch.randint(2 * pixels + 1, (2, count, 1), device=device)
    rows = down + torch.arange(height, device=device)
    columns = right + torch.arange(width, device=device)
    # Two gathers, one for each axis, read less memory than one with a full index of every pixel.
    rows = rows[:, None, :, None].expand(count, channels, height, padded.shape[-1])
    columns = columns[:, None, None, :].expand(count, channels, height, width)
    return padded.gather(2, rows).gather(3, columns)


def _rotate(images: Tensor, degrees: float) -> Tensor:
    """Rotate each image about its centre by a uniform angle, bilinear, with zeros from outside."""
    count, _, height, width = images.shape
    draws = torch.rand(count, device=images.device)
    angles = torch.deg2rad((2 * draws - 1) * degrees)
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # affine_grid measures both axes from −1 to 1, so the aspect ratio of an image that is not square is restored
    # here.
    first = torch.stack([cosine, -sine * (height / width), zero], dim=1)
    second = torch.stack([sine * (width / height), cosine, zero], dim=1)
    grid = F.affine_grid(torch.stack([first, second], dim=1), list(images.shape), align_corners=False)
    turned = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return turned.to(images.dtype)
