"""Which checkpoints are written, and which of them stay."""

import copy
import time
from collections.abc import Callable
from pathlib import Path

from engine.run import Events, RunFolder
from engine.training import checkpoint
from engine.training.checkpoint import State

REST = 5.0  # seconds between checkpoints under `checkpoint_every = "auto"`; one takes 4 ms for digits-mlp


class Keeper:
    """Writes checkpoints after the rows they stand on.

    The best model so far may come many times a second, and a checkpoint takes milliseconds. So it is
    held in memory while the disk rests, and written before any later checkpoint: a crash can only lose a best
    that a resume will find again.
    """

    def __init__(self, run: RunFolder, events: Events, flush: Callable[[], None], keep: int) -> None:
        """flush: returns when all rows are on the disk."""
        self._run, self._events, self._flush, self._keep = run, events, flush, keep
        self._held: State | None = None
        self._last_write = time.monotonic()

    def rested(self) -> bool:
        return time.monotonic() - self._last_write >= REST

    def save(self, state: State) -> Path:
        """Write `state` now. CannotGoOnError where the disk takes no more."""
        held, self._held = self._held, None
        if held is not None and held["step"] != state["step"]:
            self._write(held)
        return self._write(state)

    def hold(self, state: State) -> None:
        """Keep the best model so far; it is written soon."""
        if self.rested():
            self.save(state)
        else:
            self._held = copy.deepcopy(state)

    def forget(self) -> None:
        """Drop what is held: the run went back to before it."""
        self._held = None

    def best(self, step: int) -> State:
        """The state of step `step`, which was held or saved. ValueError where it is lost."""
        if self._held is not None and self._held["step"] == step:
            return self._held
        return checkpoint.read(self._run.checkpoint(step))

    def _write(self, state: State) -> Path:
        try:
            self._flush()
            path = checkpoint.write(self._run, state)
            self._events.write("checkpoint", step=state["step"], file=path.name, best=state["best"]["step"])
            self._events.sync()
        except OSError as error:
            raise checkpoint.cannot_write(error, self._run, f"the checkpoint of step {state['step']}") from None
        best = state["best"]["step"]
        checkpoint.remove_old(self._run, self._keep, {best} if best is not None else set(), state["step"])
        self._last_write = time.monotonic()
        return path
