"""The graded runs, and the other things that checks look at.

A separate process trains the runs, within a time limit and without live edits. Data and the learner's functions are
loaded when a check first needs them.
"""

import hashlib
import json
import math
import os
import selectors
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent import warm
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import _
from descent.common.text import clean
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.metrics import Metrics
from descent.run.result_metrics import MetricName
from descent.run.results import MemberResult, RunResult, result_of
from engine.labs import messages
from engine.labs.library import Lab
from engine.labs.messages import CheckError
from engine.labs.sandbox import enclosure
from engine.labs.sandbox.client import Learner, Limits
from engine.labs.sandbox.enclosure import Enclosure, Level
from engine.labs.submission import Part
from engine.preset.loading import Preset
from engine.preset.overrides import FILES, toml
from engine.preset.schema import LOCKSTEP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_LOADING = 60.0  # seconds that PyTorch may take to load from a slow disk
_MEMORY = 8 << 30  # bytes for a process with the learner's code, PyTorch included
_LARGEST_FILE = 1 << 28  # bytes of a file that this process writes
TRANSFERRED = ("loaded", "adapted", "skipped", "fresh", "frozen")  # layers, in run.json
_LONGEST_LINE = 1 << 20  # bytes
_EXIT_CODES = tuple(map(int, ExitCode))
_TOO_LONG = "timeout"
_ON_LEARNERS_SIDE = (ExitCode.CHECK_FAILED, ExitCode.WRONG_USE, ExitCode.NON_FINITE)


@dataclass(frozen=True)
class Job:
    """A run to train. limit: seconds it may take."""

    id: str
    preset: Preset
    limit: float


@dataclass(frozen=True)
class Graded:
    """A graded run that has ended. code: its exit code. error: its message, or "timeout" if it took too long."""

    preset: Preset
    file: Path  # of the preset
    path: Path  # the run's folder; it may be missing
    code: int
    error: str
    _cached: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_usable(self) -> bool:
        """Return whether checks can look at its rows. Those of a run whose loss was not finite count too."""
        return self.code in (ExitCode.DONE, ExitCode.NON_FINITE) and self.layout is not None

    @cached_property
    def layout(self) -> Layout | None:
        return Layout.load(self.path)

    @cached_property
    def result(self) -> RunResult:
        return result_of(RunFolder(self.path))

    @property
    def members(self) -> Sequence[MemberResult]:
        return self.result.members

    def metric(self, name: MetricName) -> "NDArray[np.float64]":
        """Return a metric for each member, (M,).

        It is nan for a member without a finite one, and for one that has diverged: its earlier values do not count.
        Raises CheckError if none was measured.
        """
        import numpy as np

        diverged = any(member.state in ("diverged", "failed") for member in self.members)
        if not diverged and not any(name in member.metrics for member in self.members):
            raise CheckError(_("the graded run has no {name}", name=name))
        values = [None if m.state == "diverged" else m.metrics.get(name) for m in self.members]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def of_ensemble(self, name: MetricName) -> float:
        """Return a metric of the members' mean prediction on the test split. Raises CheckError if there is none."""
        together = self.result.ensemble
        found = None if together is None else together.metrics.get(name)
        if found is None:
            raise CheckError(_("the graded run has no ensemble: it takes several members and a test split"))
        return float(found)

    def column(self, name: str) -> "NDArray[np.float64]":
        """Return a column of the rows, (steps, M). It is nan at steps without a measurement."""
        import numpy as np

        layout = self.layout
        if layout is None or name not in layout.columns:
            columns = layout.columns if layout is not None else ()
            kind = name.partition(".")[0]
            there = [column for column in columns if column.partition(".")[0] == kind] or columns
            raise CheckError(
                _(
                    "the graded run has no column {name}; there are {there}",
                    name=name,
                    there=", ".join(there[:12]) or "—",
                )
            )
        if "rows" not in self._cached:
            self._cached["rows"] = Metrics(self.path).rows()
        return np.asarray(self._cached["rows"][:, :, layout.columns.index(name)], np.float64)

    def transferred(self, of: str) -> list[str]:
        """Return the layers that `model.from` has "loaded" or "adapted", "skipped", left "fresh", or are "frozen".

        Raises CheckError for another word.
        """
        found = (self.path / "run.json").read_text(encoding="utf-8")
        given = json.loads(found).get("transfer", {})
        if of not in TRANSFERRED:
            raise CheckError(_("transferred: {word} must be one of {words}", word=of, words=", ".join(TRANSFERRED)))
        return [str(layer) for layer in given.get(of, ())]

    def seconds(self) -> float:
        """Return the seconds of training, without the first step."""
        times = self.column("time")[:, 0]
        return float(times[-1] - times[0]) if len(times) else float("nan")

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all threads of the process while training, without the first step."""
        ended = RunFolder(self.path).last("state", state="finished") or {}
        return float(ended.get("cpu_seconds", float("nan")))


def train(
    jobs: Sequence[Job],
    place: Path,
    data_root: Path,
    tell: Callable[[str], None],
    agreed: str = "",
    level: Level | None = None,
) -> dict[str, Graded]:
    """Train the jobs, and return the graded runs by the jobs' ids. A job that takes too long is ended.

    place: the folder for presets and runs. tell: called with each job's id when it begins. agreed: the SHA-256 of
    the one file of code that the jobs may run, empty if they may run none. level: the protection that it must run
    under, if not the strongest that begins at once.
    """
    runs = place / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    found: dict[str, Graded] = {}
    left = list(jobs)
    for job in jobs:
        (place / f"{job.id}.toml").write_text(job.preset.to_toml(), encoding="utf-8")
    while left:
        codes = _trained(left, place, data_root, tell, agreed, level)
        for job in left[: len(codes)]:
            code, error = codes[left.index(job)]
            found[job.id] = Graded(job.preset, place / f"{job.id}.toml", runs / job.id, code, error)
        left = left[len(codes) :]
    return found


def _trained(
    jobs: Sequence[Job], place: Path, data_root: Path, tell: Callable[[str], None], agreed: str, level: Level | None
) -> list[tuple[int, str]]:
    """Train in one process. Return exit code and message of each job, up to the one that ended the process."""
    words = [f"{job.id}={place / f'{job.id}.toml'}" for job in jobs]
    # It has a state folder of its own: graded runs are not listed, and it knows of no agreement but `agreed`.
    state = {"XDG_STATE_HOME": str(place / "state")}
    if any(job.preset.code for job in jobs):
        start = partial(enclosure.start, _enclosure(jobs, place, data_root, level), env=state)
    else:
        start = partial(warm.start, env={**os.environ, **state})
    with open(place / "output.log", "ab") as log:
        process = start(
            *("engine.launch.batch", str(place / "runs"), str(data_root), agreed, *words),
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=place,
        )
    done: list[tuple[int, str]] = []
    try:
        lines = _Lines(process)
        for job in jobs:
            tell(job.id)
            line = lines.next(job.id, job.limit + (_LOADING if not done else 0.0))
            if line is None:
                done.append((ExitCode.CANNOT_GO_ON, _why(process, place) if lines.ended else _TOO_LONG))
                break
            done.append((line["exit_code"], str(line.get("error", "")).replace(str(place), "…")))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    return done


def _enclosure(jobs: Sequence[Job], place: Path, data_root: Path, level: Level | None) -> Enclosure:
    """Return what a process that trains with the learner's code may do: read the data, write runs."""
    settings = [job.preset.flat() for job in jobs]
    files = [found[key] for found in settings for key in map(".".join, FILES) if key in found]
    writable = [place / "runs", place / "state"]
    for folder in writable:
        folder.mkdir(mode=0o700, exist_ok=True)
    return Enclosure(
        str(place / "home"),
        readable=(str(place), str(data_root), *map(str, files)),
        writable=tuple(map(str, writable)),
        level=level,
        file=_LARGEST_FILE,
        memory=_MEMORY,
        gpu=True,
    )


def _why(process: warm.Process, place: Path) -> str:
    process.wait()  # its stdout is closed, so at once
    last = (place / "output.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return "; ".join([_("exit code {code}", code=process.returncode), *map(clean, last)])


class _Lines:
    """JSON objects from a process's stdout, each with a time limit. The learner's code may print there too."""

    def __init__(self, process: warm.Process) -> None:
        assert process.stdout is not None
        self._stream, self._buffer = process.stdout, b""
        self.ended = False  # nothing more will come
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stream, selectors.EVENT_READ)

    def next(self, run: str, seconds: float) -> dict[str, Any] | None:
        """Return the {"run", "exit_code", "error"} of a run, or None if it comes too late or the process ends."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                with suppress(ValueError):
                    found = json.loads(line)
                    if isinstance(found, dict) and found.get("run") == run and found.get("exit_code") in _EXIT_CODES:
                        return found
            elif self._selector.select(max(0.0, until - time.monotonic())):
                piece = os.read(self._stream.fileno(), 1 << 16)
                if not piece:
                    self.ended = True
                    return None
                self._buffer = (self._buffer + piece)[-_LONGEST_LINE:]
        return None


def complaint(run: Graded, limit: float) -> CheckError:
    """Return why checks can't look at a graded run."""
    if run.error == _TOO_LONG:
        return CheckError(_("the graded run took longer than {seconds:g} s and was ended", seconds=limit))
    if run.code == ExitCode.DATA_MISSING:
        return CheckError(run.error)  # it says where the data were expected, and how to fetch them
    error = run.error or _("exit code {code}", code=run.code)
    if run.code in _ON_LEARNERS_SIDE:
        failed = CheckError(_("the graded run failed: {error}", error=error))
        failed.raised = {"message": error}
        return failed
    return CheckError(_("the graded run ended unexpectedly: {error}", error=error))


TIMED = 3  # runs of which the median is taken


@dataclass
class CheckContext:
    """Everything that the checks of one grading look at.

    presets: to grade, by part. place: a private folder. code: a copy of the learner's file there. tell: called with
    the id of each graded run when it begins. level: the protection that the learner's code must run under, if not the
    strongest that begins at once.
    """

    lab: Lab
    presets: Mapping[Part, Preset]
    place: Path
    data_root: Path
    predictions: Mapping[str, Any]
    code: Path | None
    tell: Callable[[str], None]
    limits: Limits
    level: Level | None = None
    _runs: dict[str, Graded] = field(default_factory=dict)
    _splits: dict[tuple[Part, str, bool], Any] = field(default_factory=dict)

    # --- runs ---

    def train(self, parts: Sequence[Part], timed: Sequence[Part]) -> None:
        """Train the runs of these parts. Timed runs come last, and nothing else runs beside them."""
        self._train([Job(_id(part), self.presets[part], self._limit(part)) for part in parts])
        jobs = [
            Job(f"{_id(part)}-timed-{turn}", self.presets[part].changed(["members.repeats=1"]), self._limit(part))
            for part in timed
            for turn in range(TIMED)
        ]
        self._train(jobs)

    def _train(self, jobs: Sequence[Job]) -> None:
        """Train the jobs, and before each the part whose weights it starts from: `model.from` names that part."""
        ordered: dict[str, Job] = {}
        for job in jobs:
            self._add(job, ordered, (job.id,))
        if ordered:
            self._runs |= train([*ordered.values()], self.place, self.data_root, self.tell, self._agreed, self.level)

    def _add(self, job: Job, ordered: dict[str, Job], pending: tuple[str, ...]) -> None:
        source = next((part for part in self.presets if _id(part) == job.preset.model.from_run), None)
        begun = {*self._runs, *ordered, *pending}
        if _id(source) == job.preset.model.from_run and _id(source) not in begun:
            first = Job(_id(source), self.presets[source], self._limit(source))
            self._add(first, ordered, (*pending, first.id))
        ordered.setdefault(job.id, job)

    @cached_property
    def _agreed(self) -> str:
        """The SHA-256 of the learner's file, which was agreed to when it was copied. Empty without one."""
        return hashlib.sha256(self.code.read_bytes()).hexdigest() if self.code is not None else ""

    def _limit(self, part: Part) -> float:
        grade = self.lab.model.grade if part is None else self.lab.model.parts[part].grade
        return grade.limit if grade is not None else 60.0

    def run(self, part: Part, name: str, *, timed: bool = False) -> Graded:
        """Return the graded run of a part. Raises CheckError, which mentions `name`, if it can't be looked at."""
        key = f"{_id(part)}-timed-0" if timed else _id(part)
        if key not in self._runs:
            raise CheckError(_("nothing is trained for this check: {name} is not there", name=name))
        found = self._runs[key]
        if not found.is_usable:
            raise complaint(found, self._limit(part))
        return found

    def has_diverged(self, part: Part) -> bool:
        """Return whether the graded run of a part has ended with a loss that is not finite."""
        return _id(part) in self._runs and self._runs[_id(part)].code == ExitCode.NON_FINITE

    def missing_data(self) -> str | None:
        """Return the message of a graded run whose data are missing, or None."""
        return next((run.error for run in self._runs.values() if run.code == ExitCode.DATA_MISSING), None)

    def time(self, part: Part, measure: Callable[[Graded], float], *, timed: bool) -> float:
        """Return a time of the graded run, or the median over the runs that were trained to be timed."""
        self.run(part, "seconds", timed=timed)
        if not timed:
            return measure(self._runs[_id(part)])
        runs = [self._runs[f"{_id(part)}-timed-{turn}"] for turn in range(TIMED)]
        return statistics.median(measure(run) for run in runs if run.is_usable)

    def last_losses(self, part: Part, key: str, values: Sequence[Any]) -> list[float]:
        """Train with each of some values of a key. Return the last training losses; a diverged one is infinite."""
        alone = self.presets[part].changed(["members.repeats=1", 'train.on_nan="continue"'])
        begun = len(self._runs)
        validates = alone.data.validation > 0  # a sweep needs it
        if key in LOCKSTEP and validates and len(values) > 1:
            swept = alone.changed([f'members.sweep."{key}"=[{", ".join(toml(value) for value in values)}]'])
            jobs = [Job(f"{_id(part)}-quick-{begun}", swept, self._limit(part))]
        else:
            quick = [alone.changed([f"{key}={toml(value)}"]) for value in values]
            jobs = [Job(f"{_id(part)}-quick-{begun + i}", one, self._limit(part)) for i, one in enumerate(quick)]
        self._train(jobs)
        losses: list[float] = []
        for job in jobs:
            found = self._runs[job.id]
            if not found.is_usable:
                raise complaint(found, job.limit)
            for member in found.members:
                loss = member.metrics.get("train_loss")
                losses.append(math.inf if loss is None or member.state in ("diverged", "failed") else loss)
        return losses

    def mean_metrics(self, part: Part, key: str, values: Sequence[Any], metric: MetricName) -> list[float]:
        """Train the graded preset with each of some values of a key. Return a metric of each, the mean over members.

        What was trained before in this grading is not trained again.
        """
        jobs = []
        for value in values:
            word = hashlib.sha256(f"{key}={toml(value)}".encode()).hexdigest()[:12]
            preset = self.presets[part].changed([f"{key}={toml(value)}"])
            jobs.append(Job(f"{_id(part)}-with-{word}", preset, self._limit(part)))
        self._train([job for job in jobs if job.id not in self._runs])
        for job in jobs:
            if not self._runs[job.id].is_usable:
                raise complaint(self._runs[job.id], job.limit)
        return [float(self._runs[job.id].metric(metric).mean()) for job in jobs]

    # --- data ---

    def split(self, part: Part, split: str, of: str, *, raw: bool) -> Any:
        """Return `inputs` or `targets` of a split, as an array. Raises CheckError if there is no such split."""
        key = (part, split, raw)
        if key not in self._splits:  # a split of MNIST takes half a second on its way here, and checks ask often
            self._splits[key] = self._data.data(**self._source(part), split=split, raw=raw)
        found = self._splits[key]
        if found is None:
            raise CheckError(_("the data have no {split} split", split=split))
        return found[of]

    def context(self, part: Part) -> dict[str, Any]:
        """Return what models are made from: see engine.labs.sandbox.objects.Bench."""
        run = self._runs.get(_id(part))
        folder = str(run.path) if run is not None and run.is_usable else None
        return {"preset": str(self._file(part)), "run": folder, "data": self._data.facts(**self._source(part))}

    def _source(self, part: Part) -> dict[str, str]:
        return {"preset": str(self._file(part)), "root": str(self.data_root)}

    def _file(self, part: Part) -> Path:
        path = self.place / f"{_id(part)}.toml"
        if not path.is_file():
            path.write_text(self.presets[part].to_toml(), encoding="utf-8")
        return path

    @cached_property
    def _data(self) -> Learner:
        return Learner(None, self.lab.id, self.place, self.limits)

    # --- the learner's code ---

    @cached_property
    def learner(self) -> Learner:
        """The process of the learner's code. Raises CheckError if the lab has none, or the learner has removed it."""
        if self.code is None:
            known = self.lab.start_file is not None
            if not known:
                raise CheckError(_(messages.NO_CODE))
            raise CheckError(
                _(
                    "there is no file {id}.py: descent lab start {id} --again writes all anew, "
                    "and keeps yours as {id}.1.toml",
                    id=self.lab.id,
                )
            )
        return Learner(
            self.code,
            f"{self.lab.id}.py",
            self.scratch,
            self.limits,
            agreed=self._agreed,
            readable=[self.place],
            level=self.level,
        )

    @cached_property
    def source(self) -> str:
        """The text of the learner's file."""
        if self.code is None:
            raise CheckError(_(messages.NO_CODE))
        return self.code.read_text(encoding="utf-8", errors="replace")

    @cached_property
    def scratch(self) -> Path:
        """A folder where the learner's code may write files."""
        return Path(tempfile.mkdtemp(prefix="scratch-", dir=self.place))

    def prepare(self, *, code: bool, data: bool) -> None:
        """Start the processes that will be needed; they load PyTorch while the runs train."""
        with suppress(DescentError):
            if code:
                self.learner.start()
            if data:
                self._data.start()

    def printed(self) -> str:
        """Return what the learner's code has printed, cut if it is long."""
        return self.learner.output.text() if "learner" in self.__dict__ else ""

    def close(self) -> None:
        """End the processes."""
        for name in ("learner", "_data"):
            if name in self.__dict__:
                self.__dict__[name].end()


def _id(part: Part) -> str:
    return part or "main"
