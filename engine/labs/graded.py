"""The runs that a grade stands on: trained in a process of their own, with no live edits, within a time."""

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ExitCode
from engine.labs import said
from engine.labs.said import CheckError, Said
from engine.metrics import Layout, Metrics
from engine.preset import Preset
from engine.results import METRICS
from engine.run import RunFolder, summary
from engine.texts import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOADING = 60.0  # seconds that PyTorch may take to load, on a slow disk
_MEMORY = 8 << 30  # bytes that a process with the learner's code may have, PyTorch among them
_LARGEST_FILE = 1 << 30  # that it may write
_TOO_LONG = "took too long"
_ON_LEARNERS_SIDE = (ExitCode.CHECK_FAILED, ExitCode.WRONG_USE, ExitCode.NON_FINITE)


@dataclass(frozen=True)
class Job:
    """A run to come. limit: seconds it may take."""

    id: str
    preset: Preset
    limit: float


@dataclass(frozen=True)
class Graded:
    """A graded run that has ended. code: its exit code. error: what it complained of."""

    preset: Preset
    file: Path  # of the preset
    path: Path  # the run's folder; it may be missing
    code: int
    error: str
    _cached: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_usable(self) -> bool:
        """Whether there are rows to look at. A run whose loss was not finite has some, and they count."""
        return self.code in (ExitCode.DONE, ExitCode.NON_FINITE) and self.layout is not None

    @cached_property
    def layout(self) -> Layout | None:
        return Layout.load(self.path)

    @cached_property
    def summary(self) -> dict[str, Any]:
        return summary(RunFolder(self.path))

    @property
    def members(self) -> list[dict[str, Any]]:
        """One dict each, with `metrics` and `state`."""
        alone = {"metrics": self.summary["metrics"], "state": self.summary["state"]}
        members: list[dict[str, Any]] = self.summary.get("members", [alone])
        return members

    def metric(self, name: str) -> "NDArray[np.float64]":
        """(M,) of one of METRICS; nan where a member has no finite one, or has diverged: what it had reached before
        does not count. CheckError where none was measured."""
        import numpy as np

        assert name in METRICS
        diverged = any(member["state"] in ("diverged", "failed") for member in self.members)
        if not diverged and not any(name in member["metrics"] for member in self.members):
            raise CheckError(said.NOT_MEASURED.with_(name=name))
        values = [None if m["state"] == "diverged" else m["metrics"].get(name) for m in self.members]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def column(self, name: str) -> "NDArray[np.float64]":
        """(steps, M); nan where it was not measured."""
        import numpy as np

        layout = self.layout
        if layout is None or name not in layout.columns:
            columns = layout.columns if layout is not None else ()
            kind = name.partition(".")[0]
            there = [column for column in columns if column.partition(".")[0] == kind] or columns
            raise CheckError(said.NO_COLUMN.with_(name=name, there=", ".join(there[:12]) or "—"))
        if "rows" not in self._cached:
            self._cached["rows"] = Metrics(self.path).rows()
        return np.asarray(self._cached["rows"][:, :, layout.columns.index(name)], np.float64)

    def seconds(self) -> float:
        """Of training, the first step left out."""
        times = self.column("time")[:, 0]
        return float(times[-1] - times[0]) if len(times) else float("nan")

    def cpu_seconds(self) -> float:
        """Of all the process's threads, while training, the first step left out."""
        ended = RunFolder(self.path).last("state", state="finished") or {}
        return float(ended.get("cpu_seconds", float("nan")))


def train(jobs: Sequence[Job], place: Path, data_root: Path, tell: Callable[[str], None]) -> dict[str, Graded]:
    """Train each, by id. place: where presets and runs are written. tell: hears of each as it begins.

    A job that takes too long is ended, and the others go on.
    """
    runs = place / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    found: dict[str, Graded] = {}
    left = list(jobs)
    for job in jobs:
        (place / f"{job.id}.toml").write_text(job.preset.to_toml(), encoding="utf-8")
    while left:
        codes = _trained(left, place, data_root, tell)
        for job in left[: len(codes)]:
            code, error = codes[left.index(job)]
            found[job.id] = Graded(job.preset, place / f"{job.id}.toml", runs / job.id, code, error)
        left = left[len(codes) :]
    return found


def _trained(jobs: Sequence[Job], place: Path, data_root: Path, tell: Callable[[str], None]) -> list[tuple[int, str]]:
    """Exit code and complaint of the first jobs: of all, or up to the one that ended the process."""
    words = [f"{job.id}={place / f'{job.id}.toml'}" for job in jobs]
    command = [sys.executable, "-P", "-m", "engine.labs.runner", str(place / "runs"), str(data_root), *words]
    # A state folder of its own: a graded run is none of the user's runs, and its code was agreed to elsewhere.
    environment = {**os.environ, "XDG_STATE_HOME": str(place / "state")}
    with open(place / "output.log", "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=environment,
            cwd=place,
        )
    if any(_has_code(job.preset) for job in jobs):
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    done: list[tuple[int, str]] = []
    try:
        lines = _Lines(process)
        for job in jobs:
            tell(job.id)
            line = lines.next(job.limit + (_LOADING if not done else 0.0))
            if line is None:
                done.append((ExitCode.CANNOT_GO_ON, _why(process, place) if lines.ended else _TOO_LONG))
                break
            done.append((int(line["exit_code"]), str(line["error"]).replace(str(place), "…")))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    return done


def _has_code(preset: Preset) -> bool:
    sections = (getattr(preset.settings, name) for name in type(preset.settings).model_fields)
    return any(getattr(section, "code", None) is not None for section in sections)


def _why(process: "subprocess.Popen[bytes]", place: Path) -> str:
    process.wait()  # its stdout is closed, so at once
    last = (place / "output.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return "; ".join([f"exit code {process.returncode}", *map(clean, last)])


class _Lines:
    """JSON objects from a process's stdout, each within a time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._stream, self._buffer = process.stdout, b""
        self.ended = False  # nothing more will come
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stream, selectors.EVENT_READ)

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next of {"run", "exit_code", "error"}; None where it does not come, or the process has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                with suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict) and {"run", "exit_code", "error"} <= found.keys():
                        return found
            elif self._selector.select(max(0.0, until - time.monotonic())):
                piece = os.read(self._stream.fileno(), 1 << 16)
                if not piece:
                    self.ended = True
                    return None
                self._buffer += piece
        return None


def complaint(run: Graded, limit: float) -> CheckError:
    """Why a graded run can't be looked at."""
    if run.error == _TOO_LONG:
        return CheckError(said.RUN_TOO_LONG.with_(seconds=limit))
    if run.code == ExitCode.DATA_MISSING:
        return CheckError(Said(run.error, run.error))  # where it looked, and what fetches them
    sentence = said.RUN_FAILED if run.code in _ON_LEARNERS_SIDE else said.RUN_DIED
    return CheckError(sentence.with_(error=run.error or f"exit code {run.code}"))
