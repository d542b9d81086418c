"""How one layer's weights, gradients and activations are spread: three pictures beside each other."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal

from engine import pictures
from engine.control import NotRunningError
from engine.errors import DescentError
from engine.handle import Run
from engine.picture_of import of_ended
from engine.pictures import Picture
from engine.run import ALIVE, RunFolder
from tui.widgets.picture import PictureView

KINDS = ("weights", "gradients", "activations")


def of_layer(picture: Picture, layer: str) -> Picture | None:
    """That layer's part of the histograms of all; None where it has none: not each layer bends its outputs."""
    names = picture.texts("layers")
    if layer not in names:
        return None
    place = names.index(layer)
    return Picture(picture.kind, picture.step, {name: values[place : place + 1] for name, values in _each(picture)})


def _each(picture: Picture) -> list[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]]:
    count = len(picture.texts("layers"))
    return [(name, values) for name, values in picture.arrays.items() if values.shape[:1] == (count,)]


class LayerHistograms(Horizontal):
    """The latest pictures of the run, a layer of them. New ones are asked for by `ask`: they change nothing in it."""

    DEFAULT_CSS = """
    LayerHistograms { height: 1fr; }
    LayerHistograms PictureView { width: 1fr; height: 1fr; border: round $border-blurred; padding: 0 1;
        border-title-color: $foreground; border-subtitle-color: $quiet; }
    .-ascii LayerHistograms PictureView { border: ascii $border-blurred; }
    """

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self._folder = folder
        self._layer = ""
        self._seen: dict[str, Picture] = {}
        self._trouble = ""
        self._asking = False

    def compose(self) -> ComposeResult:
        for kind in KINDS:
            yield PictureView(id=f"histogram-{kind}")

    async def look(self) -> None:
        """Take up the pictures that there are."""
        for kind in KINDS:
            try:
                last = await asyncio.to_thread(pictures.latest, self._folder.path, kind)
            except DescentError as error:
                self._trouble = str(error)
                continue
            if last is not None:
                self._seen[kind] = last
        self._show()

    def show(self, layer: str) -> None:
        self._layer = layer
        self._show()

    def is_older_than(self, step: int) -> bool:
        """Whether a picture is missing, or of before that step."""
        return any(kind not in self._seen or self._seen[kind].step < step for kind in KINDS)

    async def ask(self) -> None:
        """New ones: of the worker, or from the last checkpoint where the run has ended."""
        if self._asking:
            return
        self._asking, self._trouble = True, ""
        self._show()
        try:
            for kind, file in (await self._answers()).items():
                self._seen[kind] = await asyncio.to_thread(pictures.read, file)
        except DescentError as error:
            self._trouble = str(error).removeprefix(f"{self._folder.id}: ")
        finally:
            self._asking = False
            if self.is_mounted:
                self._show()

    async def _answers(self) -> dict[str, Path]:
        try:
            answers: Mapping[str, Mapping[str, object]] = {k: await Run(self._folder).picture(k) for k in KINDS}
        except NotRunningError:
            if await asyncio.to_thread(self._folder.state) in ALIVE:
                raise
            answers = await asyncio.to_thread(of_ended, self._folder, {kind: {} for kind in KINDS})
        self._trouble = next((str(a["error"]) for a in answers.values() if a.get("error")), "")
        return {kind: Path(str(answer["picture"])) for kind, answer in answers.items() if "picture" in answer}

    def _show(self) -> None:
        for kind in KINDS:
            view, seen = self.query_one(f"#histogram-{kind}", PictureView), self._seen.get(kind)
            of_all = of_layer(seen, self._layer) if seen is not None else None
            view.message = self._message(seen)
            view.picture = of_all
            view.border_title = kind
            view.border_subtitle = "drawing …" if self._asking else f"step {seen.step:,}" if seen is not None else ""

    def _message(self, seen: Picture | None) -> str:
        if seen is not None:
            return "No activation follows this layer."
        if self._asking:
            return "A moment: it is being drawn."
        return self._trouble or "There is none yet: enter asks for it."
