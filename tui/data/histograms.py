"""The pictures of how a run's weights, gradients and activations are spread: those there are, and new ones."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from descent.common.errors import DescentError
from descent.control import NotRunningError
from descent.handle import Run
from descent.run.folder import RunFolder
from descent.run.state import ALIVE
from engine import pictures
from engine.pictures import Picture
from engine.pictures.request import of_ended

KINDS = ("weights", "gradients", "activations")


class Histograms:
    """pictures: the latest of each kind that was found. trouble: why there is none, or no newer one."""

    def __init__(self, folder: RunFolder) -> None:
        self.pictures: dict[str, Picture] = {}
        self.trouble = ""
        self._folder = folder

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

    async def _answers(self) -> dict[str, Path]:
        try:
            answers: Mapping[str, Mapping[str, object]] = {
                k: await Run(self._folder, "console").picture(k) for k in KINDS
            }
        except NotRunningError:
            if await asyncio.to_thread(self._folder.state) in ALIVE:
                raise
            answers = await asyncio.to_thread(of_ended, self._folder, {kind: {} for kind in KINDS})
        self.trouble = next((str(a["error"]) for a in answers.values() if a.get("error")), "")
        return {kind: Path(str(answer["picture"])) for kind, answer in answers.items() if "picture" in answer}
