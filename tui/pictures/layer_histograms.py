"""How one layer's weights, gradients and activations are spread: three pictures beside each other."""

from collections.abc import Mapping

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal

from engine.pictures import Picture
from tui.data.histograms import KINDS
from tui.pictures.picture import PictureView


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
    """The pictures it is given, a layer of them."""

    DEFAULT_CSS = """
    LayerHistograms { height: 1fr; }
    LayerHistograms PictureView { width: 1fr; height: 1fr; border: round $border-blurred; padding: 0 1;
        border-title-color: $foreground; border-subtitle-color: $quiet; }
    .-ascii LayerHistograms PictureView { border: ascii $border-blurred; }
    """

    def compose(self) -> ComposeResult:
        for kind in KINDS:
            yield PictureView(id=f"histogram-{kind}")

    def show(self, pictures: Mapping[str, Picture], layer: str, *, asking: bool, trouble: str) -> None:
        """pictures: the latest of each kind. asking: new ones are on their way. trouble: why there is none."""
        for kind in KINDS:
            view, seen = self.query_one(f"#histogram-{kind}", PictureView), pictures.get(kind)
            view.message = _message(seen, asking=asking, trouble=trouble)
            view.picture = of_layer(seen, layer) if seen is not None else None
            view.border_title = kind
            view.border_subtitle = "drawing …" if asking else f"step {seen.step:,}" if seen is not None else ""


def _message(seen: Picture | None, *, asking: bool, trouble: str) -> str:
    if seen is not None:
        return "No activation follows this layer."
    if asking:
        return "A moment: it is being drawn."
    return trouble or "There is none yet: enter asks for it."
