"""Which checkpoints are written, and which of them stay."""

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
        told = run.events()
        self._steps = run.checkpoints(told)
        self._best_of = {e["step"]: e["best"] for e in told if e["event"] == "checkpoint"}  # the best as it was then
        # What a person has saved is the person's to remove.
        self._wanted = {e["step"] for e in told if e["event"] == "command" and e["command"] == "checkpoint"}
        self._last_write = time.monotonic()

    def rested(self) -> bool:
        return time.monotonic() - self._last_write >= REST

    def save(self, state: State, *, wanted: bool = False) -> Path:
        """Write `state` now. CannotGoOnError where the disk takes no more. wanted: by a person, so that it stays."""
        if wanted:
            self._wanted.add(state["step"])
        held, self._held = self._held, None
        if held is not None and held["step"] != state["step"]:
            self._write(held)
        return self._write(state)

    def hold(self, state: State) -> None:
        """Keep the best model so far; it is written soon."""
        if self.rested():
            self.save(state)
        else:
            self._held = checkpoint.copied(state)

    def drop_held(self) -> None:
        """What was held as the best is not."""
        self._held = None

    def steps(self) -> list[int]:
        """Of the checkpoints on the way to here, ascending."""
        return list(self._steps)

    def forget_beyond(self, step: int) -> None:
        """The run went back to `step`: what it saved later is of a future that is left, and stays on the disk."""
        self._held = None
        self._steps = [saved for saved in self._steps if saved <= step]

    def has(self, step: int) -> bool:
        """Whether the state of step `step` is held, or its file there."""
        return self._held_of(step) is not None or self._run.checkpoint(step).exists()

    def best(self, step: int) -> State:
        """The state of step `step`, which was held or saved. ValueError where it is lost."""
        return self._held_of(step) or checkpoint.read(self._run.checkpoint(step))

    def _held_of(self, step: int) -> State | None:
        return self._held if self._held is not None and self._held["step"] == step else None

    def _write(self, state: State) -> Path:
        try:
            self._flush()
            path = checkpoint.write(self._run, state)
            self._events.write("checkpoint", step=state["step"], file=path.name, best=state["best"]["step"])
            self._events.sync()
        except OSError as error:
            raise checkpoint.cannot_write(error, self._run, f"the checkpoint of step {state['step']}") from None
        self._steps = sorted({*self._steps, state["step"]})
        self._best_of[state["step"]] = state["best"]["step"]
        self._remove_old()
        self._last_write = time.monotonic()
        return path

    def _remove_old(self) -> None:
        """All but the first checkpoint, those that a person wanted, the latest ones, and what was the best at each of
        these: a run that goes back to one of them, or a fork, may end with it."""
        others = [step for step in self._steps[1:] if step not in self._wanted]
        old = set(others[: -self._keep])
        kept: set[int | None] = {step for step in self._steps if step not in old}
        for step in reversed(self._steps):  # the best of a checkpoint is never later than itself
            if step in kept:
                kept.add(self._best_of.get(step))
            else:
                checkpoint.remove(self._run, step)
        self._steps = [step for step in self._steps if step in kept]
