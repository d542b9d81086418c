"""The files below a folder or in a zip file, and which of them are images."""

import hashlib
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, Protocol, cast

from PIL import Image, ImageFile

from descent.common.errors import DataError
from descent.common.files import open_regular
from descent.common.i18n import N_, _, ngettext
from descent.common.text import names_in_zip

_LAYOUT = N_(
    "Expected is a folder for each class, such as cat/1.jpg and dog/1.jpg, or train/cat/1.jpg and test/cat/1.jpg."
)
_USUAL = frozenset({"JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000"})
_NOT_OPENED = frozenset({"MPEG"})  # Pillow only recognises it
_HIDDEN = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})
_START = 16  # bytes by which Pillow recognises a format


def expected_layout() -> str:
    """Return the sentence that says how images are to lie in folders."""
    return _(_LAYOUT)


class Source(Protocol):
    """Reads a file by its path. Safe to use from several threads."""

    def read(self, file: str) -> bytes: ...

    def open(self, file: str) -> BinaryIO: ...

    def size(self, file: str) -> int: ...


class Files(NamedTuple):
    """The files of a folder or a zip file, in sorted order, without hidden ones.

    names: their paths, whole and in parts. An empty folder has "" as its last part. state: changes when any of the
    files does. source: reads them by their paths.
    """

    names: dict[str, list[str]]
    state: str
    source: Source


def list_files(path: Path) -> Files:
    """List the files. Raises DataError if the path is neither a folder nor a zip file, or can't be read."""
    try:
        names, state, source = _in_folder(path) if path.is_dir() else _in_zip(path)
    except OSError as error:
        _refuse(path, error)
    parts = {name: name.split("/") for name in names}
    return Files({name: own for name, own in parts.items() if not _is_hidden(own)}, state, source)


def split_images(files: Files) -> tuple[list[str], list[str]]:
    """Return the names of the images, and of the other files.

    A file is an image if it has a usual ending, or if Pillow can open it. Empty folders are neither.
    """
    images: list[str] = []
    others: list[str] = []
    usual = _endings(_USUAL)
    for name, parts in files.names.items():
        if parts[-1]:
            is_image = ending(parts[-1]) in usual or _is_opened(files.source, name, ending(parts[-1]))
            (images if is_image else others).append(name)
    return images, others


def ending(name: str) -> str:
    """Return the ending of a file's name, such as ".jpg", or "" if it has none."""
    return Path(name).suffix.lower()


def is_called_image(name: str) -> bool:
    """Return whether a name's ending is one of images."""
    return ending(name) in _endings(_USUAL)


def counts_by_ending(names: Iterable[str], most: int = 5) -> str:
    """Return how many files have which ending, as '15 .txt, 3 .json'. The most frequent come first."""
    counted = Counter(ending(name) for name in names).most_common()
    texts = [
        f"{count} {kind}" if kind else ngettext("{count} without an ending", "{count} without an ending", count)
        for kind, count in counted[:most]
    ]
    if len(counted) > most:
        rest = sum(count for _kind, count in counted[most:])
        texts.append(ngettext("{count} other", "{count} others", rest))
    return ", ".join(texts)


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, file: str) -> bytes:
        with self.open(file) as opened:
            return opened.read()

    def open(self, file: str) -> BinaryIO:
        return cast(BinaryIO, open_regular(self._path / file))

    def size(self, file: str) -> int:
        return (self._path / file).stat().st_size


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, entries: dict[str, str]) -> None:
        self._archive, self._entries = archive, entries

    def read(self, file: str) -> bytes:
        return self._archive.read(self._entries[file])

    def open(self, file: str) -> BinaryIO:
        return io.BytesIO(self.read(file))

    def size(self, file: str) -> int:
        return self._archive.getinfo(self._entries[file]).file_size


def _in_folder(path: Path) -> tuple[list[str], str, Source]:
    """Return the files' names (and those of empty folders, ending in "/"), their state, and what reads them."""
    entries = []
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_raise):
        for file in files:
            found = Path(folder, file)
            about = found.stat()
            entries.append((found.relative_to(path).as_posix(), about.st_mtime_ns, about.st_size))
        if not files and not folders:
            entries.append((Path(folder).relative_to(path).as_posix() + "/", 0, 0))
    entries.sort()
    state = hashlib.sha256(repr(entries).encode()).hexdigest()
    return [entry[0] for entry in entries if entry[0] != "./"], state, _Folder(path)


def _raise(error: OSError) -> NoReturn:
    raise error


def _refuse(path: Path, error: OSError) -> NoReturn:
    """Raise DataError, which names the file below `path` that can't be read."""
    file = Path(os.fsdecode(error.filename)) if error.filename is not None else path
    if file.is_symlink() and not file.exists():
        raise DataError(
            _(
                "{file} is a link to {target}, which can't be reached ({error}). Repair or remove the link.",
                file=file,
                target=file.readlink(),
                error=error.strerror,
            )
        ) from error
    raise DataError(_("{file} can't be read: {error}.", file=file, error=error.strerror or error)) from error


def _in_zip(path: Path) -> tuple[list[str], str, Source]:
    if not zipfile.is_zipfile(path):
        wrong = _("{file} is neither a folder nor a zip file.", file=path)
        raise DataError(f"{wrong} {expected_layout()}")
    try:
        # It is kept open, because the directory of a zip of 60,000 files takes 0.5 s to read.
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(_("{file} is a damaged zip file: {error}.", file=path, error=error)) from error
    about = path.stat()
    entries = archive.infolist()
    shown = [name.replace("\\", "/") for name in names_in_zip(entries)]  # some programs write backslashes
    named = dict(zip(shown, (entry.filename for entry in entries), strict=True))
    # In sorted order, the files in a folder come right after the folder.
    pairs = pairwise([*sorted(named), ""])
    names = [name for name, after in pairs if not (name.endswith("/") and after.startswith(name))]
    return names, f"{about.st_mtime_ns} {about.st_size}", _Zip(archive, named)


def _is_hidden(parts: list[str]) -> bool:
    """Return whether a file is hidden, or one that a system adds for itself."""
    return any(part.startswith(".") or part.lower() in _HIDDEN for part in parts)


@cache
def _opened() -> frozenset[str]:
    """Return the formats that Pillow opens."""
    Image.init()
    stubs = {
        name
        for name, (kind, _accept) in Image.OPEN.items()
        if isinstance(kind, type) and issubclass(kind, ImageFile.StubImageFile)
    }
    return frozenset(Image.OPEN) - stubs - _NOT_OPENED


@cache
def _endings(formats: frozenset[str]) -> frozenset[str]:
    return frozenset(kind for kind, name in Image.registered_extensions().items() if name in formats & _opened())


@cache
def _possible(kind: str) -> list[str]:
    """Return the formats that a file with this ending may have. One without a signature needs its own ending."""
    own = Image.registered_extensions().get(kind)
    return [name for name in sorted(_opened()) if Image.OPEN[name][1] is not None or name == own]


def _is_opened(source: Source, name: str, kind: str) -> bool:
    """Return whether Pillow can open the file, by its first bytes and, if they are promising, by its header."""
    try:
        with source.open(name) as file:
            start = file.read(_START)
            accepts = [Image.OPEN[form][1] for form in _possible(kind)]
            if not any(accept is None or accept(start) for accept in accepts):
                return False
            file.seek(0)
            with Image.open(file, formats=_possible(kind)):
                return True
    except Exception:  # a file of any other format may make a plug-in of Pillow fail in any way
        return False
