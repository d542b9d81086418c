"""The client's side: a command given to a run's worker, and its answer."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

from descent.common.errors import CannotGoOnError
from descent.control.address import reachable, socket_of
from descent.control.protocol import Answer, NotRunningError, line_of, understood
from descent.run.folder import RunFolder
from descent.run.state import ALIVE, StateReader

_RETRY = 0.05  # seconds


def send(run: Path, command: str, arguments: dict[str, Any] | None = None, timeout: float | None = 60.0) -> Answer:
    """Give a command to the worker of `run`, and return its answer once the command has taken effect.

    RefusedError with the worker's reason; NotRunningError where there is no worker; CannotGoOnError where it dies.
    """
    line, states = line_of(command, arguments), StateReader(RunFolder(run))
    deadline = None if timeout is None else time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            while True:
                try:
                    with reachable(socket_of(run)) as address:
                        connection.connect(address)
                    break
                except (FileNotFoundError, ConnectionRefusedError):
                    if states.state() != "starting":
                        raise
                except BlockingIOError:
                    pass  # very many are waiting to be accepted
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError
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
    line, states = line_of(command, arguments), StateReader(RunFolder(run))
    try:
        while True:
            try:
                with reachable(socket_of(run)) as address:
                    reader, writer = await asyncio.open_unix_connection(address)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if states.state() != "starting":
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
    """Nobody is there to be told: how the run has ended, and what helps."""
    folder = RunFolder(run)
    state = folder.state()
    if state in ALIVE:
        where = f"{run.name} is {state} on host {folder.host()}"
        return NotRunningError(f"{where}, but does not listen here: {error.strerror}")
    from descent.run.remove import ended

    return NotRunningError(ended(folder))
