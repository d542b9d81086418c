"""The worker's side of the socket: a thread that listens and fills a queue for the training loop."""

import asyncio
import contextlib
import json
import os
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from descent.common.i18n import _
from descent.control.address import BACKLOG, is_same_user, listen, remove_all
from descent.control.protocol import COMMANDS, LONGEST_LINE, Answer, parsed, refusal, too_late

MOST_CLIENTS = 256  # at once; the next one gets a line that says so, and is closed
LAST = 0.02  # seconds at the end in which lines that have come are still read
IDLE = 1.0  # seconds without a complete line after which a client may be closed to make room for a new one
LINGER = 1.0  # seconds that a refused client is still read from
MOST_HEARD = 64  # reads from a refused client at most
HEARTBEAT = 10.0  # seconds between two updates of a file's time, which other hosts can see


@dataclass(eq=False)
class Request:
    """A command that waits for the loop. `answer` may be called from any thread, once."""

    command: str
    arguments: dict[str, Any]
    given_by: str | None
    _loop: asyncio.AbstractEventLoop
    _future: "asyncio.Future[Answer]"
    answered: bool = field(default=False)

    def answer(self, answer: Answer) -> None:
        self.answered = True
        with contextlib.suppress(RuntimeError):  # the server has ended, and nobody waits any more
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

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def take_all(self) -> list[Request]:
        """Return the commands that wait.

        Called between any two steps: an empty queue costs a tenth of a microsecond.
        """
        if self.is_empty:
            return []
        self._arrived.clear()
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._waiting.popleft())
        return taken

    def wait(self, seconds: float) -> None:
        """Wait until a command arrives, for `seconds` at most."""
        if self._arrived.wait(seconds):
            # `put` may set the flag for a request that was already taken. If it stayed set, every wait would end at
            # once.
            self._arrived.clear()


class Server:
    """A thread that listens on the run's socket from `start` to `stop`."""

    def __init__(self, run: Path, queue: Queue) -> None:
        """Bind the socket. Raises CannotGoOnError if no place on this machine can hold one."""
        self._run, self._queue = run, queue
        self._loop = asyncio.new_event_loop()
        self._clients: set[asyncio.Task[None]] = set()
        self._reading: dict[
            asyncio.Task[None], float
        ] = {}  # clients that a line is expected from, and since when, the longest first
        self._listens, self._ending = threading.Event(), False
        self._socket, self._remove = listen(run)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Refuse the commands that still wait, end the thread and remove the socket."""
        self._listens.wait(timeout=5)  # a loop that is stopped before it listens ends in an error
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._socket.close()
        remove_all(self._remove)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_unix_server(self._client, sock=self._socket, limit=LONGEST_LINE, backlog=BACKLOG)
        )
        self._listens.set()
        self._beat()
        try:
            self._loop.run_forever()
        finally:
            self._ending = True
            server.close()
            self._loop.run_until_complete(asyncio.sleep(LAST))  # commands that have come, but are not read yet
            for task in list(self._reading):
                task.cancel()
            for request in self._queue.take_all():
                request.answer(too_late(request.command))
            self._see_off()  # sends the answers just given
            for task in self._clients:
                task.cancel()
            self._see_off()
            self._loop.close()

    def _beat(self) -> None:
        """Update the time of the lock's file, again and again.

        A lock can be seen on its own host only, but the time on every host that shares the file system.
        """
        with contextlib.suppress(OSError):
            os.utime(self._run / "worker.lock")  # not opened here, because closing it would release the lock
        self._loop.call_later(HEARTBEAT, self._beat)

    def _see_off(self) -> None:
        """Wait for the clients to finish, for a second at most."""
        if self._clients:
            self._loop.run_until_complete(asyncio.wait(set(self._clients), timeout=1))

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if not is_same_user(writer.get_extra_info("socket")):
                await _turn_away(reader, writer, _("this run belongs to another user"))
            elif len(self._clients) > MOST_CLIENTS and not self._make_room():
                await _turn_away(reader, writer, _("{count} clients are connected already", count=MOST_CLIENTS))
            else:
                await self._converse(task, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client left, or had to make room, or the run is over
        finally:
            self._clients.discard(task)
            writer.close()

    def _make_room(self) -> bool:
        """Close the client that a line has been expected from for longest. False if none has been silent for IDLE."""
        longest = next(iter(self._reading), None)
        if longest is None or self._loop.time() - self._reading[longest] < IDLE:
            return False
        del self._reading[longest]
        longest.cancel()
        return True

    async def _converse(
        self, task: "asyncio.Task[None]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not self._ending:
            self._reading[task] = self._loop.time()
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return  # the client left, perhaps in the middle of a line
            except asyncio.LimitOverrunError:
                await _turn_away(reader, writer, _("a line may be at most {most} bytes long", most=LONGEST_LINE))
                return
            finally:
                self._reading.pop(task, None)
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> Answer:
        try:
            given = parsed(line)
        except ValueError as error:
            return refusal(None, str(error))
        if given.command not in COMMANDS:
            return refusal(given.command, _("unknown command; allowed: {commands}", commands=", ".join(COMMANDS)))
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put(Request(*given, self._loop, future))
        return await future


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def _turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: str) -> None:
    """Send the reason, then read on for a moment: closing while the client still sends would lose the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            await _send(writer, refusal(None, error))
            writer.write_eof()
            for _piece in range(MOST_HEARD):
                if not await reader.read(LONGEST_LINE):
                    return
