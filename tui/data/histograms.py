"""How a run's weights, gradients and activations are spread: over its steps, and pictures of the latest."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from descent.common.errors import DescentError
from descent.control import NotRunningError
from descent.handle import Run
from descent.run import histograms
from descent.run.folder import RunFolder
from descent.run.histograms import KINDS, History
from descent.run.layout import Layout
from descent.run.state import ALIVE
from engine import pictures
from engine.pictures import Picture
from tui.data import ended

PAUSE = 2.0  # seconds between two looks for what a live run has recorded


class Histograms:
    """pictures: the latest of each kind that was found. trouble: why there is none, or no newer one.

    history: what the run has recorded. layers: the names along its axis of layers.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.pictures: dict[str, Picture] = {}
        self.trouble = ""
        self.history: History | None = None
        self.layers: list[str] = []
        self._folder = folder
        self._next = 0.0

    async def look(self) -> None:
        """Look which pictures there are."""
        for kind in KINDS:
            try:
                last = await asyncio.to_thread(pictures.latest, self._folder.path, kind)
            except DescentError as error:
                self.trouble = str(error)
                continue
            if last is not None:
                self.pictures[kind] = last

    def is_due(self) -> bool:
        """Return whether it is time to look what the run has recorded."""
        return time.monotonic() >= self._next

    async def follow(self) -> bool:
        """Read what the run has recorded. Returns whether that is other than before."""
        self._next = time.monotonic() + PAUSE
        try:
            found = await asyncio.to_thread(self._read)
        except (DescentError, OSError):
            return False  # the console tells of a damaged or deleted folder
        before, self.history = self.history, found
        return before is None or not np.array_equal(before.steps, found.steps)

    def _read(self) -> History:
        layout = Layout.load(self._folder.path)
        self.layers = [layer["name"] for layer in layout.layers] if layout is not None else []
        return histograms.read(self._folder.path, max(1, len(self.layers)))

    def is_older_than(self, step: int) -> bool:
        """Return whether a picture is missing, or is of an earlier step than this one."""
        return any(kind not in self.pictures or self.pictures[kind].step < step for kind in KINDS)

    async def ask(self) -> None:
        """Ask for new pictures: the worker of a live run, or a process that reads an ended run's last checkpoint."""
        self.trouble = ""
        try:
            for kind, file in (await self._answers()).items():
                self.pictures[kind] = await asyncio.to_thread(pictures.read, file)
        except DescentError as error:
            self.trouble = str(error).removeprefix(f"{self._folder.id}: ")

    def _tell_waiting(self, for_what: str) -> None:
        self.trouble = for_what

    async def _answers(self) -> dict[str, Path]:
        try:
            answers: Mapping[str, Mapping[str, object]] = {
                k: await Run(self._folder, "console").picture(k) for k in KINDS
            }
        except NotRunningError:
            if await asyncio.to_thread(self._folder.state) in ALIVE:
                raise
            answers = await ended.drawn(self._folder, {kind: {} for kind in KINDS}, self._tell_waiting)
        self.trouble = next((str(a["error"]) for a in answers.values() if a.get("error")), "")
        return {kind: Path(str(answer["picture"])) for kind, answer in answers.items() if "picture" in answer}
