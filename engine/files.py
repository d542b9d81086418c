"""Writing files so that a crash, a full disk or another process never finds half of one."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def sync_folder(folder: Path) -> None:
    """Return when the folder's entries (a new or renamed file) are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its name when all of it is on the disk, or vanishes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


POSITION = "at_byte"  # of a line in its file


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


class JsonLines:
    """A file of one JSON object a line, only ever appended to."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # a writer died in the middle of a line: keep it apart from ours

    def append(self, entry: dict[str, Any]) -> None:
        # One write: lines of two threads never mix.
        os.write(self._file, (json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def size(self) -> int:
        return os.fstat(self._file).st_size

    def sync(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def read_json_lines(path: Path, *, positions: bool = False) -> list[dict[str, Any]]:
    """The whole lines of the file; a torn one is left out. Empty where there is no file.

    positions: each object also has, under POSITION, the byte its line begins at.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    entries = []
    begin = 0
    for line in lines:
        position, begin = begin, begin + len(line) + 1
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append({**entry, POSITION: position} if positions else entry)
    return entries
