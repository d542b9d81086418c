"""A study as tasks of a Ray cluster. Each holds the process of one job, which is put back when it is lost."""

import logging
import os
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.text import clean, shorten
from engine.study.elsewhere import Engine, Task, jobs_words
from engine.study.folder import Job, Study
from engine.study.queue import VARIABLES, agreed, cores, how_ended
from engine.study.results import Outcome

_AGAIN = 5  # times that a lost job is put back: as often as SLURM does (MaxBatchRequeue)
_SAVED = 138  # the exit code of a job that was warned: 128 + SIGUSR1
_STORE = 100 << 20  # bytes for the objects of a local Ray: those of a study are a few words
_LONGEST = 400  # characters of what Ray says
_PATIENCE = 10.0  # seconds for an answer of the cluster
_LOCAL = "local"
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
# Ray and what it starts read these. What Ray prints would stand among the lines of the board. When a local Ray ends,
# its jobs save. Nobody has agreed to reports of its use.
_ENVIRONMENT = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_kill_child_processes_on_worker_exit": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass
class _Handed:
    """A job that Ray has. stream: what its task tells. host: where it trains, empty while it waits."""

    job: Job
    stream: Any
    wanted: dict[str, float]  # of each kind of resource
    host: str = ""


class Ray(Engine):
    """Tasks of this process, with which they end."""

    outlives = False
    longest = 1.0

    def __init__(self, *, at_once: int | None, gpus: float | None, address: str | None) -> None:
        """gpus: of each job, None for one if there are any. address: of a cluster, None for a Ray of this machine.

        Raises DescentError if Ray is not installed.
        """
        if at_once is not None and at_once < 1:
            raise DescentError(_("{option} {given}: must be 1 or more", option="--jobs", given=at_once))
        if gpus is not None and not (0 <= gpus <= 1 or (gpus > 1 and gpus.is_integer())):
            raise DescentError(
                _(
                    "{option} {given}: must be a part of one GPU, such as 0.25, or a whole number",
                    option="--gpus",
                    given=gpus,
                )
            )
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        if self._address.startswith("ray://"):
            raise DescentError(
                _(
                    "--address {given}: Ray Client (ray://) can't follow the jobs; start this on a machine of the "
                    "cluster, with --address auto",
                    given=clean(self._address),
                )
            )
        self._ray = _imported()
        self._at_once, self._gpus, self._again = at_once, gpus, _AGAIN
        self.words = ["--on", "ray", *jobs_words(at_once)]
        self.words += [] if address is None else ["--address", address]
        self.words += [] if gpus is None else ["--gpus", f"{gpus:g}"]
        self._agreed = ""  # code of the user's own that may run
        self._waiting: deque[Job] = deque()  # for a place among those at once
        self._handed: dict[int, _Handed] = {}  # by the job's index
        self._lost: Counter[int] = Counter()  # how often each job was
        self._why: dict[int, str] = {}  # what is known of jobs that failed here

    def tasks(self, study: Study) -> dict[int, Task]:
        try:
            return self._tasks(study)
        except self._ray.exceptions.RayError as error:
            raise DescentError(
                _("--on ray, {address}: {error}", address=clean(self._address), error=_words(error))
            ) from None

    def _tasks(self, study: Study) -> dict[int, Task]:
        for one in self._ready():
            self._take(study, one)
        self._hand_over(study)
        found = {job.index: Task("", is_pending=True, reason=f"--jobs {self._at_once}") for job in self._waiting}
        nodes = None
        for index, one in self._handed.items():
            if not one.host and nodes is None:
                nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            found[index] = Task("", not one.host, "" if one.host else _reason(one.wanted, nodes or ()))
        return found

    def submit(self, study: Study, jobs: Sequence[Job]) -> str:
        self._connect(jobs)
        self._refuse_hidden(jobs)
        self._agreed = agreed(study)
        (study.folder / "jobs").mkdir(mode=0o700, exist_ok=True)
        self._waiting.extend(jobs)
        self._hand_over(study)
        nodes, there = sum(node["Alive"] for node in self._ray.nodes()), self._ray.cluster_resources()
        parts = [clean(self._address), ngettext("{count} node", "{count:,} nodes", nodes)]
        parts.append(_resources({kind: there.get(kind, 0.0) for kind in ("CPU", "GPU")}))
        what = ", ".join(parts)
        return ngettext("{count} queued on Ray ({what})", "{count:,} queued on Ray ({what})", len(jobs), what=what)

    def stop(self) -> None:
        self._waiting.clear()
        self._again = 0
        for one in self._handed.values():
            self._ray.cancel(one.stream)

    def close(self) -> None:
        self._ray.shutdown()

    def leaving(self) -> str:
        return _("stopping: each job finishes its step and saves; Ctrl-C again does not wait for them")

    def why_gone(self, study: Study, one: Outcome) -> str | None:
        if one.job.index in self._why or one.state == "stopped":
            return self._why.get(one.job.index)
        return how_ended(study, one.job, 0)

    def _connect(self, jobs: Sequence[Job]) -> None:
        """Connect to the cluster, or start one of this machine. Raises DescentError if that fails."""
        _reach(self._address)
        own: dict[str, Any] = {}
        if self._address == _LOCAL:
            most = max(cores(), *(job.threads or 1 for job in jobs))
            own = {"num_cpus": most, "object_store_memory": _STORE, "include_dashboard": False}
        before = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(address=self._address, log_to_driver=False, logging_level=logging.CRITICAL, **own)
        except Exception as error:  # Ray has no class for all of its errors
            raise DescentError(
                _("--on ray, {address}: {error}", address=clean(self._address), error=_words(error))
            ) from None
        finally:
            signal.signal(signal.SIGTERM, before)  # Ray's own would end this process and no job would save

    def _hand_over(self, study: Study) -> None:
        """Hand over what waits, as far as there is a place among those at once."""
        while self._waiting and (self._at_once is None or len(self._handed) < self._at_once):
            job = self._waiting.popleft()
            threads = job.threads or 1
            gpus = self._gpus_of(job)
            environment = dict.fromkeys(VARIABLES, str(threads))
            if self._gpus == 0:
                environment |= dict.fromkeys(_VISIBLE, "")
            task = self._ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=0, num_returns="streaming")(_train)
            stream = task.remote(str(study.process(job)), [self._agreed, *study.words(job, threads)], environment)
            self._handed[job.index] = _Handed(job, stream, {"CPU": threads, "GPU": gpus})

    def _gpus_of(self, job: Job) -> float:
        if job.device == "cpu":
            return 0.0
        if self._gpus is not None:
            return self._gpus
        return 1.0 if self._ray.cluster_resources().get("GPU") else 0.0

    def _refuse_hidden(self, jobs: Sequence[Job]) -> None:
        """Raise DescentError for a job that names a GPU which it would not see.

        Ray chooses the GPUs of a job, shows it no others, and the job counts these from 0.
        """
        for job in jobs:
            kind, _colon, number = job.device.partition(":")
            given = self._gpus_of(job)
            if kind not in ("cuda", "xpu") or int(number or 0) < given:
                continue
            where = {"index": job.index, "device": job.device}
            if given:
                raise DescentError(
                    _(
                        'job {index}: train.device = "{device}", but Ray gives a job {gpus:g} GPU, shows it no '
                        'other, and numbers what it shows from 0; "{kind}" is whichever Ray gives it',
                        **where,
                        gpus=given,
                        kind=kind,
                    )
                )
            reason = "--gpus 0" if self._gpus == 0 else _("the cluster has none")
            raise DescentError(
                _('job {index}: train.device = "{device}", but a job gets no GPU: {reason}', **where, reason=reason)
            )

    def _ready(self) -> list[_Handed]:
        """Return the jobs of which there is news."""
        streams = {id(one.stream): one for one in self._handed.values()}
        if not streams:
            return []
        asked = [one.stream for one in streams.values()]
        ready, _others = self._ray.wait(asked, num_returns=len(asked), timeout=0, fetch_local=False)
        return [streams[id(stream)] for stream in ready]

    def _take(self, study: Study, one: _Handed) -> None:
        """Take the next word of a job's task: its host, its exit code, or that it was lost."""
        index, errors = one.job.index, self._ray.exceptions
        try:
            told = self._ray.get(next(one.stream))
        except (StopIteration, errors.TaskCancelledError):
            del self._handed[index]
        except errors.RayTaskError as error:  # of `_train` itself: another worker would do no better
            del self._handed[index]
            self._why[index] = f"{one.host or 'Ray'}: {_words(error.cause)}"
            if isinstance(error.cause, FileNotFoundError):
                self._why[index] += "; " + _("all machines must see the folder of the studies")
        except errors.RayError as error:
            self._put_back(one, _words(error))
        else:
            if isinstance(told, str):
                one.host = told
            elif told < 0 or told == _SAVED:
                self._put_back(one, how_ended(study, one.job, told))
            else:
                del self._handed[index]
                if told not in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM):
                    self._why[index] = how_ended(study, one.job, told)

    def _put_back(self, one: _Handed, why: str) -> None:
        index = one.job.index
        del self._handed[index]
        self._lost[index] += 1
        if self._lost[index] <= self._again:
            self._waiting.append(one.job)
        else:
            self._why[index] = _("lost {count} times; the last time: {why}", count=self._lost[index], why=why)


def _reach(address: str) -> None:
    """Raise DescentError if nobody answers at HOST:PORT, for which Ray would wait for minutes."""
    host, _colon, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise DescentError(_("--on ray, {address}: {error}", address=clean(address), error=error)) from None


def _imported() -> Any:
    """Return Ray. Raises DescentError if it is not installed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise DescentError(
            _(
                "--on ray: needs a package that is not installed: {error}; pip install 'descent-console[ray]'",
                error=error,
            )
        ) from None
    # A worker begins in the folder of this process, whose own engine.py, say, it would import by that name.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return ray


def _train(folder: str, words: Sequence[str], environment: Mapping[str, str]) -> Iterator[str | int]:
    """Hold a job's process in a worker of Ray. Yields the host, and then the exit code of the process.

    Ray cancels a task by a KeyboardInterrupt. The job then finishes its step and saves.
    """
    from descent import child  # a machine that lacks it says so

    is_cancelled: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_of_signal: is_cancelled.append(True))
    try:
        yield socket.gethostname()
        Path(folder).mkdir(mode=0o700, exist_ok=True)
        with Path(folder, "log").open("wb") as log:
            command = child.command("engine.cli.job", str(os.getpid()), folder, *words)
            process = child.start(command, stdout=log, stderr=log, env={**os.environ, **environment})
        is_told = False
        while process.poll() is None:
            if is_cancelled and not is_told:
                process.send_signal(signal.SIGUSR1)
                is_told = True
            time.sleep(0.1)
        yield process.returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _reason(wanted: Mapping[str, float], nodes: Sequence[Mapping[str, float]]) -> str:
    """Say why a job waits. nodes: the resources of each."""
    fits = any(all(node.get(kind, 0.0) >= count for kind, count in wanted.items()) for node in nodes)
    what = _resources(wanted)
    return _("waiting for {what}", what=what) if fits else _("no node has {what}", what=what)


def _resources(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:g} {kind}" for kind, count in counts.items() if count)


def _words(error: BaseException) -> str:
    return shorten(clean(" ".join(str(error).split())), _LONGEST)
