"""The same library for scripts and notebooks: every call waits, none needs `await`.

    from descent import sync

    run = sync.start("digits-mlp", ["train.epochs=100"])
    run.set("optimizer.lr=0.01")
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
from descent.handle import LOOK_EVERY, Handle, found, options, started
from descent.run.state import ALIVE, State

__all__ = ["Run", "attach", "start"]


class Run(Handle[Answer]):
    """A run, live or ended. A command waits for the worker's answer and returns it, or raises as descent.Run does."""

    def command(self, command: str, **arguments: Any) -> Answer:
        """Give any command by its name in the socket's protocol, with its arguments."""
        return control.send(self.folder.path, command, arguments, timeout=None)

    def fork(
        self,
        at: int | None = None,
        overrides: Sequence[str] = (),
        run_id: str | None = None,
        *,
        member: int | None = None,
    ) -> "Run":
        """Start a new run from the checkpoint of step `at`. Arguments and errors are those of descent.Run.fork."""
        return Run(started(self._fork_words(at, overrides, run_id, member)))

    def revive(self, *, allow_code: bool = False) -> None:
        """Go on with a run that has ended. Arguments and errors are those of descent.Run.revive."""
        started(self._revive_words(allow_code))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield all events so far, then new ones, until the run has ended."""
        for news in self._news():
            yield from news
            time.sleep(LOOK_EVERY)

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


def attach(word: str, runs_dir: Path | None = None) -> Run:
    """Return the handle of an existing run: an id, its beginning or its last four letters, a path, or `last`.

    Raises DescentError when there is no such run.
    """
    return Run(found(word, runs_dir))
