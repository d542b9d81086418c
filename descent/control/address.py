"""The place of a run's control socket: its folder or, if that can't hold a socket, a private folder elsewhere."""

import contextlib
import json
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from descent.common.errors import CannotGoOnError
from descent.common.files import read_regular, write_json
from descent.common.i18n import _

LONGEST_PATH = 107  # bytes of a Unix socket's address
BACKLOG = 1024  # connections that may wait to be accepted; more clients have to try again
SOCKET = "control.sock"
_LARGEST = 1 << 16  # bytes of control.json
ELSEWHERE = "control.json"  # names the socket if the run's file system can't hold one
_PEER = struct.Struct("3i")  # struct ucred of Linux
_PREFIX = "descent-"  # begins the names of the folders that hold such sockets


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield an address of `path` that is short enough for a socket, if need be by its folder's descriptor."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def socket_of(run: Path) -> Path:
    """Return the path on which the run's worker listens, if it does."""
    return _elsewhere(run) or run / SOCKET


def listen(run: Path) -> tuple[socket.socket, list[Path]]:
    """Return a bound socket, and the files and folders to remove afterwards.

    For the holder of the run's lock only: it removes an old socket as stale. Raises CannotGoOnError if no place on
    this machine can hold a socket.
    """
    _clear(run)
    path = run / SOCKET
    with contextlib.suppress(OSError):
        return _bound(path), [path]
    # A network file system may not support sockets. The folder's mode, 0700, keeps other users out.
    remove: list[Path] = []
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        path = folder / SOCKET
        remove = [path, folder, run / ELSEWHERE]
        bound = _bound(path)
        write_json(run / ELSEWHERE, {"socket": str(path), "host": socket.gethostname()})
    except OSError as error:
        remove_all(remove)
        raise CannotGoOnError(
            _(
                "can't listen for commands in {run} or in {temporary}: {error}; name another folder in $TMPDIR",
                run=run,
                temporary=tempfile.gettempdir(),
                error=error.strerror,
            )
        ) from None
    return bound, remove


def remove_all(paths: list[Path]) -> None:
    """Remove sockets, files and empty folders, in the given order. Missing ones are skipped."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _elsewhere(run: Path) -> Path | None:
    try:
        return Path(json.loads(read_regular(run / ELSEWHERE, _LARGEST))["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear(run: Path) -> None:
    """Remove the sockets that a killed worker left."""
    remove = [run / ELSEWHERE]
    for path in (run / SOCKET, _elsewhere(run)):
        # The file may hold anything, so only a path that `listen` could have made is removed.
        if path is None or path.name != SOCKET or not _is_socket(path):
            continue
        remove.append(path)
        if path.parent.name.startswith(_PREFIX) and path.parent != run:
            remove.append(path.parent)
    remove_all(remove)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


def _bound(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as address:
            listening.bind(address)
        os.chmod(path, 0o600)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def is_same_user(connection: socket.socket) -> bool:
    """Return whether the process at the other end belongs to this process's user, as the kernel says."""
    return _credentials(connection)[1] == os.geteuid()


def peer(connection: socket.socket) -> int:
    """Return the process at the other end, as the kernel says."""
    return _credentials(connection)[0]


def _credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of the other end."""
    found: tuple[int, int, int] = _PEER.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    )
    return found
