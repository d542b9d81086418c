"""Images in a folder or a zip file with a folder for each class, decoded once into the user's cache."""

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from PIL import Image, UnidentifiedImageError

from descent.common.errors import DataError
from descent.common.i18n import _
from descent.common.numbers import memory
from engine.preset import schema
from engine.training.data.array_files import existing
from engine.training.data.dataset import Array, HeldOut, Rows, Samples
from engine.training.data.image_files import Listing, list_images
from engine.training.data.memory import free_memory


def cache_file(source: Path, settings: tuple[object, ...], state: str) -> Path:
    """Return the cache's file for these images.

    Its name depends on the source, the settings and the source's state.
    """
    what = hashlib.sha256(repr((str(source.resolve()), settings)).encode()).hexdigest()[:16]
    version = hashlib.sha256(state.encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("descent")) / "images" / f"{what}-{version}.npy"


def read_cached(path: Path, shape: tuple[int, ...]) -> Array | None:
    """Return the images, mapped into memory and not read yet, or None if the file does not hold these images."""
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.uint8 else None


def write_cached(path: Path, images: Array) -> None:
    """Write the images, all or none of them. Nothing happens if the cache can't be written."""
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
    """Remove the files of the same source and settings from before the source was changed."""
    for other in path.parent.glob(f"{path.name.split('-')[0]}-*.npy"):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()


_CHUNK = 256  # images in a task; a small image decodes in 0.1 ms, less than a task costs
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read(section: schema.ImagesData, device: torch.device) -> Samples:
    """Read the labels from the folders' names.

    The images, (N, C, H, W) uint8, are decoded when a split picks them.
    """
    path = existing(section.path)
    listing = list_images(path)
    size = section.image_size or _size(listing, listing.train[0].file)

    def images(part: str, files: list[str]) -> Images:
        return Images(listing, files, part, section=section, size=size, device=device)

    notes = list(listing.notes)
    test = None
    if listing.test:
        if "test" in section.model_fields_set:
            notes.append(_("data.test is not used: the images have a test folder"))
        test = HeldOut(
            images("test", [image.file for image in listing.test]),
            np.array([image.label for image in listing.test], dtype=np.int64),
        )
    return Samples(
        where=str(path),
        inputs=images("train", [image.file for image in listing.train]),
        targets=np.array([image.label for image in listing.train], dtype=np.int64),
        classes=listing.classes,
        test=test,
        notes=tuple(notes),
        row=lambda i: listing.train[i].file,
    )


class Images:
    """Images, (N, C, H, W) uint8, decoded when rows are picked, and kept in the user's cache folder."""

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(
        self,
        listing: Listing,
        files: list[str],
        part: str,
        *,
        section: schema.ImagesData,
        size: int | tuple[int, int],
        device: torch.device,
    ) -> None:
        self._listing = listing
        self._files = files
        self._resize = section.image_size
        self._device = device
        width, height = (size, size) if isinstance(size, int) else size
        self.shape: tuple[int, ...] = (len(files), section.channels, height, width)
        self._cache = cache_file(listing.path, (part, section.image_size, section.channels), listing.state)

    def __getitem__(self, rows: Rows) -> Array:
        """Return the images of these rows. All images are decoded for the cache if memory allows, else only these."""
        everything = read_cached(self._cache, self.shape)
        if everything is None and self._fits(len(self._files)):
            everything = self._decode(self._files)
            write_cached(self._cache, everything)
        if everything is not None:
            self._refuse_too_many(len(rows))
            return np.asarray(everything[rows])
        self._refuse_too_many(len(rows))
        return self._decode([self._files[row] for row in rows])

    def _fits(self, count: int) -> bool:
        """Return whether the images take at most half of the free memory.

        They need one byte for each value on the host, and a float32 on the device.
        """
        values = count * int(np.prod(self.shape[1:]))
        if self._device.type == "cpu":
            return 5 * values <= free_memory(self._device) // 2
        host = free_memory(torch.device("cpu")) // 2
        return values <= host and 4 * values <= free_memory(self._device) // 2

    def _refuse_too_many(self, count: int) -> None:
        if self._fits(count):
            return
        channels, height, width = self.shape[1:]
        values = channels * height * width
        free = free_memory(self._device)
        fitting = free // 2 // (5 * values)
        side = int((free / 2 / (5 * channels * count)) ** 0.5)
        raise DataError(
            _(
                "{file}: {count:,} images of {width} × {height} take {needed} of memory, but half of the free memory "
                "on {device} is {half}. Set data.image_size to {side} or less, or data.size to {fitting} or fewer.",
                file=self._listing.path,
                count=count,
                width=width,
                height=height,
                needed=memory(5 * values * count),
                device=self._device,
                half=memory(free // 2),
                side=max(1, side),
                fitting=max(1, fitting),
            )
        )

    def _decode(self, files: list[str]) -> Array:
        """Decode the images, in the order of the files, in several threads (PIL releases the GIL)."""
        images = np.empty((len(files), *self.shape[1:]), dtype=np.uint8)

        def decode(start: int) -> None:
            for at in range(start, min(start + _CHUNK, len(files))):
                images[at] = self._decode_one(files[at])

        workers = min(8, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(workers) as pool:
            try:
                # list() raises the first error here.
                list(pool.map(decode, range(0, len(files), _CHUNK)))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return images

    def _decode_one(self, file: str) -> Array:
        channels, height, width = self.shape[1:]
        try:
            with Image.open(io.BytesIO(self._listing.source.read(file))) as opened:
                if self._resize is None and opened.size != (width, height):
                    raise _wrong_size(self._listing, file, opened.size, (width, height))
                # A JPEG of a large photograph can be decoded at a fraction of its size.
                opened.draft("L" if channels == 1 else "RGB", (width, height))
                image = _convert(opened, channels)
                if image.size != (width, height):
                    image = image.resize((width, height), Image.Resampling.BILINEAR)
                pixels = np.asarray(image)
        except (*_DAMAGED, Image.DecompressionBombError) as error:
            raise _unreadable(self._listing, file, error) from error
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """Convert to grey or colour of 8 bits."""
    if image.mode.startswith("I;16"):  # PIL would clip at 255 instead of scaling
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _size(listing: Listing, file: str) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(listing.source.read(file))) as image:
            return image.size
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise _unreadable(listing, file, error) from error


def _wrong_size(listing: Listing, file: str, size: tuple[int, int], expected: tuple[int, int]) -> DataError:
    return DataError(
        _(
            "{file}: {image} has the size {size}, but {first} has the size {expected}. Set data.image_size to scale "
            "all "
            "images to one size.",
            file=listing.path,
            image=file,
            size=f"{size[0]} × {size[1]}",
            first=listing.train[0].file,
            expected=f"{expected[0]} × {expected[1]}",
        )
    )


def _unreadable(listing: Listing, file: str, error: BaseException) -> DataError:
    if isinstance(error, UnidentifiedImageError):
        reason = _("not an image")
    else:
        reason = str(error).rstrip(".") or type(error).__name__
    return DataError(
        _(
            "{file}: {image} can't be read: {reason}. Replace or delete it.",
            file=listing.path,
            image=file,
            reason=reason,
        )
    )
