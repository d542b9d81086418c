"""Where a run's control socket is: in its folder, or where that can't hold one, in a private folder elsewhere."""

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
from descent.common.files import write_json

LONGEST_PATH = 107  # bytes of a Unix socket's address
BACKLOG = 1024  # connections that wait to be accepted; beyond them a client has to try again
SOCKET = "control.sock"
ELSEWHERE = "control.json"  # names the socket where the run's file system knows none
_PREFIX = "descent-"  # of the folders that hold such sockets


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """An address of `path` that is short enough for a socket: by way of its folder's descriptor if need be."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def socket_of(run: Path) -> Path:
    """Where the run's worker listens, if it does."""
    return _elsewhere(run) or run / SOCKET


def listen(run: Path) -> tuple[socket.socket, list[Path]]:
    """A bound socket, and what to remove afterwards. For the holder of the run's lock: an old socket is stale.

    CannotGoOnError where no place on this machine takes one.
    """
    _clear(run)
    path = run / SOCKET
    with contextlib.suppress(OSError):
        return _bound(path), [path]
    # A network file system may know no sockets. The name of the folder is as good as a password: 0700.
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
            f"can't listen for commands, neither in {run} nor in {tempfile.gettempdir()}: {error.strerror}; "
            "name another folder in $TMPDIR"
        ) from None
    return bound, remove


def remove_all(paths: list[Path]) -> None:
    """Remove sockets, files and empty folders, in this order, as far as they are there."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _elsewhere(run: Path) -> Path | None:
    try:
        return Path(json.loads((run / ELSEWHERE).read_text())["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear(run: Path) -> None:
    """Remove what a killed worker left behind."""
    remove = [run / ELSEWHERE]
    for path in (run / SOCKET, _elsewhere(run)):
        # The file is only believed as far as it names what `listen` makes.
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
    """Whether the process at the other end is of this process's user. The kernel says so."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.geteuid())
