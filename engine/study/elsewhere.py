"""A study whose jobs another engine trains, such as SLURM: what is left is handed to it, and the board follows."""

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import _, ngettext
from descent.common.signals import Signals
from descent.run.lock import WorkerLock
from descent.run.state import ALIVE
from engine.launch import start
from engine.study.board import StudyDisplay
from engine.study.folder import Job, Study
from engine.study.results import Outcome, outcome, outcomes

_LOOK = 0.1  # seconds between looks at the signals
_FIRST, _LONGEST = (
    0.5,
    10.0,
)  # seconds between looks at the engine: each is longer than the last while nothing changes


class Task(NamedTuple):
    """What an engine has of one job.

    batch: its own name of what was submitted. reason: why it waits, in its words.
    """

    batch: str
    is_pending: bool
    reason: str = ""


class Engine(Protocol):
    """An engine that trains the jobs of a study."""

    outlives: bool  # whether its jobs go on when this process ends

    def tasks(self, study: Study) -> dict[int, Task]:
        """Return the tasks that wait or run, by the job's index. Raises DescentError if it can't be asked."""

    def submit(self, study: Study, jobs: Sequence[Job]) -> str:
        """Hand over jobs, all or none, and say in a few words what that is there. Raises DescentError if refused."""

    def stop(self) -> None:
        """Let its jobs save and end, unless they outlive this process."""

    def leaving(self) -> str:
        """Say what becomes of the jobs when the user asks this process to end."""

    def why_gone(self, study: Study, job: Job) -> str:
        """Say what is known of a job that the engine no longer has and that left no word."""


def run(study: Study, engine: Engine, *, as_json: bool, quiet: bool) -> int:
    """Hand the unfinished jobs to the engine and show them until all have ended, or until a signal.

    Returns the exit code: 1 if a job failed, 128 + its number after a signal.
    """
    start.refuse_several_processes()
    with contextlib.ExitStack() as while_held, Signals() as signals:
        terminal = 2 if as_json else 1
        board = StudyDisplay(study.name, None if quiet else terminal, len(study.jobs))
        jobs = _Jobs(study, engine, board)
        lock = WorkerLock(study.folder)  # two at the same time would hand over every job twice
        while_held.callback(lock.release)
        jobs.submit()
        if engine.outlives:
            while_held.close()
        signals.on_first = lambda: board.say(engine.leaving())
        signals.on_second = board.give_terminal_back
        board.start()
        try:
            jobs.follow(signals)
        finally:
            is_read = board.finish()
    if not is_read:
        stdio.give_up(terminal)
    if signals.received is not None and jobs.left:
        return 128 + signals.received
    return ExitCode.CHECK_FAILED if jobs.failed else ExitCode.DONE


class _Jobs:
    """The jobs of a study, as their folders and the engine tell of them."""

    def __init__(self, study: Study, engine: Engine, board: StudyDisplay) -> None:
        self._study, self._engine, self._board = study, engine, board
        self._states: dict[int, str] = {}  # by the job's index
        self._open: list[Job] = []  # of which more is to come
        self._complaint = ""

    @property
    def failed(self) -> int:
        return sum(state in ("failed", "lost", "damaged") for state in self._states.values())

    @property
    def left(self) -> int:
        """Return the number of jobs of which more is to come."""
        return len(self._open)

    def submit(self) -> None:
        """Hand over what is neither over nor in the engine's hands. Raises DescentError if the engine refuses."""
        tasks, found = self._engine.tasks(self._study), outcomes(self._study)
        wanted = []
        for one in found:
            self._states[one.job.index] = one.state
            if one.job.index in tasks or one.state in ALIVE:
                self._open.append(one.job)
            elif one.is_over or one.state == "damaged":
                if one.state != "finished":
                    self._board.say_job(one)
            else:
                wanted.append(one.job)
                self._open.append(one.job)
        parts = [ngettext("{count} job", "{count:,} jobs", len(found))]
        if wanted:
            parts.append(self._engine.submit(self._study, wanted))
        parts += _counted(found, len(self._open) - len(wanted))
        self._board.say(f"{_('study {name}', name=self._study.name)}: {', '.join(parts)}")

    def follow(self, signals: Signals) -> None:
        """Show the jobs until all have ended. After a signal, wait only for those that end with this process."""
        pause, has_stopped = _FIRST, False
        while self._open and not (signals.wanted() and self._engine.outlives):
            if signals.wanted() and not has_stopped:
                self._engine.stop()
                pause, has_stopped = _FIRST, True
            has_changed = self._look()
            pause = _FIRST if has_changed else min(2 * pause, _LONGEST)
            until = time.monotonic() + pause
            while self._open and time.monotonic() < until and (has_stopped or not signals.wanted()):
                time.sleep(_LOOK)

    def _look(self) -> bool:
        """Take what is new. Returns whether something has changed."""
        try:
            tasks = self._engine.tasks(self._study)
        except DescentError as error:  # a controller that is started again; the jobs know nothing of that
            if str(error) != self._complaint:
                self._board.say(str(error))
            self._complaint = str(error)
            return False
        self._complaint = ""
        before = dict(self._states)
        for job in list(self._open):
            self._take(outcome(self._study, job), tasks.get(job.index))
        reasons = Counter(tasks[job.index].reason for job in self._open if self._states[job.index] == "pending")
        self._board.count(Counter(self._states.values()), [reason for reason, _n in reasons.most_common() if reason])
        return before != self._states

    def _take(self, one: Outcome, task: Task | None) -> None:
        index = one.job.index
        if task is not None and one.state != "finished":
            if not task.is_pending:
                self._states[index] = "running"
            elif self._states[index] != "pending":
                if one.step:
                    self._board.say_job(one, _("queued again at step {step:,}", step=one.step))
                self._states[index] = "pending"
        elif one.state in ALIVE:  # it saves, or what it wrote last is still on its way to this machine
            self._states[index] = one.state
        else:
            if one.state == "waiting":
                one = Outcome(one.job, "failed", self._engine.why_gone(self._study, one.job))
            self._states[index] = one.state
            self._open.remove(one.job)
            self._board.say_job(one)


def _counted(found: Sequence[Outcome], before: int) -> list[str]:
    finished = sum(one.state == "finished" for one in found)
    parts = [_("{number:,} queued before", number=before)] if before else []
    return parts + ([_("{number:,} finished before", number=finished)] if finished else [])
