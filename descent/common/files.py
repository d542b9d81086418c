"""Files written so that a crash or a full disk never leaves half of one, and no process ever reads half of one."""

import contextlib
import errno
import json
import math
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = 1 << 16  # bytes read at once from a file's end
_CLOCK_HOLDS = 60.0  # seconds after which the clock of a file system is read again
_clocks: dict[int, tuple[float, float]] = {}  # by file system: its time less time.monotonic(), and when that was read


class NotRegularError(OSError):
    """A pipe or a device is in a file's place."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, os.strerror(errno.EINVAL))


class LinkError(NotRegularError):
    """A link is in a file's place, where none is followed."""


def read_regular(path: Path, most: int, *, follow: bool = True) -> bytes:
    """Return the content of a regular file of at most `most` bytes. follow: whether it may be a link to one.

    It never waits, as a pipe would make it. Raises OSError for anything else; `text.why_unreadable` says it in words.
    """
    with open_regular(path, follow=follow) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(min(size, most) + 1)  # as much memory as this is taken at once
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def open_regular(path: Path, *, follow: bool = True) -> IO[bytes]:
    """Open a regular file for reading. Raises OSError for a folder, a pipe, a device or a loop of links."""
    if not follow and path.is_symlink():
        raise LinkError
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise NotRegularError


def sync_folder(folder: Path) -> None:
    """Wait until the folder's entries (a new or renamed file) are on the disk.

    A folder for handing in, which may be written to and not read, can't be waited for.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o600, *, lasting: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`. It takes that name once it is on the disk, and is removed on an error.

    lasting: whether to wait for the disk. Without, it may be empty after a loss of power.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path), open(temporary, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if lasting:
            sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def create_text(path: Path, text: str) -> None:
    """Write a new file, whole or not at all. Raises FileExistsError if it exists, OSError if it can't be written."""
    try:
        with naming(path), open(path, "x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def write_output(path: Path, data: bytes) -> None:
    """Write a file that the user has named. What was there stays as it is where the disk is full.

    A pipe or a device gets the bytes as they come. A new file gets the permissions that the user's umask gives.
    """
    target = path.resolve()
    if os.path.lexists(target) and not target.is_file():
        with naming(path):
            path.write_bytes(data)
        return
    if target.is_file():
        mode = stat.S_IMODE(target.stat().st_mode)
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    write_atomically(target, data, mode)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError the name of the file that it is about: an error of a write has none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that `replacing` has left there in processes that were killed."""
    for file in folder.glob(".*.tmp"):
        pid = file.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not is_alive(int(pid))):
            with contextlib.suppress(OSError):
                file.unlink()


def time_at(folder: Path) -> float:
    """Return the time by the clock that the times of files in a folder have: on a network disk, its server's.

    It is that of a file without a name, made there once a minute at most. Where this process may not write, its own
    clock has to do. Raises OSError if the folder is gone.
    """
    device, now = os.stat(folder).st_dev, time.monotonic()
    ahead, since = _clocks.get(device, (0.0, -math.inf))
    if now - since >= _CLOCK_HOLDS:
        ahead, since = _written_at(folder) - now, now
        _clocks[device] = ahead, since
    return ahead + now


def _written_at(folder: Path) -> float:
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.utime(file.fileno())
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine has that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OverflowError:
        return False  # no number of a process
    except PermissionError:
        pass  # another user's
    return True


def write_atomically(path: Path, data: bytes, mode: int = 0o600, *, lasting: bool = True) -> None:
    with replacing(path, mode, lasting=lasting) as file:
        file.write(data)


def json_safe(value: Any) -> Any:
    """Return the value as JSON holds it: null for a number that is not finite, text for what JSON has no kind for."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [json_safe(one) for one in value]
        case dict():
            return {str(key): json_safe(one) for key, one in value.items()}
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return a file of JSON that people read too."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


class AppendingWriter:
    """A file of records of one size, which only grows. Readers drop a record that is torn."""

    def __init__(self, path: Path, *, new: bool = True) -> None:
        """new: raise FileExistsError if the file is there."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_EXCL if new else 0), 0o600)
        self._path = path
        self._is_synced = False
        self._error: OSError | None = None

    def write(self, records: bytes) -> None:
        """Append records. Raises OSError if the disk is full, and ever after: readers would misplace the rest."""
        if self._error is not None:
            raise self._error
        data = memoryview(records)
        self._is_synced = False
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            error.filename = str(self._path)  # which `os.write` does not know
            self._error = error
            raise

    def sync(self) -> None:
        """Wait until the records are on the disk."""
        if not self._is_synced:
            os.fsync(self._file)
            self._is_synced = True

    def close(self) -> None:
        os.close(self._file)


class JsonLines:
    """A file with one JSON object a line, which only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        size = os.fstat(self._file).st_size
        # A writer died in the middle of a line, or its disk was full. Our lines begin after that one.
        self._torn = bool(size) and os.pread(self._file, 1, size - 1) != b"\n"

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line. Raises OSError where the disk takes only a part of it, or nothing."""
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"
        line = text.encode(errors="backslashreplace")  # a file's name may hold bytes that are not UTF-8
        if self._torn:
            line = b"\n" + line
        with naming(self._path):
            written = os.write(self._file, line)  # in one write, so that lines of two threads never mix
        self._torn = written < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def size(self) -> int:
        return os.fstat(self._file).st_size

    def sync(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


class JsonLinesReader:
    """A reader of a file of JSON lines that grows. A line that is not complete yet is left for the next read.

    position: the byte up to which it has read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the objects of the lines since the last read. Lines that hold no JSON object are left out."""
        return [entry for _, entry in self.read_with_positions()]

    def read_with_positions(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the same objects, each with the byte at which its line begins."""
        try:
            with self._open() as file:
                file.seek(self.position)
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        entries, end = [], self.position
        for line in lines:
            begin, end = end, end + len(line) + 1
            entry = self._object(line)
            if entry is not None:
                entries.append((begin, entry))
        self.position = end
        return entries

    def read_back(self, mark: bytes) -> Iterator[dict[str, Any]]:
        """Yield the objects of the complete lines that contain `mark`, the last line first.

        `read` continues after these lines. The file is read only as far back as the caller asks.
        """
        self.position = self._end_of_lines()
        found = (self._object(line) for line in self._lines_back(self.position) if mark in line)
        return (entry for entry in found if entry is not None)

    def is_cut(self) -> bool:
        """Return whether the file is shorter than what was read of it: it is gone, or was replaced by another."""
        try:
            return self._path.stat().st_size < self.position
        except OSError:
            return self.position > 0

    def _open(self) -> IO[bytes]:
        return open_regular(self._path)

    def _object(self, line: bytes) -> dict[str, Any] | None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return entry if isinstance(entry, dict) else None

    def _lines_back(self, end: int) -> Iterator[bytes]:
        """Yield the lines before byte `end`, the last first."""
        rest = b""  # the part read so far of a line that begins earlier
        while end > 0:
            begin = max(0, end - _BLOCK)
            try:
                with self._open() as file:  # for each block, so that a caller that stops early leaves no file open
                    block = os.pread(file.fileno(), end - begin, begin)
            except FileNotFoundError:
                return
            rest, *lines = (block + rest).split(b"\n")
            yield from reversed(lines)
            end = begin
        yield rest

    def _end_of_lines(self) -> int:
        """Return the byte after the last complete line."""
        try:
            with self._open() as file:
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return 0
        return size - len(next(self._lines_back(size), b""))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of the complete lines of the file. Empty if the file does not exist."""
    return JsonLinesReader(path).read()
