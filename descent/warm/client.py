"""Asks the warm process for processes, and keeps it alive."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from descent import child
from descent.common import paths
from descent.common.i18n import _
from descent.warm.request import NotWarmError, RefusedError, Request, address, check, read_once, send

_VARIABLE = "DESCENT_WARM"  # 0: every process is started anew
_PATIENCE = 2.0  # seconds for an answer, which takes some milliseconds
_LOADING = 120.0  # seconds that the warm process may take to load PyTorch
_LOOK = 0.1  # seconds between looks whether it has
_OWN = ("HOME", "PATH", "TMPDIR", "USER", "DESCENT_LANG")  # variables of the warm process, beside those read once
_held: dict[Path, socket.socket] = {}  # connections that keep warm processes alive: one, but after a change


class Process(Protocol):
    """A started process, as subprocess.Popen has it."""

    pid: int
    returncode: int | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None: ...
    def send_signal(self, number: int) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def start(
    module: str,
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    pass_fds: Sequence[int] = (),
) -> Process:
    """Start `module` as a process in a session of its own, without input: at once where a warm process is there.

    The options are those of subprocess.Popen.
    """
    try:
        return fork(module, arguments, cwd=cwd, env=env, stdout=stdout, stderr=stderr, pass_fds=pass_fds)
    except NotWarmError as error:
        if isinstance(error, RefusedError):
            with contextlib.suppress(OSError):
                paths.note("warm.jsonl", {"time": time.time(), "module": module, "refused": str(error)})
        command = child.command(module, *arguments)
        return child.start(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr, pass_fds=pass_fds)


def run(module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Start `module` and wait for its end. Returns its exit code and output."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        code = start(module, *arguments, stdout=out, stderr=error).wait()
        said = []
        for file in (out, error):
            file.seek(0)
            said.append(file.read().decode(errors="replace"))
    return subprocess.CompletedProcess([module, *arguments], code, *said)


class Fork:
    """A process forked from the warm one. Used as a subprocess.Popen is."""

    def __init__(
        self, connection: socket.socket, pid: int, stdout: IO[bytes] | None, stderr: IO[bytes] | None
    ) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._connection = connection
        self._reaping = threading.Lock()  # one thread may wait for its end while another stops it
        try:
            self._process: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._process = None  # it has ended already
        else:
            weakref.finalize(self, os.close, self._process)

    def poll(self) -> int | None:
        """Return the exit code, minus the signal's number where one ended it, or None while it lives."""
        return self._waited(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the same when it has ended. Raises subprocess.TimeoutExpired."""
        code = self._waited(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _waited(self, seconds: float | None) -> int | None:
        if self.returncode is None and self._process is not None:
            ended = select.poll()
            ended.register(self._process, select.POLLIN)
            if not ended.poll(None if seconds is None else max(0.0, seconds) * 1000):
                return None
        with self._reaping:
            if self.returncode is None:
                code = _answer(self._connection).get("exit")
                self._connection.close()
                # Where the warm process was killed, nobody can tell how a fork ended that said nothing itself.
                self.returncode = code if isinstance(code, int) else -signal.SIGKILL
        return self.returncode


def fork(
    module: str,
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    pass_fds: Sequence[int] = (),
) -> Fork:
    """Return a process that runs `module`, in a session of its own and without input.

    The options are those of subprocess.Popen. Raises NotWarmError, and nothing was started, where there is no warm
    process.
    """
    environment = os.environ if env is None else env
    check(environment, Path(cwd or "."))
    connection = _connected()
    theirs: list[int] = []  # descriptors that only the fork needs
    pipes: dict[str, IO[bytes]] = {}

    def opened(path: str | Path, flags: int) -> int:
        theirs.append(os.open(path, flags))
        return theirs[-1]

    def end_of(name: str, given: int | IO[Any] | None, inherited: int) -> int:
        """Return the descriptor of a standard stream of the fork."""
        if given == subprocess.PIPE:
            ours, end = os.pipe()
            theirs.append(end)
            pipes[name] = os.fdopen(ours, "rb")
            return end
        if given == subprocess.DEVNULL:
            return opened(os.devnull, os.O_RDWR)
        return inherited if given is None else given if isinstance(given, int) else given.fileno()

    may_go, go = os.pipe()
    theirs.append(may_go)
    try:
        folder = opened(cwd or ".", os.O_RDONLY | os.O_DIRECTORY)
        null = opened(os.devnull, os.O_RDONLY)
        out = end_of("stdout", stdout, 1)
        error = out if stderr == subprocess.STDOUT else end_of("stderr", stderr, 2)
        places = [Request.FOLDER, Request.GO, 0, 1, 2, *pass_fds]
        request = Request.from_here(module, arguments, environment, places)
        send(connection, request, [folder, may_go, null, out, error, *pass_fds])
        answer = _answer(connection)
        if "pid" not in answer:
            raise RefusedError(str(answer.get("refused") or _("the warm process gave no answer")))
        os.write(go, b"1")
    except (OSError, RefusedError) as error:
        connection.close()
        for pipe in pipes.values():
            pipe.close()
        raise RefusedError(str(error)) from None
    finally:
        for descriptor in (*theirs, go):
            os.close(descriptor)
    return Fork(connection, int(answer["pid"]), pipes.get("stdout"), pipes.get("stderr"))


def hold() -> threading.Thread:
    """Start the warm process if there is none, and keep it alive until this process ends.

    Returns at once, with the thread that ends when the warm process is ready, or when there can be none.
    """
    thread = threading.Thread(target=_hold, name="warm", daemon=True)
    thread.start()
    return thread


def _hold() -> None:
    with contextlib.suppress(NotWarmError, OSError):
        if os.environ.get(_VARIABLE) == "0":
            return
        place = address()
        if place in _held and not select.select([_held[place]], [], [], 0)[0]:  # readable: it has ended
            return
        until = time.monotonic() + _LOADING
        started: subprocess.Popen[bytes] | None = None
        while time.monotonic() < until:
            try:
                connection = _connected()
            except NotWarmError:
                if started is None:
                    command = child.command("descent.warm.server", str(place))
                    # Each fork gets the variables of whoever asks for it. None shall find others in its memory.
                    own = {name: os.environ[name] for name in _OWN if name in os.environ}
                    variables = {**own, **read_once(os.environ)}
                    quiet = subprocess.DEVNULL
                    started = child.start(command, stdout=quiet, stderr=quiet, env=variables)
                elif started.poll() == 0:
                    started = None  # there was another one, which has not answered yet and may be at its end
                elif started.poll() is not None:
                    return  # PyTorch can't be loaded; whoever starts a process is told so
                time.sleep(_LOOK)
                continue
            for old in _held.values():
                old.close()
            _held.clear()
            _held[place] = connection
            return


def _connected() -> socket.socket:
    if os.environ.get(_VARIABLE) == "0":
        raise NotWarmError
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE)
    try:
        connection.connect(str(address()))
    except OSError as error:
        connection.close()
        raise NotWarmError(str(error)) from None
    return connection


def _answer(connection: socket.socket) -> dict[str, Any]:
    """Return the next answer, empty if there is none."""
    line = bytearray()
    with contextlib.suppress(OSError, ValueError):
        while not line.endswith(b"\n"):
            piece = connection.recv(1)
            if not piece:
                return {}
            line += piece
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    return {}
