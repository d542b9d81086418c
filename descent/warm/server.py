"""The warm process: `python -P -m descent.child descent.warm.server SOCKET`.

It imports all that runs, gradings, learners' files and pictures import, then forks one process for each request. It
runs nobody's code, touches no GPU and starts no thread, so a fork of it is as good as a new process. It ends with the
last process that is connected to it.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from descent.common import i18n
from descent.common.i18n import _, ngettext
from descent.common.machine import started_by, usable_cpus
from descent.control.address import is_same_user, peer
from descent.warm.request import Request, receive

_MODULES = (  # the last two are imported by first uses: of a preset's file, of NumPy's unique
    "engine.cli.job",
    "engine.cli.train",
    "engine.launch.background",
    "engine.launch.batch",
    "engine.launch.rank",
    "engine.training.worker",
    "engine.training.pictures.ended",
    "engine.labs.grading",
    "engine.labs.sandbox.enclosed",
    "engine.labs.sandbox.process",
    "encodings.utf_8_sig",
    "numpy.ma",
)
_ENDING = 2.0  # seconds in which a warm process that nobody needs any more gives its address up
_LONELY = 30.0  # seconds without anybody connected: whoever started it has gone
_PATIENCE = 1.0  # seconds that a request may take to arrive
_THREADS = "OMP_NUM_THREADS"
_OPENBLAS = "OPENBLAS_NUM_THREADS"  # NumPy starts a thread for each CPU when it is imported, unless this is 1


class _Server:
    """Serves requests until nobody is connected. `serve` returns in the forks, too."""

    def __init__(self, address: Path, lock: int) -> None:
        """lock: see locked."""
        self._address, self._lock = address, lock
        self._children: dict[int, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()

    def listen(self) -> None:
        """Accept connections from now on."""
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._address.unlink(missing_ok=True)
        self._listening.bind(str(self._address))
        self._listening.listen(64)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._woken, waking = socket.socketpair()
        waking.setblocking(False)
        signal.set_wakeup_fd(waking.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def serve(self) -> tuple[Request, list[int], socket.socket] | None:
        """Return the request and its connection in a fork, None in the warm process itself at its end."""
        until = time.monotonic() + _LONELY  # for the first to connect
        while self._clients or time.monotonic() < until:
            for ready, _events in self._selector.select(_LONELY):
                if ready.fileobj is self._listening:
                    self._accept()
                    until = 0.0
                elif ready.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._reap()
                else:
                    assert isinstance(ready.fileobj, socket.socket)
                    found = self._answer(ready.fileobj)
                    if found is not None:
                        return found
        return None

    def end(self) -> None:
        """Leave nothing behind."""
        self._address.unlink(missing_ok=True)
        Path(f"{self._address}.lock").unlink(missing_ok=True)

    def _accept(self) -> None:
        connection, _address = self._listening.accept()
        if not is_same_user(connection):
            connection.close()
            return
        connection.settimeout(_PATIENCE)
        self._clients.add(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _leave(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._clients.discard(connection)
        connection.close()

    def _answer(self, connection: socket.socket) -> tuple[Request, list[int], socket.socket] | None:
        """Fork the process that is asked for. Returns in the fork only."""
        try:
            found = receive(connection)
        except (OSError, ValueError, TypeError):
            found = None
        if found is None:
            self._leave(connection)
            return None
        request, descriptors = found
        reason = _why_not()
        pid = os.fork() if reason is None else -1
        if pid == 0:
            return request, descriptors, connection
        for descriptor in descriptors:
            os.close(descriptor)
        if reason is None:
            self._children[pid] = connection
        else:
            tell(connection, refused=reason)
        return None

    def _reap(self) -> None:
        """Tell those who asked for the processes that have ended how these did."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            tell(self._children.pop(pid), exit=os.waitstatus_to_exitcode(status))


def tell(connection: socket.socket, **answer: object) -> None:
    """Send an answer, one line, if anybody is left to read it."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _why_not() -> str | None:
    """Return why a fork of this process would not be as good as a new process, or None."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        return ngettext("the warm process has {count} thread", "the warm process has {count} threads", threads)
    torch = sys.modules["torch"]
    return _("the warm process has touched the GPU") if torch.cuda.is_initialized() else None


def _load() -> None:
    """Import everything, without a thread of OpenBLAS."""
    given = os.environ.get(_OPENBLAS)
    os.environ[_OPENBLAS] = "1"
    gc.disable()
    for name in _MODULES:
        importlib.import_module(name)
    gc.enable()
    gc.freeze()  # a collection in a fork would write to all pages, which are shared until then
    if given is None:
        del os.environ[_OPENBLAS]
    else:
        os.environ[_OPENBLAS] = given


def _as_new(before: Mapping[str, str]) -> None:
    """Give this fork what Python and libraries set up when they start. before: the warm process's environment."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        binary = os.fdopen(number, f"{mode}b", closefd=False)
        unbuffered = name == "stderr" or bool(os.environ.get("PYTHONUNBUFFERED"))
        stream = io.TextIOWrapper(binary, errors=_errors(name), line_buffering=unbuffered, write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    time.tzset()
    i18n.look_again()
    tempfile.tempdir = None
    random.seed()
    numpy = sys.modules["numpy"]
    numpy.random.seed()
    importlib.invalidate_caches()
    threads = os.environ.get(_THREADS, "")
    if threads != before.get(_THREADS, ""):
        sys.modules["torch"].set_num_threads(int(threads))  # OpenMP has read the variable before
    wanted = next(filter(str.isdigit, (os.environ.get(_OPENBLAS, ""), threads)), str(usable_cpus()))
    if wanted != "1":
        from threadpoolctl import ThreadpoolController

        ThreadpoolController().select(internal_api="openblas").limit(limits=int(wanted))


def _errors(name: str) -> str:
    """Return what Python does with characters that a standard stream can't show."""
    return "backslashreplace" if name == "stderr" else "surrogateescape" if sys.flags.utf8_mode else "strict"


def _run(request: Request, descriptors: list[int], connection: socket.socket) -> NoReturn:
    """Be the process that is asked for, to its end."""
    signal.set_wakeup_fd(-1)
    starter, before = peer(connection), dict(os.environ)
    try:
        number, go = request.become(descriptors, connection.detach())
        connection = socket.socket(fileno=number)
        started_by(starter)
        _as_new(before)
        tell(connection, pid=os.getpid())
        if not os.read(go, 1):
            os._exit(0)  # who asked for it has waited in vain, and starts it in another way
        os.close(go)
        sys.argv = [request.module, *request.arguments]
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        code = 1
        traceback.print_exc()
    _end(connection, code)


def _end(connection: socket.socket, code: int) -> NoReturn:
    """End this fork without taking the interpreter apart.

    That would write to each object of the warm process: half a second, and a copy of all its memory.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    # Files that are still open may hold what is not written yet. Those of the warm process are frozen.
    files = [thing for thing in gc.get_objects() if issubclass(type(thing), io.TextIOBase | io.BufferedIOBase)]
    for file in sorted(files, key=_outermost_first):
        with contextlib.suppress(Exception):
            file.close()
    tell(connection, exit=code)  # the warm process may be gone by now
    os._exit(code & 0xFF)


def _outermost_first(file: io.IOBase) -> int:
    """Sort a text file before the compressed one, say, that it writes to, and that before its file of bytes."""
    if issubclass(type(file), io.TextIOBase):
        return 0
    return 2 if issubclass(type(file), io.BufferedWriter | io.BufferedRandom) else 1


def locked(address: Path) -> int | None:
    """Return the lock of the warm process at an address, which is held until this process ends.

    None if another one has it, and does not end meanwhile.
    """
    file, until = Path(f"{address}.lock"), time.monotonic() + _ENDING
    while True:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), file.stat()):  # not one that has been removed since
                return lock
        os.close(lock)
        if time.monotonic() >= until:
            return None
        time.sleep(_ENDING / 20)


def main(address: str) -> None:
    """Be the warm process, or one of its forks."""
    os.chdir("/")
    lock = locked(Path(address))
    if lock is None:
        return
    server = _Server(Path(address), lock)
    _load()
    server.listen()
    found = server.serve()
    if found is not None:
        _run(*found)
    server.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
