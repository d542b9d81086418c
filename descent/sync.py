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
    """A run, live or ended, as descent.Run: a command waits for the worker's answer and returns it."""

    def command(self, command: str, **arguments: Any) -> Answer:
        """Any command of the wire, by its name."""
        return control.send(self.folder.path, command, arguments, timeout=None)

    def fork(
        self,
        at: int | None = None,
        overrides: Sequence[str] = (),
        run_id: str | None = None,
        *,
        member: int | None = None,
    ) -> "Run":
        """As descent.Run.fork."""
        return Run(started(self._fork_words(at, overrides, run_id, member)))

    def revive(self, *, allow_code: bool = False) -> None:
        """As descent.Run.revive."""
        started(self._revive_words(allow_code))

    def events(self) -> Iterator[dict[str, Any]]:
        """All that happened so far, then what happens, until the run has ended."""
        for news in self._news():
            yield from news
            time.sleep(LOOK_EVERY)

    def wait(self) -> State:
        """The state the run has ended in."""
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
    """Start a run in a process of its own: arguments and errors are those of descent.start."""
    given = options(run_id, runs_dir, data_root, allow_code=allow_code, overrides=overrides)
    return Run(started(["run", str(preset), *given]))


def attach(word: str, runs_dir: Path | None = None) -> Run:
    """The handle of a run that is there: an id, its beginning or its last four letters, a path, or `last`.

    DescentError when there is no such run.
    """
    return Run(found(word, runs_dir))
