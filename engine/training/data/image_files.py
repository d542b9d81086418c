"""Which images a folder or a zip file holds, and of which class each is."""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from descent.common.errors import DataError
from engine.training.data.array_files import listed

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_LAYOUT = "Expected is a folder for each class, as cat/1.jpg and dog/1.jpg, or train/cat/1.jpg and test/cat/1.jpg."


class Labelled(NamedTuple):
    """One image: its path below the folder, and its class."""

    file: str
    label: int


class Source(Protocol):
    """Reads a file by its path; safe to use from several threads."""

    def read(self, file: str) -> bytes: ...


@dataclass(frozen=True)
class Listing:
    """The images of a folder or zip file, sorted by path.

    source: reads them. state: changes when any of the files does. test: empty where there is no test folder.
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
    """DataError when it is neither, or holds no images by class."""
    try:
        names, state, source = _in_folder(path) if path.is_dir() else _in_zip(path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    images = sorted(name for name in names if _is_image(name))
    if not images:
        others = sum(not name.endswith("/") for name in names)
        found = f"{others} other files" if others else "nothing"
        raise DataError(f"{path} holds no images but {found}. {_LAYOUT}")
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
            notes = (f"not used beside train and test: {listed(unused)}",)
    else:
        train, test = _by_class(path, by_parts, None, empty), []
    classes = sorted({label for _, label in train})
    if len(classes) < 2:
        raise DataError(f"{path} holds images of one class only, {classes[0]!r}. {_LAYOUT}")
    strange = sorted({label for _, label in test} - set(classes))
    if strange:
        raise DataError(f"{path}: there are test images of {listed(strange)}, but no training images of it.")
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
    """Its files, and its empty folders as names that end in "/"; what changes with them; what reads them."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is neither a folder nor a zip file. {_LAYOUT}")
    try:
        # Kept open: the directory of a zip of 60,000 files takes 0.5 s to read.
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is a damaged zip file: {error}.") from error
    about = path.stat()
    names = sorted(entry.filename for entry in archive.infolist())
    # In order, what lies in a folder comes right after the folder.
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
    return [name for name, _, _ in entries], hashlib.sha256(repr(entries).encode()).hexdigest(), _Folder(path)


def _is_image(name: str) -> bool:
    return not _is_hidden(name) and name.lower().endswith(_SUFFIXES)


def _is_hidden(name: str) -> bool:
    """Or macOS's shadow of a file."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _without_top_folders(images: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Leave out folders that all images share, as long as each still has a class's folder."""
    while len({parts[0] for _, parts in images}) == 1 and all(len(parts) > 2 for _, parts in images):
        images = [(name, parts[1:]) for name, parts in images]
    return images


def _by_class(
    path: Path, images: list[tuple[str, list[str]]], folder: str | None, empty: list[str]
) -> list[tuple[str, str]]:
    """(path, class) of the images below `folder`; the class is the first folder below it, and none is empty."""
    found = []
    above = set()  # where the classes' folders lie
    for name, parts in images:
        if folder is None:
            below = parts
        elif parts[0] == folder:
            below = parts[1:]
        else:
            continue
        if len(below) < 2:
            raise DataError(f"{path}: {name} lies in no class's folder. {_LAYOUT}")
        found.append((name, below[0]))
        above.add(name.removesuffix("/".join(below)).rstrip("/"))
    without = [name for name in empty if name.rpartition("/")[0] in above]
    if without:
        raise DataError(f"{path}: no images in {listed(without)}. Add the missing ones, or remove the folder.")
    return found
