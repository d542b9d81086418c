"""The client's side: give a command to a run's worker and get its answer."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

from descent.common.errors import CannotGoOnError
from descent.common.i18n import _
from descent.control.address import reachable, socket_of
from descent.control.protocol import Answer, Giver, NotRunningError, line_of, understood
from descent.run.folder import RunFolder
from descent.run.state import ALIVE, State, StateReader

_RETRY = 0.05  # seconds


def send(
    run: Path,
    command: str,
    arguments: dict[str, Any] | None = None,
    timeout: float | None = 60.0,
    given_by: Giver = "program",
) -> Answer:
    """Give a command to the worker of `run`, and return its answer once the command has taken effect.

    timeout: seconds to wait at most; None for no limit. given_by: who gives it, for the run's log.

    Raises RefusedError with the worker's reason, NotRunningError if no worker runs, and CannotGoOnError if the worker
    dies or does not answer in time.
    """
    line, attempts = line_of(command, arguments, given_by), _Attempts(run)
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
                    if attempts.are_over():
                        raise
                except BlockingIOError:
                    pass  # the queue of connections is full
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError
                time.sleep(_RETRY)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = answers.readline()
        except TimeoutError:
            raise CannotGoOnError(
                _("{run}: no answer to {command} within {timeout} s", run=run.name, command=command, timeout=timeout)
            ) from None
        except OSError as error:
            raise _not_running(run, error) from None
    return understood(run, command, answer)


async def ask(
    run: Path, command: str, arguments: dict[str, Any] | None = None, given_by: Giver = "program"
) -> Answer:
    """Do the same as `send`, without blocking the event loop and without a time limit."""
    line, attempts = line_of(command, arguments, given_by), _Attempts(run)
    try:
        while True:
            try:
                with reachable(socket_of(run)) as address:
                    reader, writer = await asyncio.open_unix_connection(address)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if attempts.are_over():
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


class _Attempts:
    """Attempts to reach a run's socket. A new worker listens only after it has loaded PyTorch."""

    def __init__(self, run: Path) -> None:
        self._states = StateReader(run)
        self._state: State | None = None  # before the attempt that is made now

    def are_over(self) -> bool:
        """Return whether the attempt that has just failed was the last: no worker was starting all the while."""
        before, self._state = self._state, self._states.state()
        return self._state == before != "starting"


def _not_running(run: Path, error: OSError) -> NotRunningError:
    """Return the error for a run without a worker: how it has ended, and what the user can do."""
    folder = RunFolder(run)
    state = folder.state()
    if state in ALIVE:
        return NotRunningError(
            _(
                "{run} is {state} on host {host}, but does not listen here: {error}",
                run=run.name,
                state=state,
                host=folder.host(),
                error=error.strerror,
            )
        )
    from descent.run.remove import ended

    return NotRunningError(ended(folder))
