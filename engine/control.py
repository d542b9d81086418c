"""The wire between a client and a worker: one JSON object a line, over a Unix socket in the run folder.

    {"command": "set", "arguments": {"optimizer.lr": 0.01}}        one line to the worker
    {"run": …, "command": "set", "step": 702, "ok": true, …}       one line back, once it has taken effect

The server lives in a thread of its own and only fills a queue; the training loop empties it between two steps. So a
client that is slow, silent or hostile costs the training nothing.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import CannotGoOnError, DescentError
from engine.files import write_json
from engine.run import ALIVE, RunFolder

LONGEST_LINE = 64 * 1024  # bytes; the longest command has a few hundred
MOST_CLIENTS = 256  # at once; the next one is turned away with a line that says so
LONGEST_PATH = 107  # bytes of a Unix socket's address
SOCKET = "control.sock"
_RETRY = 0.05  # seconds
ELSEWHERE = "control.json"  # names the socket where the run's file system knows none

Answer = dict[str, Any]

COMMANDS = ("pause", "resume", "step", "set", "checkpoint", "evaluate", "extend", "rewind", "stop")


class RefusedError(DescentError):
    """The worker's answer to a command that it can't follow; the text says why."""


class NotRunningError(DescentError):
    """A command to a run that nobody is training."""


@dataclass(eq=False)
class Request:
    """A command that waits for the loop. `answer` may be called from any thread, once."""

    command: str
    arguments: dict[str, Any]
    _loop: asyncio.AbstractEventLoop
    _future: "asyncio.Future[Answer]"
    answered: bool = field(default=False)

    def answer(self, answer: Answer) -> None:
        self.answered = True
        with contextlib.suppress(RuntimeError):  # the server has gone; nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, answer)

    def _deliver(self, answer: Answer) -> None:
        if not self._future.done():
            self._future.set_result(answer)


class Queue:
    """Commands on their way from the server's thread to the loop's."""

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._arrived = threading.Event()

    def put(self, request: Request) -> None:
        self._waiting.append(request)
        self._arrived.set()

    def take_all(self) -> list[Request]:
        """What waits now. Asked between two steps, so an empty queue costs a tenth of a microsecond."""
        if not self._waiting:
            return []
        self._arrived.clear()
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._waiting.popleft())
        return taken

    def wait(self, seconds: float) -> None:
        """Return when something waits, or after `seconds`."""
        self._arrived.wait(seconds)


class Server:
    """Listens on the run's socket from `start` to `stop`, in a thread of its own."""

    def __init__(self, run: Path, queue: Queue) -> None:
        self._run, self._queue = run, queue
        self._loop = asyncio.new_event_loop()
        self._clients = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket, self._remove = _listen(run)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Turn the waiting away, and leave no socket behind."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._socket.close()
        for path in self._remove:
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_unix_server(self._client, sock=self._socket, limit=LONGEST_LINE)
        )
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for request in self._queue.take_all():
                request.answer(_refusal(request.command, "the run has ended"))
            for task in self._tasks:
                task.cancel()
            # One more turn, so that answers just given still go out.
            self._loop.run_until_complete(asyncio.wait(self._tasks, timeout=1) if self._tasks else asyncio.sleep(0))
            self._loop.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients += 1
        try:
            if not _is_same_user(writer.get_extra_info("socket")):
                await _send(writer, _refusal(None, "this run belongs to another user"))
            elif self._clients > MOST_CLIENTS:
                await _send(writer, _refusal(None, f"{MOST_CLIENTS} clients are connected already"))
            else:
                await self._converse(reader, writer)
        except (ConnectionError, asyncio.CancelledError, BrokenPipeError):
            pass  # the client left, or the run is over
        finally:
            self._clients -= 1
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return  # the client left, perhaps in the middle of a line
            except asyncio.LimitOverrunError:
                await _send(writer, _refusal(None, f"a line is at most {LONGEST_LINE} bytes long"))
                return
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> Answer:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return _refusal(None, "not a line of JSON")
        if not isinstance(message, dict) or not isinstance(message.get("command"), str):
            return _refusal(None, 'a command is an object such as {"command": "pause"}')
        command, arguments = message["command"], message.get("arguments", {})
        if command not in COMMANDS:
            return _refusal(command, f"unknown command; there are: {', '.join(COMMANDS)}")
        if not isinstance(arguments, dict):
            return _refusal(command, '"arguments" is an object')
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put(Request(command, arguments, self._loop, future))
        return await future


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


def _refusal(command: str | None, error: str) -> Answer:
    return {"command": command, "ok": False, "error": error}


def _is_same_user(connection: socket.socket) -> bool:
    """The kernel says who is at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.geteuid())


# --- where the socket is ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address of `path` that is short enough for a socket: by way of its folder's descriptor if need be."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _listen(run: Path) -> tuple[socket.socket, list[Path]]:
    """A bound socket, and what to remove afterwards. For the holder of the run's lock: an old socket is stale."""
    path = run / SOCKET
    for stale in (path, run / ELSEWHERE):
        stale.unlink(missing_ok=True)
    try:
        return _bound(path), [path]
    except OSError:
        # A network file system may know no sockets. The name of the folder is as good as a password: 0700.
        folder = Path(tempfile.mkdtemp(prefix="descent-"))
        path = folder / SOCKET
        bound = _bound(path)
        write_json(run / ELSEWHERE, {"socket": str(path), "host": socket.gethostname()})
        return bound, [path, folder, run / ELSEWHERE]


def _bound(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(path) as address:
            listening.bind(address)
        os.chmod(path, 0o600)
        listening.listen(MOST_CLIENTS)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def socket_of(run: Path) -> Path:
    """Where the run's worker listens, if it does."""
    try:
        return Path(json.loads((run / ELSEWHERE).read_text())["socket"])
    except (OSError, ValueError, KeyError):
        return run / SOCKET


# --- the client's side -----------------------------------------------------------------------------------


def send(run: Path, command: str, arguments: dict[str, Any] | None = None, timeout: float | None = 60.0) -> Answer:
    """Give a command to the worker of `run`, and return its answer once the command has taken effect.

    RefusedError with the worker's reason; NotRunningError where there is no worker; CannotGoOnError where it dies.
    """
    line = json.dumps({"command": command, "arguments": arguments or {}}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            while True:
                try:
                    with _reachable(socket_of(run)) as address:
                        connection.connect(address)
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    if RunFolder(run).state() != "starting":
                        raise
                    time.sleep(_RETRY)  # a new worker loads torch first
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = answers.readline()
        except TimeoutError:
            raise CannotGoOnError(f"{run.name}: no answer to {command} within {timeout} s") from None
        except OSError as error:
            raise _not_running(run, error) from None
    return understood(run, command, answer)


async def ask(run: Path, command: str, arguments: dict[str, Any] | None = None) -> Answer:
    """The same as `send`, without blocking the event loop and without a limit of time."""
    line = json.dumps({"command": command, "arguments": arguments or {}}).encode() + b"\n"
    try:
        while True:
            try:
                with _reachable(socket_of(run)) as address:
                    reader, writer = await asyncio.open_unix_connection(address)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if RunFolder(run).state() != "starting":
                    raise
                await asyncio.sleep(_RETRY)
        try:
            writer.write(line)
            answer = await reader.readline()
        finally:
            writer.close()
    except OSError as error:
        raise _not_running(run, error) from None
    return understood(run, command, answer)


def _not_running(run: Path, error: OSError) -> NotRunningError:
    folder = RunFolder(run)
    state = folder.state()
    if state in ALIVE:
        where = f"{run.name} is {state} on host {folder.host()}"
        return NotRunningError(f"{where}, but does not listen here: {error.strerror}")
    advice = "" if state == "finished" else f"; go on with: descent resume {run.name}"
    return NotRunningError(f"{run.name} is {state}{advice}")


def understood(run: Path, command: str, line: bytes) -> Answer:
    """The answer in a line from the worker; RefusedError where it is a refusal."""
    if not line.endswith(b"\n"):
        raise CannotGoOnError(f"{run.name}: the worker ended before it answered {command}")
    answer: Answer = json.loads(line)
    if not answer.get("ok"):
        raise RefusedError(f"{run.name}: {command}: {answer.get('error')}")
    return answer
