"""The state of a run, from its last events and from whether its worker is alive."""

import itertools
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from descent.common.files import time_at
from descent.common.i18n import N_
from descent.common.machine import is_alive_since
from descent.run.lock import announced_pid, worker_pid
from descent.run.schema import EventReader, read_facts

State = Literal["starting", "running", "paused", "finished", "stopped", "failed", "lost"]
ALIVE = (N_("starting"), N_("running"), N_("paused"))  # `_(state)` translates a state where it is shown
ENDED = (N_("finished"), N_("stopped"), N_("failed"), N_("lost"))
SILENCE = 60.0  # seconds without a sign of life, six times the interval of descent.control.server
STARTING_GRACE = 30.0  # seconds in which a run without a lock still counts as starting


class StateReader:
    """A run's state and host, for callers that ask often.

    The first look reads as much of the log's end as it needs, and each later look only what is new. A rewind changes
    neither state nor host.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._begin()

    def _begin(self) -> None:
        self._log = EventReader(self._run)
        self._earlier: Iterator[dict[str, Any]] | None = None  # states before the first look, the latest first
        self._last: dict[str, Any] = {}
        self._began: dict[str, Any] = {}

    def state(self) -> State:
        """Return the run's state now, as RunFolder.state does."""
        return state_now(self._run, self._look, self._host)

    def host(self) -> str:
        """Return the machine that trained the run last, as RunFolder.host does."""
        self._look()
        return self._host()

    def _look(self) -> dict[str, Any]:
        """Read what is new, and return the last event with a state, empty before the first."""
        if self._log.is_cut():
            self._begin()  # another run of the same name
        if self._earlier is None:
            self._earlier = _states(self._log.read_back(b'"state"'))
        for event in _states(self._log.read()):
            self._last = event
            if event.get("state") == "starting":
                self._began = event
        if not self._last:
            self._last = next(self._earlier, {})
        return self._last

    def _host(self) -> str:
        if not self._began:
            known = itertools.chain([self._last], self._earlier or ())
            self._began = next((event for event in known if event.get("state") == "starting"), {})
        return host_of(self._began, {} if self._began.get("host") else read_facts(self._run))


def host_of(began: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the machine that trained a run last, this machine's name until it is known.

    began: the event of its last start, which a rewind does not void. facts: run.json, which tells of the first start.
    """
    return str(began.get("host") or facts.get("host") or socket.gethostname())


def state_now(run: Path, last: Callable[[], Mapping[str, Any]], host: Callable[[], str]) -> State:
    """Return the last state written, or "lost" if the worker that wrote it is gone. A new one is "starting".

    last: reads the log to its end and returns the event with the state, an empty one before the first.
    """
    for _ in range(2):  # a worker that just ended wrote its state before it released its lock
        announced = announced_pid(run)
        written = last()
        state: State = written.get("state", "starting")
        if state not in ALIVE:
            return state
        if host() != socket.gethostname():
            return "lost" if _is_silent(run) else state
        pid = worker_pid(run)
        if pid is not None:
            return state if pid == announced else "starting"  # the state is an earlier worker's
    if state != "starting":
        return "lost"
    try:
        age = time.time() - float(written["time"]) if written else time_at(run.parent) - run.stat().st_mtime
    except OSError:
        return "lost"  # the folder is gone
    told = written.get("awaited", written.get("pid"))  # who waits for its start, or has begun it
    is_there = isinstance(told, int) and is_alive_since(told, time.time() - age)
    is_killed = "pid" in written  # it had the lock, which is free
    return "starting" if is_there or (age < STARTING_GRACE and not is_killed) else "lost"


def _states(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (event for event in events if event.get("event") == "state")


def _is_silent(run: Path) -> bool:
    """Return whether a worker on another host, whose lock is not visible here, no longer gives signs of life.

    Its sign is the time of a file. The clocks of the two hosts and of the disk's server may differ by minutes.
    """
    try:
        return time_at(run.parent) - (run / "worker.lock").stat().st_mtime > SILENCE
    except OSError:
        return False
