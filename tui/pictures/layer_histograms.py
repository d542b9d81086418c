"""The histograms of one layer's weights, gradients and activations, beside each other."""

from collections.abc import Mapping

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal

from descent.common.i18n import _
from descent.common.numbers import count
from engine.pictures import Picture
from tui.data.histograms import KINDS
from tui.pictures.picture import PictureView
from tui.pictures.weights import KIND_WORDS


def of_layer(picture: Picture, layer: str) -> Picture | None:
    """Return that layer's part of the histograms of all; None if it has none, as a layer without an activation."""
    names = picture.texts("layers")
    if layer not in names:
        return None
    place = names.index(layer)
    return Picture(picture.kind, picture.step, {name: values[place : place + 1] for name, values in _each(picture)})


def _each(picture: Picture) -> list[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]]:
    layers = len(picture.texts("layers"))
    return [(name, values) for name, values in picture.arrays.items() if values.shape[:1] == (layers,)]


class LayerHistograms(Horizontal):
    """Shows one layer of the pictures it is given."""

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
            view.border_title = _(KIND_WORDS[kind])
            view.border_subtitle = _subtitle(seen, asking=asking)


def _subtitle(seen: Picture | None, *, asking: bool) -> str:
    if asking:
        return _("drawing…")
    return "" if seen is None else _("step {step}", step=count(seen.step))


def _message(seen: Picture | None, *, asking: bool, trouble: str) -> str:
    if seen is not None:
        return _("No activation follows this layer.")
    if asking:
        return _("Drawing…")
    return trouble or _("No picture yet: enter draws it.")
