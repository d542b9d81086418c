"""The queue of a study: its jobs in processes of their own, and how many at once, with which threads and GPU."""

import json
import math
import os
import signal
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from descent import child
from descent.common import machine, stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.files import write_atomically
from descent.common.signals import Signals
from descent.run.folder import RunFolder
from descent.run.lock import WorkerLock, worker_pid
from descent.run.state import ALIVE
from engine.launch import start
from engine.launch.options import Options
from engine.study.board import StudyDisplay
from engine.study.folder import Job, Study
from engine.study.results import Outcome, outcome, outcomes

# What the libraries under PyTorch read. Their own default is all cores, for each process.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Budget:
    """jobs: processes at once. threads: of each, where its preset leaves them open. gpus: what each may be given, as
    CUDA_VISIBLE_DEVICES names them; empty where there are not several."""

    jobs: int
    threads: int
    gpus: tuple[str, ...] = ()

    def gpu_for(self, job: Job, taken: Sequence[str]) -> str | None:
        """The one with the fewest jobs, for a job that leaves it open. taken: by each job that trains."""
        if not self.gpus or job.device not in ("auto", "cuda"):
            return None
        return min(self.gpus, key=taken.count)


def cores() -> int:
    """Whole cores that this process, its container or batch job may use; at least one."""
    limit = machine.cgroup_cpus()
    usable = machine.usable_cpus()
    return max(1, usable if limit is None else min(usable, math.floor(limit)))


def gpus() -> tuple[str, ...]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all that the kernel knows."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(word.strip() for word in chosen.split(",") if word.strip() not in ("", "-1"))
    return tuple(str(number) for number in range(machine.nvidia_devices()))


def share(jobs: Sequence[Job], wanted: int | None, available: int, there: Sequence[str]) -> Budget:
    """The budget of a queue of `jobs` on so many cores, and the GPUs that are `there`. DescentError where `wanted`
    (--jobs) is none."""
    if wanted is not None and wanted < 1:
        raise DescentError(f"--jobs {wanted}: must be 1 or more")
    fixed = max((job.threads for job in jobs if job.threads is not None), default=1)
    # One on each GPU: how many jobs its memory holds is not known here.
    on_gpu = bool(there) and any(job.device != "cpu" for job in jobs)
    most = wanted or (len(there) if on_gpu else available)
    at_once = max(1, min(most, available // fixed, len(jobs)))
    return Budget(at_once, max(1, available // at_once), tuple(there) if on_gpu and len(there) > 1 else ())


def environment(threads: int, gpu: str | None = None) -> dict[str, str]:
    """This process's environment, with the threads of a child's libraries, and the GPU that it is to see."""
    seen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**os.environ, **dict.fromkeys(VARIABLES, str(threads)), **seen}


_LOOK = 0.1  # seconds between looks at the processes


def run(study: Study, *, jobs: int | None, as_json: bool, quiet: bool) -> int:
    """Train what is not finished; the exit code: 1 where a job failed, 128 + the signal's number after one."""
    start.refuse_several_processes()
    budget = share(study.jobs, jobs, cores(), gpus())
    with Signals() as signals:
        lock = WorkerLock(RunFolder(study.folder))  # two queues would start every job twice
        board = StudyDisplay(study.name, None if quiet else (2 if as_json else 1), len(study.jobs))
        queue = Queue(study, budget, board)
        signals.on_first = board.say_stopping
        signals.on_second = queue.end_at_once
        board.start()
        try:
            queue.work(signals)
        finally:
            board.finish()
            lock.release()
    if signals.received is not None and queue.left:
        return 128 + signals.received
    return ExitCode.CHECK_FAILED if queue.failed else ExitCode.DONE


class Queue:
    """Jobs on their way: waiting, in a process of ours, or in one of somebody else's."""

    def __init__(self, study: Study, budget: Budget, board: StudyDisplay) -> None:
        self._study = study
        self._budget = budget
        self._board = board
        self._states: dict[int, str] = {}  # by the job's index, as this queue knows them
        self._waiting: deque[Job] = deque()
        self._ours: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}
        self._gpus: dict[int, str] = {}  # by the job's index, of those of ours that were given one
        self._theirs: list[Job] = []  # trained by a process of this machine that is no child of ours

    @property
    def failed(self) -> int:
        return sum(state in ("failed", "lost", "damaged") for state in self._states.values())

    @property
    def left(self) -> int:
        """Jobs that are not finished and did not fail."""
        return sum(state not in ("finished", "failed", "damaged") for state in self._states.values())

    def work(self, signals: Signals) -> None:
        """Until every job has ended, or after a signal, every process."""
        found = outcomes(self._study)
        self._sort_out(found)
        finished = sum(one.state == "finished" for one in found)
        self._board.say(_headline(self._study, self._budget, finished, len(found)))
        told = False
        while self._ours or (not signals.wanted() and (self._waiting or self._theirs)):
            if signals.wanted() and not told:
                # Not SIGTERM: a batch system's goes to the children too, and a second one would end them unsaved.
                self._send(signal.SIGUSR1)
                told = True
            self._take_ended(signals)
            while self._waiting and self._has_room() and not signals.wanted():
                self._start(self._waiting.popleft())
            self._board.count(Counter(self._states.values()))
            time.sleep(_LOOK)

    def end_at_once(self) -> None:
        """For the second signal: what is not saved is not waited for."""
        self._send(signal.SIGKILL)
        self._board.give_terminal_back()

    def _sort_out(self, found: Sequence[Outcome]) -> None:
        """What is left to do, and what is being done already."""
        for one in found:
            job = one.job
            self._states[job.index] = one.state
            if _is_held(self._study, job):
                self._theirs.append(job)
                self._states[job.index] = "running"
            elif one.state in ALIVE and self._study.run(job).host() != socket.gethostname():
                self._board.say(f"{job.id} is {one.state} on host {self._study.run(job).host()}, and left to it")
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
        # -P: a random.py in the current folder is not the one that the child means.
        command = child.command("engine.cli.job", str(os.getpid()), str(folder))
        with open(self._study.log(job), "wb") as log:
            process = subprocess.Popen(
                [*command, *self._study.words(job, threads)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(threads, gpu),
                start_new_session=True,  # Ctrl-C is the queue's, which passes it on once
            )
        self._ours[job.index] = (job, process)
        self._states[job.index] = "running"

    def _take_ended(self, signals: Signals) -> None:
        for index, (job, process) in list(self._ours.items()):
            if process.poll() is None:
                continue
            del self._ours[index]
            self._gpus.pop(index, None)
            if process.returncode and _is_held(self._study, job):
                self._theirs.append(job)  # somebody resumed that run by hand while we started it
                continue
            self._end(outcome(self._study, job), process.returncode, signals)
        for job in list(self._theirs):
            if not _is_held(self._study, job):
                self._theirs.remove(job)
                self._sort_out([outcome(self._study, job)])

    def _end(self, one: Outcome, code: int, signals: Signals) -> None:
        """Note how a child of ours ended."""
        if one.state not in ("finished", "failed", "stopped"):
            if code < 0 and not signals.wanted():
                why = f"its process was killed by {signal.Signals(-code).name}"
            else:
                why = f"its process ended with exit code {code}; {self._study.log(one.job)} says more"
            one = Outcome(one.job, "stopped" if signals.wanted() else "failed", why, step=one.step)
        self._states[one.job.index] = one.state
        if not signals.wanted() or one.state == "finished":
            self._board.say_job(one)

    def _send(self, number: signal.Signals) -> None:
        for _, process in list(self._ours.values()):
            if process.poll() is None:
                process.send_signal(number)


def _headline(study: Study, budget: Budget, finished: int, total: int) -> str:
    threads = f"{budget.threads} thread{'s' if budget.threads > 1 else ''} each"
    before = f"; {finished:,} finished before" if finished else ""
    spread = f" on {len(budget.gpus)} GPUs" if budget.gpus else ""
    return f"study {study.name}: {total:,} jobs, {budget.jobs} at once{spread}, {threads}{before}"


def _is_held(study: Study, job: Job) -> bool:
    """Whether a process of this machine has the job, training, starting or saving."""
    return worker_pid(study.process(job)) is not None or worker_pid(study.run(job).path) is not None


# --- one job, for another engine's queue -----------------------------------------------------------------


def run_job(study: Study, index: int, options: Options, *, threads: int | None) -> int:
    """Train one job here in the foreground, or go on with it; the exit code is that of `descent run`.

    options: how it prints; where the run is kept is the study's.
    """
    if not 0 <= index < len(study.jobs):
        raise DescentError(f"{index}: {study.name} has the jobs 0 to {len(study.jobs) - 1}")
    job = study.jobs[index]
    given = threads if threads is not None else _threads_of_batch()
    if given < 1:
        raise DescentError(f"--threads {given}: must be 1 or more")
    count = given if job.threads is None else job.threads
    os.environ.update(environment(count))  # before torch is loaded, which reads them once
    folder = study.process(job)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = WorkerLock(RunFolder(folder))
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
    """What the scheduler gives this task; one where it does not say."""
    for variable in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        if os.environ.get(variable, "").isdigit():
            return max(1, int(os.environ[variable]))
    return 1


def _keep(study: Study, job: Job, error: DescentError) -> None:
    """Where a queue's child would have left it, for `study show`: there may be no run that could."""
    line = json.dumps({"error": stdio.lines(str(error)), "exit_code": int(error.exit_code)})
    write_atomically(study.log(job), (line + "\n").encode())
