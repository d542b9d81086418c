"""The same library for scripts and notebooks: every call waits, none needs `await`.

    from descent import sync

    run = sync.start("digits-mlp", ["train.epochs=100000"])
    run.set("optimizer.lr=0.01")
    run.wait_for_epoch(3)
    run.stop()
    print(run.wait(), run.summary()["metrics"])

It uses no event loop, so it works in a notebook too, where one runs already. Ctrl-C ends the waiting, and the run
trains on. Inside a coroutine write `await descent.start(…)` instead: the calls here block its event loop.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from descent import control
from descent.control import Answer
from descent.handle import LOOK_EVERY, Handle, found, known, options, started
from descent.run.state import ALIVE, State

__all__ = ["Run", "attach", "runs", "start"]


class Run(Handle[Answer]):
    """A run, live or ended. A command waits for the worker's answer and returns it, or raises as descent.Run does."""

    def command(self, command: str, **arguments: Any) -> Answer:
        """Give any command by its name in the socket's protocol, with its arguments."""
        return control.send(self.folder.path, command, arguments, None, self.given_by)

    def fork(
        self,
        at: int | None = None,
        overrides: Sequence[str] = (),
        run_id: str | None = None,
        *,
        member: int | None = None,
    ) -> "Run":
        """Start a new run from the checkpoint of step `at`. Arguments and errors are those of descent.Run.fork."""
        return Run(started(self._fork_words(at, overrides, run_id, member)), self.given_by)

    def revive(self, *, allow_code: bool = False) -> None:
        """Go on with a run that has ended. Arguments and errors are those of descent.Run.revive."""
        started(self._revive_words(allow_code))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield all events so far, then new ones, until the run has ended."""
        for news in self._news():
            yield from news
            time.sleep(LOOK_EVERY)

    def wait_for_step(self, step: int) -> int:
        """Wait until the run has made `step` updates, and return how many it has made: fewer if it has ended."""
        for _look in self._until_step(step):
            time.sleep(LOOK_EVERY)
        return len(self.metrics())

    def wait_for_epoch(self, epoch: float) -> int:
        """Wait until so many passes over the data are made or the run has ended, and return the steps so far."""
        for _look in self._until_epoch(epoch):
            time.sleep(LOOK_EVERY)
        return len(self.metrics())

    def wait_for(self, *kinds: str) -> dict[str, Any] | None:
        """Wait for the next event of one of these kinds. Arguments and what it returns are those of descent.Run."""
        found: list[dict[str, Any]] = []
        for _look in self._until_event(kinds, found):
            time.sleep(LOOK_EVERY)
        return found[0] if found else None

    def wait(self) -> State:
        """Wait for the end of the run and return its state."""
        while (state := self.state) in ALIVE:
            time.sleep(LOOK_EVERY)
        return state


def start(
    preset: str | Path,
    overrides: Sequence[str] = (),
    *,
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    allow_code: bool = False,
) -> Run:
    """Start a run in a process of its own. Arguments and errors are those of descent.start."""
    given = options(run_id, runs_dir, data_root, allow_code=allow_code, overrides=overrides)
    return Run(started(["run", str(preset), *given]))


def runs(*, live: bool = False, runs_dir: Path | None = None) -> list[Run]:
    """Return the runs of this user, the latest first. Arguments are those of descent.runs."""
    return [Run(folder) for folder in known(live, runs_dir)]


def attach(word: str, runs_dir: Path | None = None) -> Run:
    """Return the handle of an existing run: an id, its beginning or its last four letters, a path, or `last`.

    Raises DescentError when there is no such run.
    """
    return Run(found(word, runs_dir))
