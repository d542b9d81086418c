"""The jobs of a study while they train, whoever trains them, and the exit code that they come to."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable

from descent.common import stdio
from descent.common.errors import ExitCode
from descent.common.signals import Signals
from descent.run.lock import WorkerLock
from engine.launch import start
from engine.study.board import StudyDisplay
from engine.study.folder import Study


class Jobs(ABC):
    """The jobs of a study, by their states as they are known here."""

    outlives = False  # whether they go on when this process ends

    def __init__(self, study: Study, board: StudyDisplay) -> None:
        self._study, self._board = study, board
        self._states: dict[int, str] = {}  # by the job's index

    @property
    def failed(self) -> int:
        return sum(state in ("failed", "lost", "damaged") for state in self._states.values())

    @property
    def left(self) -> int:
        """Return the number of jobs that are not finished and did not fail."""
        return sum(state not in ("finished", "failed", "damaged") for state in self._states.values())

    @abstractmethod
    def begin(self) -> None:
        """Find out what is to be done, and say it. Raises DescentError if it can't be done."""

    @abstractmethod
    def follow(self, signals: Signals) -> None:
        """Train and show the jobs until all have ended, or until a signal has ended them."""

    @abstractmethod
    def say_leaving(self) -> None:
        """Say what becomes of the jobs, at the first signal."""

    @abstractmethod
    def end_at_once(self) -> None:
        """Give the terminal back, at the second signal."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Give back what was held for the jobs."""


def train(study: Study, make: Callable[[StudyDisplay], Jobs], *, as_json: bool, quiet: bool) -> int:
    """Train the unfinished jobs, and show them until all have ended, or until a signal.

    Returns the exit code: 1 if a job failed, 128 + its number after a signal.
    """
    start.refuse_several_processes()
    terminal = 2 if as_json else 1
    board = StudyDisplay(study.name, None if quiet else terminal, len(study.jobs))
    jobs = make(board)
    with contextlib.ExitStack() as lock, Signals() as signals, contextlib.closing(jobs):
        lock.callback(WorkerLock(study.folder).release)  # two at the same time would start every job twice
        jobs.begin()
        if jobs.outlives:
            lock.close()
        signals.on_first = jobs.say_leaving
        signals.on_second = jobs.end_at_once
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
