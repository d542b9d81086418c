"""The run folder: what each file in it is, and what can be read from it without asking the worker."""

import errno
import fcntl
import itertools
import json
import math
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import DamagedError, DescentError
from engine.files import JsonLines, JsonLinesReader

State = Literal["starting", "running", "paused", "finished", "stopped", "failed", "lost"]
ALIVE = ("starting", "running", "paused")
SILENCE = 60.0  # seconds without a sign of life, six times as long as between two (engine.control.server)
STARTING_GRACE = 30.0  # seconds in which a run without a lock still counts as starting


@dataclass(frozen=True)
class RunFolder:
    """One run's folder, and its only truth."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def preset(self) -> Path:
        return self.path / "preset.toml"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def output(self) -> Path:
        return self.path / "output.log"

    @property
    def checkpoint_folder(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoint_folder / f"step-{step}.pt"

    def checkpoints(self, events: Sequence[dict[str, Any]] | None = None) -> list[int]:
        """Steps of the checkpoints on the way to where the run stands, ascending.

        Those of a future that it went back from are on the disk as well, and do not count.
        events: those that are valid, of who has read them already: a long log is not read again.
        """
        events = self.events() if events is None else events
        written = {event["step"] for event in events if event.get("event") == "checkpoint"}
        origin = self.origin()
        if origin is not None:
            written.add(origin["step"])
        files = (file.stem.removeprefix("step-") for file in self.checkpoint_folder.glob("step-*.pt"))
        return sorted(int(step) for step in files if step.isdigit() and int(step) in written)

    def facts(self) -> dict[str, Any]:
        """run.json; empty for a run that has not got so far."""
        return self._stored("run.json") or {}

    def origin(self) -> dict[str, Any] | None:
        """parent.json of a fork: `run`, `dir` and `step` of its parent, `changed` keys, what was `measured`."""
        return self._stored("parent.json")

    def _stored(self, name: str) -> dict[str, Any] | None:
        """A file of JSON, which is written in one piece; None where there is none. DamagedError where it is none."""
        try:
            stored: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DamagedError(f"{self.id}/{name} is damaged: {error}") from None
        return stored

    def events(self) -> list[dict[str, Any]]:
        """All that happened, less what a later resume or rewind has voided."""
        return [event for _, event in self.events_with_positions()]

    def events_with_positions(self) -> list[tuple[int, dict[str, Any]]]:
        """The same, each with the byte of events.jsonl that its line begins at."""
        return valid_events(self)

    def events_until(self, step: int, log: int | None) -> list[dict[str, Any]]:
        """What would still count if the run went back to step `step`, where its log ended at byte `log`."""
        return [event for at, event in self.events_with_positions() if stays(event, at, to=step, log=log)]

    def state(self) -> State:
        """The last state written, unless the worker that wrote it is gone."""
        return StateReader(self).state()

    def host(self) -> str:
        """The machine that trained the run last; this one's name until it is known."""
        return StateReader(self).host()

    def last(self, event: str, **wanted: Any) -> dict[str, Any] | None:
        """The latest event of a kind."""
        fitting = (e for e in reversed(self.events()) if {**e, **wanted, "event": event} == e)
        return next(fitting, None)


def create(
    runs: Path,
    run_id: str,
    preset_toml: str,
    code: Mapping[str, bytes],
    fill: Callable[[Path], None] | None = None,
) -> RunFolder:
    """A new run folder, readable by its owner alone, with the preset and the user's `code` files by name.

    fill: puts more into it before anybody can see it. DescentError where there is one of that id.
    """
    path = runs / run_id
    unfinished = runs / f".{run_id}.{os.getpid()}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        (unfinished / "checkpoints").mkdir()
        (unfinished / "preset.toml").write_text(preset_toml, encoding="utf-8")
        if code:
            (unfinished / "code").mkdir()
        for name, content in code.items():
            (unfinished / "code" / name).write_bytes(content)
        if fill is not None:
            fill(unfinished)
        unfinished.rename(path)  # a crash before this line leaves no run, one after it a whole one
    except DescentError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if runs.exists() and not runs.is_dir():
            raise DescentError(f"{runs} is not a folder; choose another place with --runs-dir") from None
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise DescentError(
                f"--id {run_id}: there is such a run in {runs}; choose another id, "
                f"or go on with that one: descent resume {run_id} (in a batch job: --resume-if-exists)"
            ) from None
        raise DescentError(
            f"can't make the run folder {path}: {error.strerror}; choose another place with --runs-dir"
        ) from None
    return RunFolder(path)


class StateReader:
    """A run's state and host, for who asks again and again: the first look reads the end of the log, as much of it as
    tells them, and each other look what is new. No rewind voids either.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._begin()

    def _begin(self) -> None:
        self._log = JsonLinesReader(self._run.events_file)
        self._earlier: Iterator[dict[str, Any]] | None = None  # states before the first look, the latest first
        self._last: dict[str, Any] = {}
        self._began: dict[str, Any] = {}

    def state(self) -> State:
        """As RunFolder.state."""
        return state_now(self._run, self._look, self._host)

    def host(self) -> str:
        """As RunFolder.host."""
        self._look()
        return self._host()

    def _look(self) -> dict[str, Any]:
        """Take up what is new. The last event that says a state; empty before the first."""
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
        return host_of(self._began, {} if self._began.get("host") else self._run.facts())


def _states(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (event for event in events if event.get("event") == "state")


def host_of(began: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The machine that trained a run last; this one's name until it is known.

    began: the event of its last start, which a rewind does not void. facts: run.json, which tells of the first start.
    """
    return str(began.get("host") or facts.get("host") or socket.gethostname())


def state_now(run: RunFolder, last: Callable[[], Mapping[str, Any]], host: Callable[[], str]) -> State:
    """The last state written, unless the worker that wrote it is gone.

    last: reads the log to its end, and returns the event that says the state; an empty one before the first.
    """
    for _ in range(2):  # a worker that has just ended wrote so before it let go of its lock
        written = last()
        state: State = written.get("state", "starting")
        if state not in ALIVE:
            return state
        if host() != socket.gethostname():
            return "lost" if _is_silent(run) else state
        if worker_pid(run.path) is not None:
            return state
    try:
        since = float(written["time"] if written else run.path.stat().st_mtime)
    except OSError:
        return "lost"  # the folder is gone
    return "starting" if state == "starting" and time.time() - since < STARTING_GRACE else "lost"


def _is_silent(run: RunFolder) -> bool:
    """Whether a worker of another host, whose lock is not seen here, has stopped to give signs of life."""
    try:
        return time.time() - (run.path / "worker.lock").stat().st_mtime > SILENCE
    except OSError:
        return False


def valid_events(run: RunFolder, until: int | None = None) -> list[tuple[int, dict[str, Any]]]:
    """What happened before byte `until` of the log was written, less what was void by then; each with its byte."""
    events: list[tuple[int, dict[str, Any]]] = []
    for position, event in JsonLinesReader(run.events_file).read_with_positions():
        if until is not None and position >= until:
            break
        if event.get("event") in ("resumed", "rewound"):
            to, log = int(event["to"]), event.get("log")
            events = [(at, e) for at, e in events if stays(e, at, to=to, log=log)]
        events.append((position, event))
    return events


def failed_at_start(state: str, step: int, origin: Mapping[str, Any] | None) -> bool:
    """Whether a run failed before a step of its own was kept; `origin`: of a fork, where it began."""
    return state == "failed" and step <= (origin["step"] if origin is not None else 0)


def stays(event: dict[str, Any], at: int, *, to: int, log: int | None) -> bool:
    """Whether an event still counts after the run went back to step `to`, where its log ended at byte `log`."""
    if event.get("event") == "state":
        return True
    if event.get("event") in ("command", "evaluation") and log is not None:
        return at < log  # two commands of one step may lie before and behind a checkpoint
    return int(event.get("step", 0)) <= to


class Events:
    """The worker's hand on events.jsonl."""

    def __init__(self, run: RunFolder) -> None:
        self._lines = JsonLines(run.events_file)

    def write(self, event: str, **values: Any) -> None:
        """One line. Floats that JSON can't hold (NaN, infinity) become null."""
        entry = {"time": round(time.time(), 3), "event": event, **values}
        self._lines.append({key: _plain(value) for key, value in entry.items()})

    def state(self, state: State, **values: Any) -> None:
        self.write("state", state=state, **values)
        if state not in ("running", "paused"):  # after a power cut these two say the same: lost
            self._lines.sync()

    def size(self) -> int:
        """Bytes written so far."""
        return self._lines.size()

    def sync(self) -> None:
        self._lines.sync()

    def close(self) -> None:
        self._lines.close()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- the lock that tells a live worker from a dead one ---------------------------------------------------

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux


class WorkerLock:
    """Held by the worker as long as it lives; the kernel lets go of it however the worker ends.

    lockf, not flock: a forked child inherits an flock and would keep it after the worker's death. The price: the
    process that holds it must not open and close the file again, for that drops the lock.
    """

    def __init__(self, run: RunFolder) -> None:
        self._file = os.open(run.path / "worker.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise DescentError(
                f"{run.id} is training already, in process {worker_pid(run.path)}; nothing was changed"
            ) from None

    def release(self) -> None:
        os.close(self._file)


def worker_pid(run: Path) -> int | None:
    """The process that holds the run's lock, or None. Never takes the lock. Not for the worker itself."""
    try:
        file = os.open(run / "worker.lock", os.O_RDWR)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(file)
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    return None if kind == fcntl.F_UNLCK else pid


def summary(run: RunFolder, state: State | None = None) -> dict[str, Any]:
    """What a run has come to: results.summary."""
    from engine import results  # which reads run folders, and so imports this

    return results.summary(run, state)
