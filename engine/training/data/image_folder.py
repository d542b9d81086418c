"""Images in a folder or a zip file with a folder for each class, decoded once into the user's cache."""

import contextlib
import hashlib
import json
import os
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch

from descent.common.errors import DataError
from descent.common.i18n import _
from descent.common.numbers import memory
from engine.preset import schema
from engine.training.data.array_files import existing
from engine.training.data.dataset import Array, HeldOut, Rows, Samples
from engine.training.data.image_decoding import (
    DAMAGED,
    DeepRange,
    Size,
    Treatment,
    WrongSizeError,
    decode,
    reason_of,
    shown_size,
    size_of,
)
from engine.training.data.image_layout import Labelled, Listing, list_images
from engine.training.data.memory import free_memory
from engine.training.data.preprocess import stay_bytes

_VERSION = 2  # of the decoding: raise it when other pixels come of the same files
_CHUNK = 256  # images in a task; a small image decodes in 0.1 ms, less than a task costs
_NAMED = 12  # damaged images, or classes, that a message names


def cache_file(source: Path, settings: tuple[object, ...], state: str) -> Path:
    """Return the cache's file for these images.

    Its name depends on the source, the settings, the source's state and the version of the decoding.
    """
    what = hashlib.sha256(repr((str(source.resolve()), settings)).encode()).hexdigest()[:16]
    version = hashlib.sha256(f"{_VERSION} {state}".encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("descent")) / "images" / f"{what}-{version}.npy"


def read_cached(path: Path, shape: tuple[int, ...]) -> tuple[Array, Treatment] | None:
    """Return the images, mapped into memory and not read yet, or None if the file does not hold these images.

    What had to be done to them follows the array in the file, as JSON.
    """
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.memmap) or found.shape != shape or found.dtype != np.uint8:
            return None
        with path.open("rb") as file:
            file.seek(found.offset + found.nbytes)
            return found, Treatment.from_json(json.loads(file.read()))
    except (OSError, ValueError, EOFError, TypeError):
        return None


def write_cached(path: Path, images: Array, treatment: Treatment) -> None:
    """Write the images, all or none of them. Nothing happens if the cache can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, images, allow_pickle=False)
            file.write(json.dumps(treatment.to_json()).encode())
        Path(name).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        return
    _forget_older(path)


def _forget_older(path: Path) -> None:
    """Remove the files of the same source and settings from before the source, or the decoding, was changed."""
    for other in path.parent.glob(f"{path.name.split('-')[0]}-*.npy"):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()


def read(section: schema.ImagesData, device: torch.device) -> Samples:
    """Read the labels from the folders' names.

    The images, (N, C, H, W) uint8, are decoded when a split picks them.
    """
    path = existing(section.path)
    listing = list_images(path, section.labels, section.target)
    everything = [image.file for image in (*listing.train, *listing.validation, *listing.test)]
    deep = DeepRange(everything, listing.source.read)
    first, size = everything[0], (section.image_size or 0, section.image_size or 0)
    if section.image_size is None:
        first, size = _first_readable(listing, everything)
    made: list[Images] = []

    def split(part: str, images: tuple[Labelled, ...]) -> HeldOut:
        files = [image.file for image in images]
        made.append(Images(listing, files, part, section=section, first=first, size=size, device=device, deep=deep))
        return HeldOut(made[-1], np.array([image.label for image in images], dtype=np.int64))

    def read_notes() -> tuple[str, ...]:
        treatment = Treatment()
        for images in made:
            treatment.add(images.treatment)
        return tuple(treatment.notes(section.image_size))

    train = split("train", listing.train)
    return Samples(
        where=str(path),
        inputs=train.inputs,
        targets=train.targets,
        classes=listing.classes,
        validation=split("validation", listing.validation) if listing.validation else None,
        test=split("test", listing.test) if listing.test else None,
        notes=(_class_note(listing), *_split_notes(section, listing), *_size_note(section), *listing.notes),
        row=lambda i: listing.train[i].file,
        read_notes=read_notes,
        read_range=lambda: next((images.treatment.range for images in made if images.treatment.range), None),
    )


def _class_note(listing: Listing) -> str:
    """Return a note with the images of each class, for training and for splits that are cut from those."""
    counts = np.bincount([image.label for image in listing.train])
    if len(set(counts.tolist())) == 1:
        return _("images of each class: {count:,}", count=int(counts[0]))
    texts = [f"{name} {count:,}" for name, count in zip(listing.classes, counts, strict=True)]
    shown, more = ", ".join(texts[:_NAMED]), len(texts) - _NAMED
    return _(
        "images by class: {counts}",
        counts=_("{names} and {count} more", names=shown, count=more) if more > 0 else shown,
    )


def _split_notes(section: schema.ImagesData, listing: Listing) -> list[str]:
    """Return notes on the folders that are splits, and on the splits that are cut from the training images."""
    if not listing.folders:
        return []
    notes = [
        _(
            "splits by folders: {splits}",
            splits=", ".join(
                f"{split} {listing.folders[split]!r} ({len(getattr(listing, split)):,})"
                for split in ("train", "validation", "test")
                if split in listing.folders
            ),
        )
    ]
    if not listing.validation and section.validation:
        notes.append(
            _(
                "no validation folder: {share:.0%} of the training images are held out for it (data.validation)",
                share=section.validation,
            )
        )
    if not listing.test and section.test:
        notes.append(
            _(
                "no test folder: {share:.0%} of the training images are held out for it (data.test)",
                share=section.test,
            )
        )
    return notes


def _size_note(section: schema.ImagesData) -> list[str]:
    """Return a note where the number of training images may have been meant as their size in pixels."""
    if section.size is None or section.image_size is not None:
        return []
    return [
        _(
            "data.size = {size} is the number of training images; their size in pixels is data.image_size",
            size=section.size,
        )
    ]


class Images:
    """Images, (N, C, H, W) uint8, decoded when rows are picked, and kept in the user's cache folder.

    first: the image whose size all others have to have. treatment: what had to be done to the images that have been
    decoded, or that were for the cache.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(
        self,
        listing: Listing,
        files: list[str],
        part: str,
        *,
        section: schema.ImagesData,
        first: str,
        size: Size,
        device: torch.device,
        deep: DeepRange,
    ) -> None:
        self._listing = listing
        self._files = files
        self._first = first
        self._scale = section.image_size is not None
        # Bytes of memory for each value: of float32, and of bytes, which are float32 too while a scaling is fitted.
        kept = 4 if not stay_bytes(section, device) else 1 if section.scaling == "none" else 5
        host = torch.device("cpu")  # where they are decoded as bytes
        self._needed = {host: 1, device: kept} if device.type != "cpu" else {host: kept + 1}
        self._deep = deep
        width, height = size
        self.shape: tuple[int, ...] = (len(files), section.channels, height, width)
        self.treatment = Treatment()
        self._cache = cache_file(
            listing.path, (part, section.image_size, section.channels, section.labels), listing.state
        )

    def __getitem__(self, rows: Rows) -> Array:
        """Return the images of these rows. All images are decoded for the cache if memory allows, else only these."""
        everything = read_cached(self._cache, self.shape)
        if everything is None and self._fits(len(self._files)):
            everything = self._decode(self._files)
            write_cached(self._cache, *everything)
        self._refuse_too_many(len(rows))
        if everything is not None:
            images, self.treatment = everything
            return np.asarray(images[rows])
        images, treatment = self._decode([self._files[row] for row in rows])
        self.treatment.add(treatment)
        return images

    def identity(self) -> str:
        """Return a checksum of the files' names and sizes."""
        sizes = [self._listing.source.size(file) for file in self._files]
        return f"{zlib.crc32(repr([self._files, sizes]).encode()):08x}"

    def _fits(self, count: int) -> bool:
        """Return whether the images take at most half of the free memory, of the host and of the device."""
        values = count * int(np.prod(self.shape[1:]))
        return all(needed * values <= free_memory(device) // 2 for device, needed in self._needed.items())

    def _refuse_too_many(self, count: int) -> None:
        channels, height, width = self.shape[1:]
        for device, each in self._needed.items():
            one, half = each * channels * height * width, free_memory(device) // 2
            if one * count <= half:
                continue
            raise DataError(
                _(
                    "{file}: {count:,} images of {width} × {height} take {needed} of memory, but half of the free "
                    "memory on {device} is {half}. Set data.image_size to {side} or less, or data.size to {fitting} "
                    "or fewer.",
                    file=self._listing.path,
                    count=count,
                    width=width,
                    height=height,
                    needed=memory(one * count),
                    device=device,
                    half=memory(half),
                    side=max(1, int((half / (each * channels * count)) ** 0.5)),
                    fitting=max(1, half // one),
                )
            )

    def _decode(self, files: list[str]) -> tuple[Array, Treatment]:
        """Decode the images, in the order of the files, in several threads (PIL releases the GIL).

        Raises DataError, which names the damaged ones.
        """
        images = np.empty((len(files), *self.shape[1:]), dtype=np.uint8)
        channels, height, width = self.shape[1:]
        damaged: dict[str, BaseException] = {}

        def decode_chunk(start: int) -> Treatment:
            treatment = Treatment()
            for at in range(start, min(start + _CHUNK, len(files))):
                try:
                    data = self._listing.source.read(files[at])
                    images[at], done = decode(data, channels, (width, height), self._deep, scale=self._scale)
                except DAMAGED as error:
                    damaged[files[at]] = error
                except WrongSizeError as error:
                    raise self._wrong_size(files[at], error.size) from error
                else:
                    treatment.add(done)
            return treatment

        treatment = Treatment()
        with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
            try:
                for done in pool.map(decode_chunk, range(0, len(files), _CHUNK)):
                    treatment.add(done)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if damaged:
            raise damaged_images(self._listing.path, damaged)
        return images, treatment

    def _wrong_size(self, file: str, size: Size) -> DataError:
        height, width = self.shape[2:]
        return DataError(
            _(
                "{file}: {image} has the size {size}, but {first} has the size {expected}. Set data.image_size to "
                "scale all images to one size.",
                file=self._listing.path,
                image=file,
                size=shown_size(size),
                first=self._first,
                expected=shown_size((width, height)),
            )
        )


def _first_readable(listing: Listing, files: list[str]) -> tuple[str, Size]:
    """Return the first image that can be read, and its size. Raises DataError if none can be."""
    damaged: dict[str, BaseException] = {}
    for file in files:
        try:
            return file, size_of(listing.source.read(file))
        except DAMAGED as error:
            damaged[file] = error
    raise damaged_images(listing.path, damaged)


def damaged_images(path: Path, errors: dict[str, BaseException]) -> DataError:
    """Return the error for images of the folder or zip file that can't be read."""
    first = sorted(errors)[:_NAMED]
    if len(errors) == 1:
        return DataError(
            _(
                "{file}: {image} can't be read: {reason}. Replace or delete it.",
                file=path,
                image=first[0],
                reason=reason_of(errors[first[0]]),
            )
        )
    images = "; ".join(f"{file}: {reason_of(errors[file])}" for file in first)
    if len(errors) > len(first):
        images = _("{names} and {count} more", names=images, count=len(errors) - len(first))
    return DataError(
        _(
            "{file}: {count:,} images can't be read. Replace or delete them: {images}.",
            file=path,
            count=len(errors),
            images=images,
        )
    )
