"""The queue of a study: its jobs, each in its own process, and how many at once, with which threads and GPU."""

import hashlib
import json
import math
import os
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from descent import warm
from descent.common import machine, stdio
from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import _, ngettext
from descent.common.signals import Signals
from descent.run.lock import WorkerLock, worker_pid
from descent.run.state import ALIVE
from engine.launch import start
from engine.launch.options import Options
from engine.preset import consent
from engine.study.board import StudyDisplay
from engine.study.folder import Job, Study, note_engine
from engine.study.jobs import Jobs, train
from engine.study.results import Outcome, outcome, outcomes

# The libraries under PyTorch read these variables. Their default is all cores, for each process.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Budget:
    """The queue's share of the machine.

    jobs: processes at once. threads: those of each job whose preset leaves them open. gpus: names as in
    CUDA_VISIBLE_DEVICES, of which each job is given one; empty unless there are several.
    """

    jobs: int
    threads: int
    gpus: tuple[str, ...] = ()

    def gpu_for(self, job: Job, taken: Sequence[str]) -> str | None:
        """Return the GPU with the fewest jobs, for a job that leaves it open. taken: the GPU of each running job."""
        if not self.gpus or job.device not in ("auto", "cuda"):
            return None
        return min(self.gpus, key=taken.count)


def cores() -> int:
    """Return the whole cores that this process, its container or batch job may use, at least one."""
    limit = machine.cgroup_cpus()
    usable = machine.usable_cpus()
    return max(1, usable if limit is None else min(usable, math.floor(limit)))


def gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    They are those of that variable, else all that the driver knows. None if the installed PyTorch can't use any.
    """
    kind = machine.gpus_of_torch()
    if kind is None:
        return ()
    names = ("CUDA_VISIBLE_DEVICES",) if kind == "cuda" else ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    chosen = next((os.environ[name] for name in names if name in os.environ), None)
    if chosen is not None:
        return tuple(word.strip() for word in chosen.split(",") if word.strip() not in ("", "-1"))
    if kind == "hip":
        return tuple(str(number) for number in range(machine.amd_devices()))
    return tuple(machine.nvidia_gpus())


def share(jobs: Sequence[Job], wanted: int | None, available: int, there: Sequence[str]) -> Budget:
    """Return the budget of a queue of `jobs` on `available` cores and the GPUs `there`.

    Raises DescentError if `wanted` (--jobs) is less than 1.
    """
    if wanted is not None and wanted < 1:
        raise DescentError(_("{option} {given}: must be 1 or more", option="--jobs", given=wanted))
    fixed = max((job.threads for job in jobs if job.threads is not None), default=1)
    # One job on each GPU: nobody knows here how many fit into its memory. Jobs that name one share that one.
    on_gpu = bool(there) and any(job.device != "cpu" for job in jobs)
    named = {job.device for job in jobs if job.device not in ("auto", "cuda", "cpu")}
    is_open = any(job.device in ("auto", "cuda") for job in jobs)
    most = wanted or ((len(there) if is_open else len(named)) if on_gpu else available)
    at_once = max(1, min(most, available // fixed, len(jobs)))
    return Budget(at_once, max(1, available // at_once), tuple(there) if on_gpu and len(there) > 1 else ())


def environment(threads: int, gpu: str | None = None) -> dict[str, str]:
    """Return this process's environment with a child's threads, and the only GPU that it sees."""
    seen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**os.environ, **dict.fromkeys(VARIABLES, str(threads)), **seen}


_LOOK = 0.1  # seconds between looks at the processes


def run(study: Study, *, jobs: int | None, as_json: bool, quiet: bool) -> int:
    """Train the unfinished jobs on this machine. Returns the exit code."""
    budget = share(study.jobs, jobs, cores(), gpus())
    return train(study, lambda board: Queue(study, budget, board), as_json=as_json, quiet=quiet)


class Queue(Jobs):
    """The jobs that wait, that train in a process of this queue, or that train in a process of somebody else."""

    def __init__(self, study: Study, budget: Budget, board: StudyDisplay) -> None:
        super().__init__(study, board)
        self._budget, self._agreed = budget, agreed(study)
        self._waiting: deque[Job] = deque()
        self._ours: dict[int, tuple[Job, warm.Process]] = {}
        self._gpus: dict[int, str] = {}  # by the job's index, of those of ours that were given one
        self._theirs: list[Job] = []  # trained by a process of this machine that is no child of ours

    def begin(self) -> None:
        note_engine(self._study, ())
        found = outcomes(self._study)
        self._sort_out(found)
        finished = sum(one.state == "finished" for one in found)
        self._board.say(_headline(self._study, self._budget, finished, len(found)))

    def follow(self, signals: Signals) -> None:
        """Work until every job has ended, or after a signal every process."""
        if len(self._study.jobs) > self._budget.jobs:
            warm.hold().join()  # each job then begins at once
        told = False
        while self._ours or (not signals.wanted() and (self._waiting or self._theirs)):
            if signals.wanted() and not told:
                # Not SIGTERM: a batch system sends it to the children too, and a second one ends them unsaved.
                self._send(signal.SIGUSR1)
                told = True
            self._take_ended(signals)
            while self._waiting and self._has_room() and not signals.wanted():
                self._start(self._waiting.popleft())
            self._board.count(Counter(self._states.values()))
            time.sleep(_LOOK)

    def say_leaving(self) -> None:
        self._board.say_stopping()

    def end_at_once(self) -> None:
        """Kill the jobs at the second signal, without waiting for them to save."""
        self._send(signal.SIGKILL)
        self._board.give_terminal_back()

    def _sort_out(self, found: Sequence[Outcome]) -> None:
        """Sort the jobs: those to do, and those that train already."""
        for one in found:
            job = one.job
            self._states[job.index] = one.state
            if _is_held(self._study, job):
                self._theirs.append(job)
                self._states[job.index] = "running"
            elif one.state in ALIVE and self._study.run(job).host() != socket.gethostname():
                host = self._study.run(job).host()
                self._board.say(
                    _("{run}: {state} on host {host}; this queue skips it", run=job.id, state=_(one.state), host=host)
                )
            elif one.is_over or one.state == "damaged":
                if one.state != "finished":
                    self._board.say_job(one)
            else:
                self._waiting.append(job)
                self._states[job.index] = "waiting"

    def _has_room(self) -> bool:
        return len(self._ours) + len(self._theirs) < self._budget.jobs

    def _start(self, job: Job) -> None:
        folder = self._study.process(job)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        threads = self._budget.threads if job.threads is None else job.threads
        gpu = self._budget.gpu_for(job, list(self._gpus.values()))
        if gpu is not None:
            self._gpus[job.index] = gpu
        words = [str(os.getpid()), str(folder), self._agreed, *self._study.words(job, threads)]
        with open(self._study.log(job), "wb") as log:  # in a session of its own: Ctrl-C is the queue's alone
            process = warm.start("engine.cli.job", *words, stdout=log, stderr=log, env=environment(threads, gpu))
        self._ours[job.index] = (job, process)
        self._states[job.index] = "running"

    def _take_ended(self, signals: Signals) -> None:
        for index, (job, process) in list(self._ours.items()):
            code = process.poll()
            if code is None:
                continue
            del self._ours[index]
            self._gpus.pop(index, None)
            if code and _is_held(self._study, job):
                self._theirs.append(job)  # somebody resumed that run by hand meanwhile
                continue
            self._end(outcome(self._study, job), code, signals)
        for job in list(self._theirs):
            if not _is_held(self._study, job):
                self._theirs.remove(job)
                self._sort_out([outcome(self._study, job)])

    def _end(self, one: Outcome, code: int, signals: Signals) -> None:
        """Note how a process of this queue ended."""
        if one.state not in ("finished", "failed", "stopped"):
            why = how_ended(self._study, one.job, code)
            one = Outcome(one.job, "stopped" if signals.wanted() else "failed", why, step=one.step)
        self._states[one.job.index] = one.state
        if not signals.wanted() or one.state == "finished":
            self._board.say_job(one)

    def _send(self, number: signal.Signals) -> None:
        for _job, process in list(self._ours.values()):
            if process.poll() is None:
                process.send_signal(number)


def agreed(study: Study) -> str:
    """Return the contents of the study's own code that the user has agreed to, in the words of `engine.cli.job`."""
    found = {hashlib.sha256(file.read_bytes()).hexdigest() for file in (study.folder / "code").rglob("*.py")}
    return ",".join(sorted(filter(consent.agreed, found)))


def how_ended(study: Study, job: Job, code: int) -> str:
    """Say how a process ended that left no word. code: as subprocess has it."""
    if code < 0:
        return _("its process was killed by {signal}", signal=signal.Signals(-code).name)
    return _("its process ended with exit code {code}; see {file}", code=code, file=study.log(job))


def _headline(study: Study, budget: Budget, finished: int, total: int) -> str:
    parts = [ngettext("{count} job", "{count:,} jobs", total)]
    if budget.gpus:
        parts.append(_("{jobs} at once on {gpus} GPUs", jobs=budget.jobs, gpus=len(budget.gpus)))
    else:
        parts.append(_("{jobs} at once", jobs=budget.jobs))
    parts.append(ngettext("{count} thread each", "{count} threads each", budget.threads))
    before = "; " + _("{number:,} finished before", number=finished) if finished else ""
    return f"{_('study {name}', name=study.name)}: {', '.join(parts)}{before}"


def _is_held(study: Study, job: Job) -> bool:
    """Return whether a process of this machine has the job: training, starting or saving."""
    return worker_pid(study.process(job)) is not None or worker_pid(study.run(job).path) is not None


# --- one job, for another engine's queue -----------------------------------------------------------------


def run_job(study: Study, index: int, options: Options, *, threads: int | None) -> int:
    """Train or continue one job in the foreground. Returns the exit code of `descent run`.

    options: how it prints; where the run is kept is the study's.
    """
    if not 0 <= index < len(study.jobs):
        last = len(study.jobs) - 1
        raise DescentError(_("{given}: {study} has the jobs 0 to {last}", given=index, study=study.name, last=last))
    job = study.jobs[index]
    given = threads if threads is not None else _threads_of_batch()
    if given < 1:
        raise DescentError(_("{option} {given}: must be 1 or more", option="--threads", given=given))
    count = given if job.threads is None else job.threads
    os.environ.update(environment(count))  # before torch is loaded, which reads them once
    folder = study.process(job)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = WorkerLock(folder)
    study.log(job).unlink(missing_ok=True)
    data_root = Path(study.data_root) if study.data_root is not None else None
    options = replace(options, run_id=job.id, runs_dir=study.runs, data_root=data_root)
    settings = [*job.settings, *([f"train.threads={count}"] if job.threads is None else [])]
    try:
        return start.run(str(study.preset_file), settings, options, resume_if_exists=True)
    except DescentError as error:
        _keep(study, job, error)
        raise
    finally:
        lock.release()


def _threads_of_batch() -> int:
    """Return the threads that the scheduler gives this task, one if it does not say."""
    for variable in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        if os.environ.get(variable, "").isdigit():
            return max(1, int(os.environ[variable]))
    return 1


def _keep(study: Study, job: Job, error: DescentError) -> None:
    """Keep the error in the job's log, as a queue does, for `study show`: there may be no run to keep it."""
    line = json.dumps({"error": stdio.lines(str(error)), "exit_code": int(error.exit_code)})
    write_atomically(study.log(job), (line + "\n").encode())
