"""A picture of a run in cells, whatever its kind."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from descent.common.files import write_atomically
from descent.common.i18n import _
from engine.pictures import Picture
from tui.pictures import curve, followed, graph, matrix, members, over_time, plane, trials, walk, weights
from tui.pictures.canvas import RGB, Palette, PictureCanvas
from tui.widgets.lines import wrapped

LEAST = (16, 4)  # cells below which nothing can be told

DRAW: dict[str, Callable[[PictureCanvas, Picture], None]] = {
    "boundary": plane.boundary,
    "fit": curve.fit,
    "surface": curve.surface,
    "confusion": matrix.confusion,
    "mistakes": weights.mistakes,
    "filters": weights.filters,
    "sample": weights.sample,  # given by a loop of the user's own
    "activations": weights.histograms,
    "weights": weights.histograms,
    "gradients": weights.histograms,
    "paths": plane.paths,
    "tally": members.tally,
    "spread": members.spread,
    "trials": trials.trials,
    "gradients-by-layer": members.gradients_by_layer,
    "walk": walk.walk,  # of a lab's code, not of a run
    "graph": graph.graph,  # of a lab's code, too
    weights.ONE_LAYER: weights.of_one_layer,
    followed.KIND: followed.sample_course,  # of what the worker has kept
    over_time.KIND: over_time.over_time,  # of a layer
    over_time.MATRIX: over_time.matrix,  # of a layer, too
}


def draw(
    picture: Picture, width: int, height: int, palette: Palette, first: int = 0, ghost: Picture | None = None
) -> PictureCanvas:
    """Draw the picture in so many cells. Of several images, begin with the one at `first`.

    ghost: the picture of the run before, of the same kind, to be seen behind it.

    If the file lacks arrays of its kind, say that it is damaged.
    """
    canvas = PictureCanvas(width, height, palette)
    canvas.first, canvas.ghost = first, ghost
    if width < LEAST[0] or height < LEAST[1]:
        canvas.write(0, 0, _("too small"), "quiet")
        return canvas
    try:
        DRAW[picture.kind](canvas, picture)
    except (KeyError, IndexError, ValueError, TypeError, OverflowError):
        canvas = PictureCanvas(width, height, palette)
        damaged = _("the picture {kind} can't be drawn: its file is damaged or of another version", kind=picture.kind)
        canvas.write(0, 0, damaged)
    return canvas


def svg(canvas: PictureCanvas, title: str) -> str:
    """The canvas as a vector image."""
    console = Console(
        record=True, width=canvas.width, file=io.StringIO(), color_system="truecolor", force_terminal=True
    )
    lines = [[*strip, Segment.line()] for strip in canvas.strips()]
    console.print(Segments([segment for line in lines for segment in line]), end="", soft_wrap=True)
    return console.export_svg(title=title)


def save(path: Path, canvas: PictureCanvas, title: str) -> None:
    """Write it as SVG or as text, depending on the path's suffix. Raises OSError."""
    text = svg(canvas, title) if path.suffix == ".svg" else "\n".join([title, "", *canvas.plain()]) + "\n"
    write_atomically(path, text.encode())


class PictureView(Widget):
    """Shows `picture`, or `message` if there is none."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"picture--{name}" for name in ("train", "validation", "trouble", "quiet")
    }
    DEFAULT_CSS = """
    PictureView {
        & > .picture--train { color: $train; }
        & > .picture--validation { color: $validation; }
        & > .picture--trouble { color: $trouble; text-style: bold; }
        & > .picture--quiet { color: $quiet; }
    }
    """
    picture: reactive[Picture | None] = reactive(None, always_update=True)
    message: reactive[str] = reactive("")
    ghost: reactive[Picture | None] = reactive(None, always_update=True)  # of the run before
    first: reactive[int] = reactive(0)  # of several images, the one to begin with

    _drawn: tuple[object, list[Strip]] = (None, [])

    def palette(self) -> Palette:
        """What the terminal and the theme of the app give."""
        terminal, theme = getattr(self.app, "terminal", None), self.app.current_theme
        names = ("train", "validation", "trouble", "quiet")
        styles = {name: self.get_component_rich_style(f"picture--{name}", partial=True) for name in names}
        variables = self.app.theme_variables
        enough = terminal is None or (terminal.colour and terminal.colours >= 256)
        return Palette(
            shades=enough and not theme.ansi,
            unicode=terminal is None or terminal.unicode,
            dark=theme.dark,
            ground=_rgb(variables.get("background", ""), (18, 21, 27)),
            text=_rgb(variables.get("foreground", ""), (217, 221, 228)),
            styles={**styles, "strong": Style(bold=True)},
        )

    @property
    def is_paged(self) -> bool:
        """Return whether there are more images than there is room for."""
        seen = self.canvas().seen
        return seen is not None and seen[0] < seen[1]

    def page(self, by: int) -> None:
        """The next images that there is room for, or those before."""
        seen = self.canvas().seen
        if seen is not None:
            shown, there = seen
            last = (there - 1) // shown * shown
            self.first = max(0, min(last, self.first // shown * shown + by * shown))

    def canvas(self) -> PictureCanvas:
        """What is shown, in the cells that there are."""
        width, height = self.content_size
        if self.picture is not None:
            return draw(self.picture, width, height, self.palette(), self.first, self.ghost)
        canvas = PictureCanvas(width, height, self.palette())
        for row, line in enumerate(wrapped(self.message, max(1, width))):
            canvas.write(0, row, line, "quiet")
        return canvas

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        own = self.rich_style
        key = (self.picture, self.ghost, self.first, self.message, width, height, self.app.theme, own)
        if self._drawn[0] != key:
            self._drawn = (key, [strip.apply_style(own) for strip in self.canvas().strips()])
        lines = self._drawn[1]
        return lines[y] if y < len(lines) else Strip.blank(width, own)


def _rgb(text: str, otherwise: RGB) -> RGB:
    try:
        colour = Color.parse(text)
    except ColorParseError:
        return otherwise
    return otherwise if colour.ansi is not None else (colour.r, colour.g, colour.b)
