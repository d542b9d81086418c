"""The images in a folder or a zip file, and their classes."""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from descent.common.errors import DataError
from descent.common.i18n import N_, _, ngettext
from engine.training.data.array_files import listed

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_LAYOUT = N_(
    "Expected is a folder for each class, such as cat/1.jpg and dog/1.jpg, or train/cat/1.jpg and test/cat/1.jpg."
)


class Labelled(NamedTuple):
    """One image: its path below the folder, and its class."""

    file: str
    label: int


class Source(Protocol):
    """Reads a file by its path. Safe to use from several threads."""

    def read(self, file: str) -> bytes: ...


@dataclass(frozen=True)
class Listing:
    """The images of a folder or zip file, sorted by path.

    source: reads them. state: changes when any of the files does. test: empty without a test folder.
    """

    path: Path
    classes: tuple[str, ...]
    train: tuple[Labelled, ...]
    test: tuple[Labelled, ...]
    source: Source
    state: str
    notes: tuple[str, ...]


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, file: str) -> bytes:
        return (self.path / file).read_bytes()


def list_images(path: Path) -> Listing:
    """List the images. Raises DataError if the path is neither a folder nor a zip file, or has no images by class."""
    try:
        names, state, source = _in_folder(path) if path.is_dir() else _in_zip(path)
    except OSError as error:
        raise DataError(_("{file} can't be read: {error}.", file=path, error=error.strerror)) from error
    images = sorted(name for name in names if _is_image(name))
    if not images:
        others = sum(not name.endswith("/") for name in names)
        if others:
            found = ngettext(
                "{file} holds no images, only {count} other file.",
                "{file} holds no images, only {count} other files.",
                others,
                file=path,
            )
        else:
            found = _("{file} is empty.", file=path)
        raise DataError(f"{found} {_(_LAYOUT)}")
    by_parts = [(name, name.split("/")) for name in images]
    by_parts = _without_top_folders(by_parts)
    folders = {parts[0] for _, parts in by_parts if len(parts) > 1}
    empty = [name.rstrip("/") for name in names if name.endswith("/") and not _is_hidden(name)]
    notes: tuple[str, ...] = ()
    if {"train", "test"} <= folders:
        train = _by_class(path, by_parts, "train", empty)
        test = _by_class(path, by_parts, "test", empty)
        unused = sorted(folders - {"train", "test"})
        if unused:
            notes = (_("only train and test are used, not {folders}", folders=listed(unused)),)
    else:
        train, test = _by_class(path, by_parts, None, empty), []
    classes = sorted({label for _, label in train})
    if len(classes) < 2:
        only = _("{file} holds images of one class only, {name!r}.", file=path, name=classes[0])
        raise DataError(f"{only} {_(_LAYOUT)}")
    strange = sorted({label for _, label in test} - set(classes))
    if strange:
        raise DataError(
            _(
                "{file}: there are test images of {classes}, but no training images.",
                file=path,
                classes=listed(strange),
            )
        )
    number = {label: i for i, label in enumerate(classes)}
    return Listing(
        path=path,
        classes=tuple(classes),
        train=tuple(Labelled(file, number[label]) for file, label in train),
        test=tuple(Labelled(file, number[label]) for file, label in test),
        source=source,
        state=state,
        notes=notes,
    )


def _in_zip(path: Path) -> tuple[list[str], str, Source]:
    """Return the names of its files (and of empty folders, ending in "/"), its state, and what reads the files."""
    if not zipfile.is_zipfile(path):
        wrong = _("{file} is neither a folder nor a zip file.", file=path)
        raise DataError(f"{wrong} {_(_LAYOUT)}")
    try:
        # It is kept open, because the directory of a zip of 60,000 files takes 0.5 s to read.
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(_("{file} is a damaged zip file: {error}.", file=path, error=error)) from error
    about = path.stat()
    names = sorted(entry.filename for entry in archive.infolist())
    # In sorted order, the files in a folder come right after the folder.
    names = [name for name, after in pairwise([*names, ""]) if not (name.endswith("/") and after.startswith(name))]
    return names, f"{about.st_mtime_ns} {about.st_size}", archive


def _in_folder(path: Path) -> tuple[list[str], str, Source]:
    entries = []
    for folder, folders, files in os.walk(path, followlinks=True):
        for file in files:
            found = Path(folder, file)
            about = found.stat()
            entries.append((found.relative_to(path).as_posix(), about.st_mtime_ns, about.st_size))
        if not files and not folders:
            entries.append((Path(folder).relative_to(path).as_posix() + "/", 0, 0))
    entries.sort()
    return [entry[0] for entry in entries], hashlib.sha256(repr(entries).encode()).hexdigest(), _Folder(path)


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(_SUFFIXES)


def _is_hidden(name: str) -> bool:
    """Return whether a file is hidden, or is the shadow file that macOS adds."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _without_top_folders(images: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Leave out top folders that all images share, as long as each image is still in a class's folder."""
    while len({parts[0] for _, parts in images}) == 1 and all(len(parts) > 2 for _, parts in images):
        images = [(name, parts[1:]) for name, parts in images]
    return images


def _by_class(
    path: Path, images: list[tuple[str, list[str]]], folder: str | None, empty: list[str]
) -> list[tuple[str, str]]:
    """Return (path, class) of the images below `folder`. The class is the first folder below it.

    Raises DataError for a class without images, and for an image outside of a class's folder.
    """
    found = []
    above = set()  # the folders that hold the classes' folders
    for name, parts in images:
        if folder is None:
            below = parts
        elif parts[0] == folder:
            below = parts[1:]
        else:
            continue
        if len(below) < 2:
            outside = _("{file}: {image} is not in a class's folder.", file=path, image=name)
            raise DataError(f"{outside} {_(_LAYOUT)}")
        found.append((name, below[0]))
        above.add(name.removesuffix("/".join(below)).rstrip("/"))
    without = [name for name in empty if name.rpartition("/")[0] in above]
    if without:
        raise DataError(
            _(
                "{file}: no images in {folders}. Add the missing ones, or remove the folder.",
                file=path,
                folders=listed(without),
            )
        )
    return found
