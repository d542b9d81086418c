"""The pictures that the worker keeps while it trains, as often as that costs it a hundredth of its time."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.clock import Clock
from descent.run.folder import RunFolder
from engine import pictures
from engine.pictures import kept
from engine.training.pictures import draw, traits
from engine.training.pictures.probe import Arrays, Probe
from engine.training.train_state import TrainState

SHARE = 0.01  # of the time of training that the pictures take at most
EVERY = 0.5  # seconds of training between two at the soonest
AT_ONCE = 0.05  # seconds that one may take before the first step, or while the run stands still
SAMPLES = 500  # of a split that a classifier is asked about
OPTIONS: dict[str, dict[str, Any]] = {
    "boundary": {"resolution": 40, "samples": 300},
    "fit": {"resolution": 40, "samples": 300},
    "surface": {"resolution": 32, "samples": 300},
    "tally": {"resolution": 40, "samples": 300},
    "confusion": {"samples": SAMPLES, "examples": 0},
    "mistakes": {"samples": SAMPLES, "most": 12},
}
FOLLOWED = 8_000  # class probabilities of a step that are kept: 16 KB, with 16 classes those of all samples
_TRIALS = (8, 64)  # samples of a forward pass that tells beforehand what a picture costs


class PictureKeeper:
    """Draws pictures of a run between its steps and keeps them in its folder.

    Before the first step, where that is quick, while a person has paused the run, and at its end it takes time that
    is no time of training. In between, each waits until the training has taken a hundred times as long as it costs.
    """

    def __init__(self, run: TrainState, folder: RunFolder, clock: Clock, warn: Callable[[str], None]) -> None:
        self._run, self._folder, self._clock, self._warn = run, folder, clock, warn
        self._wanted = {kind: pictures.settings(kind, options_of(run, kind)) for kind in kinds_of(run)}
        self._cost = 0.0  # seconds that the last picture took
        self._least = 0.0  # and the quickest one: a machine that is busy for a moment tells nothing of the next
        self._due = 0.0  # on the clock of the training
        self._look_at = 0.0 if self._wanted else float("inf")  # on the machine's clock: not before, is it due
        self.forget_beyond()

    def forget_beyond(self) -> None:
        """Remove the pictures of a future that the run has left."""
        kept.forget_beyond(self._folder.path, self._run.step)
        self._wait()

    def begin(self) -> None:
        """Find out what a picture costs, and keep one of the model as it is before it trains."""
        if not self._wanted:
            return
        self._cost = self._least = self._expected()
        for _cold_and_warm in range(2):  # the first one loads code and memory that the others find there
            if self._least <= AT_ONCE:
                self.keep()
        self._wait()

    def rest(self) -> None:
        """Keep one of the model as it is now, unless it is there or takes long: the run stands still."""
        if self._wanted and self._least <= AT_ONCE and self._run.step not in kept.steps(self._folder.path):
            self.keep()

    def keep_up(self) -> None:
        """Keep one if it is due. Called between two steps."""
        if time.perf_counter() < self._look_at:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._look_at = time.perf_counter() + left
        else:
            self.keep()

    def keep(self) -> None:
        """Keep one of the model as it is now. An error ends the keeping and not the run."""
        if not self._wanted:
            return
        with self._clock.stopped():
            began = time.perf_counter()
            run = self._run
            alone = run if len(run.members) > 1 and "tally" in self._wanted else run.alone(0)
            try:
                drawn = draw(alone, self._wanted, self._folder, everyone=run)
                kept.write(self._folder.path, run.step, {kind: _small(arrays) for kind, arrays in drawn.items()})
            except (DescentError, OSError) as error:
                why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                self._warn(_("no more pictures of this run are kept to go back to: {why}", why=why))
                self._wanted, self._look_at = {}, float("inf")
                return
            self._cost = time.perf_counter() - began
            self._least = min(self._least, self._cost)
        self._wait()

    def _wait(self) -> None:
        """Let as much training pass as the next one has to wait for."""
        if self._wanted:
            self._due = self._clock.seconds() + max(EVERY, self._cost / SHARE)
            self._look_at = 0.0

    def _expected(self) -> float:
        """Return the seconds that a picture will take, from a forward pass of a few samples."""
        run = self._run.alone(0)
        options = next(iter(self._wanted.values()))
        size = int(options["samples"]) + int(options.get("resolution", 0)) ** 2
        seconds, samples = 0.0, run.dataset.train.inputs
        with Probe.at(run) as look:
            for count in _TRIALS:
                inputs = samples[torch.arange(count, device=samples.device) % len(samples)]
                began = time.perf_counter()
                look.outputs(inputs).sum().item()  # waits for the device
                seconds = time.perf_counter() - began
                if seconds > 2 * AT_ONCE:
                    break  # it is slow, however many samples at a time
        return seconds / count * size


def options_of(run: TrainState, kind: str) -> dict[str, Any]:
    """Return the options of a picture. Of mistakes, as many samples are followed as the disk has room for."""
    if kind != "mistakes":
        return OPTIONS[kind]
    return OPTIONS[kind] | {"follow": max(1, min(SAMPLES, FOLLOWED // len(run.dataset.classes)))}


def kinds_of(run: TrainState) -> tuple[str, ...]:
    """Return the pictures that tell most of a run, by its data. Of several members, those that show all of them."""
    if not run.has_preset_model:
        return ()
    fits = {kind.name for kind in pictures.fitting(traits(run))}
    if run.classifies and run.dataset.input_shape == (1,) and len(run.dataset.classes) != 2:
        fits.discard("fit")
    if len(run.members) > 1:
        wanted: tuple[str, ...] = ("tally",) if "tally" in fits else () if run.classifies else ("fit",)
    elif "boundary" in fits:
        wanted = ("boundary",)
    elif fits & {"fit", "surface"}:
        wanted = ("fit", "surface")
    else:
        wanted = ("confusion", "mistakes")
    return tuple(kind for kind in wanted if kind in fits)


def _small(arrays: Arrays) -> Arrays:
    """Return the arrays as a kept picture has them: a share is drawn in 256 shades at most."""
    share = arrays.get("probability")
    return arrays if share is None else arrays | {"probability": share.astype(np.float16)}
