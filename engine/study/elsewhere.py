"""A study whose jobs another engine trains, such as SLURM: what is left is handed to it, and the board follows."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.signals import Signals
from descent.run.state import ALIVE
from engine.study.board import StudyDisplay
from engine.study.folder import Job, Study, continuing, note_engine
from engine.study.jobs import Jobs, train
from engine.study.results import Outcome, outcome, outcomes

_LOOK = 0.1  # seconds between looks at the signals
_FIRST = 0.5  # seconds between looks at the engine: each is longer than the last while nothing changes


class Task(NamedTuple):
    """What an engine has of one job.

    batch: its own name of what was submitted. reason: why it waits, in its words.
    """

    batch: str
    is_pending: bool
    reason: str = ""


class Engine(Protocol):
    """An engine that trains the jobs of a study."""

    words: Sequence[str]  # of the command line: --on, and what else was chosen
    outlives: bool  # whether its jobs go on when this process ends
    longest: float  # seconds between looks at it, at most

    def tasks(self, study: Study) -> dict[int, Task]:
        """Return the tasks that wait or run, by the job's index. Raises DescentError if it can't be asked."""

    def submit(self, study: Study, jobs: Sequence[Job]) -> str:
        """Hand over jobs, all or none, and say in a few words what that is there. Raises DescentError if refused."""

    def stop(self) -> None:
        """Let its jobs save and end, unless they outlive this process."""

    def close(self) -> None:
        """Leave the engine, when the jobs have ended or outlive this process."""

    def leaving(self) -> str:
        """Say what becomes of the jobs when the user asks this process to end."""

    def why_gone(self, study: Study, one: Outcome) -> str | None:
        """Say why the engine no longer has a job that left no word. None if it was stopped there."""


def jobs_words(at_once: int | None) -> list[str]:
    """Return the words of --jobs, for Engine.words."""
    return [] if at_once is None else ["--jobs", str(at_once)]


def run(study: Study, engine: Engine, *, as_json: bool, quiet: bool) -> int:
    """Hand the unfinished jobs to the engine and show them. Returns the exit code."""
    return train(study, lambda board: _Jobs(study, engine, board), as_json=as_json, quiet=quiet)


class _Jobs(Jobs):
    """The jobs of a study, as their folders and the engine tell of them."""

    def __init__(self, study: Study, engine: Engine, board: StudyDisplay) -> None:
        super().__init__(study, board)
        self._engine, self.outlives = engine, engine.outlives
        self._open: list[Job] = []  # of which more is to come
        self._is_stopping = False
        self._complaint = ""

    def say_leaving(self) -> None:
        self._board.say(self._engine.leaving())

    def end_at_once(self) -> None:
        self._board.give_terminal_back()

    def close(self) -> None:
        self._engine.close()

    def begin(self) -> None:
        """Hand over what is neither over nor in the engine's hands. Raises DescentError if the engine refuses."""
        note_engine(self._study, self._engine.words)
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
            parts.append(self._submitted(wanted))
        parts += _counted(found, len(self._open) - len(wanted))
        self._board.say(f"{_('study {name}', name=self._study.name)}: {', '.join(parts)}")

    def _submitted(self, jobs: Sequence[Job]) -> str:
        try:
            return self._engine.submit(self._study, jobs)
        except DescentError as error:
            raise DescentError(
                _(
                    "{error}. No job was queued. The study is planned; continue with: {command}",
                    error=str(error).rstrip("."),
                    command=continuing(self._study),
                )
            ) from None

    def follow(self, signals: Signals) -> None:
        """Show the jobs until all have ended. After a signal, wait only for those that end with this process."""
        pause = _FIRST
        while self._open and not (signals.wanted() and self.outlives):
            if signals.wanted() and not self._is_stopping:
                self._engine.stop()
                pause, self._is_stopping = _FIRST, True
            has_changed = self._look()
            pause = _FIRST if has_changed else min(2 * pause, self._engine.longest)
            until = time.monotonic() + pause
            while self._open and time.monotonic() < until and (self._is_stopping or not signals.wanted()):
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
            if one.state not in ("finished", "failed", "damaged"):
                one = self._without_word(one)
            self._states[index] = one.state
            self._open.remove(one.job)
            if not self._is_stopping or one.state == "finished":
                self._board.say_job(one)

    def _without_word(self, one: Outcome) -> Outcome:
        """Return what has become of a job that has ended and has not said how."""
        if self._is_stopping:
            return replace(one, state="stopped")
        why = self._engine.why_gone(self._study, one)
        return one if why is None else replace(one, state="lost" if one.state == "lost" else "failed", reason=why)


def _counted(found: Sequence[Outcome], before: int) -> list[str]:
    finished = sum(one.state == "finished" for one in found)
    parts = [_("{number:,} queued before", number=before)] if before else []
    return parts + ([_("{number:,} finished before", number=finished)] if finished else [])
