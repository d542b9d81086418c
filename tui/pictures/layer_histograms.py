"""How one layer's weights, gradients and activations are spread, over time or now, beside its weights."""

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.containers import Container

from descent.common.i18n import N_, _
from descent.common.numbers import count
from descent.run.histograms import KINDS
from engine.pictures import Picture
from tui.data.histograms import Histograms
from tui.pictures.live import FramedPicture
from tui.pictures.over_time import KIND, MATRIX
from tui.pictures.weights import KIND_WORDS, ONE_LAYER
from tui.widgets.layer_charts import NO_ACTIVATION

_OVER_TIME = {
    "weights": N_("weights over time"),
    "gradients": N_("gradients over time"),
    "activations": N_("activations over time"),
}


def of_layer(picture: Picture, layer: str) -> Picture | None:
    """Return that layer's part of the histograms of all; None if it has none, as a layer without an activation."""
    names = picture.texts("layers")
    if layer not in names:
        return None
    place = names.index(layer)
    return Picture(ONE_LAYER, picture.step, {name: values[place : place + 1] for name, values in _each(picture)})


def _each(picture: Picture) -> list[tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]]:
    layers = len(picture.texts("layers"))
    return [(name, values) for name, values in picture.arrays.items() if values.shape[:1] == (layers,)]


def history_of(found: Histograms, kind: str, layer: str) -> Picture | None:
    """Return what a run has recorded of a layer as a picture; None if that is nothing."""
    history = found.history
    if history is None or not len(history.steps) or layer not in found.layers:
        return None
    values: NDArray[np.float32] = history.values[:, KINDS.index(kind), found.layers.index(layer)]
    if not np.isfinite(values).any():
        return None
    return Picture(KIND, int(history.steps[-1]), {"steps": history.steps, "values": values})


def matrix_of(weights: Picture | None, layer: str) -> Picture | None:
    """Return the weights of a layer as a picture; None if they are not in that of all, as of an older version."""
    own = of_layer(weights, layer) if weights is not None and "matrix" in weights.arrays else None
    if own is None:
        return None
    arrays = {name: own.arrays[name][0] for name in ("matrix", "largest", "shape")}
    return Picture(MATRIX, own.step, arrays)


class LayerHistograms(Container):
    """Shows one layer of what was found."""

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    LayerHistograms { layout: grid; height: 1fr; grid-size: 4 1; }
    LayerHistograms FramedPicture { padding: 0 1; }
    .-low LayerHistograms, .-narrow LayerHistograms { grid-size: 2 2; }
    """

    def compose(self) -> ComposeResult:
        for kind in (*KINDS, MATRIX):
            yield FramedPicture(id=f"histogram-{kind}")

    def show(self, found: Histograms, layer: str, *, over_time: bool, asking: bool) -> None:
        """over_time: show what the run has recorded where there is some. asking: new pictures are on their way."""
        for kind in KINDS:
            latest = found.pictures.get(kind)
            recorded = history_of(found, kind, layer) if over_time else None
            if recorded is not None:
                self._put(kind, recorded, _(_OVER_TIME[kind]), "")
                continue
            shown = of_layer(latest, layer) if latest is not None else None
            there = _message(latest, _(NO_ACTIVATION), found, asking=asking)
            self._put(kind, shown, _(KIND_WORDS[kind]), _subtitle(latest, asking=asking), there)
        weights = found.pictures.get("weights")
        matrix = matrix_of(weights, layer)
        there = _message(
            weights if matrix is None else None, _("No picture yet: enter draws it."), found, asking=asking
        )
        self._put(MATRIX, matrix, _("weight matrix"), _subtitle(weights, asking=asking), there)

    def _put(self, kind: str, picture: Picture | None, title: str, subtitle: str, message: str = "") -> None:
        view = self.query_one(f"#histogram-{kind}", FramedPicture)
        view.message, view.picture = message, picture
        view.name_it(title, subtitle)


def _subtitle(seen: Picture | None, *, asking: bool) -> str:
    if asking:
        return _("drawing…")
    return "" if seen is None else _("step {step}", step=count(seen.step))


def _message(seen: Picture | None, without: str, found: Histograms, *, asking: bool) -> str:
    """Return what is said where there is no picture. without: that of all layers is there, this one is not in it."""
    if asking:
        return _("Drawing…")
    if seen is not None:
        return without
    return found.trouble or _("No picture yet: enter draws it.")
