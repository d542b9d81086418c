"""A chart as it is drawn: from its source to cells, and only the cells that differ to the screen."""

import math
import time
from collections.abc import Callable
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.content import Content
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from descent.common.i18n import N_, _, pgettext
from descent.common.numbers import trimmed
from tui import themes
from tui.plot import draw, legend
from tui.plot.axes import Axis, Stable, horizontal, limited, logarithmic, vertical
from tui.plot.canvas import RUNS, STYLES, TINTED, Canvas, frame, saying
from tui.plot.chart_data import NOTHING, ChartData
from tui.plot.sampling import XMode

Source = Callable[[int, tuple[float, float] | None], ChartData]

AHEAD = 0.1  # of a zoomed range that follows a run: it moves by so much at a time
NOT_YET = N_("nothing measured yet")
SOON = 1.0  # seconds in which a chart that is looked at is drawn again, though nobody could see a difference
LEGEND = 0.5  # seconds between two looks of the legend: faster, nobody reads it, and each costs half a kilobyte


class Drawing(Widget):
    """Draws what `source` gives for a number of dots across and a zoomed range of x, or None for all of it."""

    # Not those of runs, which are the theme's: each costs a pass through the style sheet, for every chart.
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--tint", *(f"chart--{style}" for style in STYLES if style and style not in RUNS)
    }  # fmt: skip
    DEFAULT_CSS = """
    Drawing {
        border: round $border-blurred; border-title-color: $foreground; border-subtitle-color: $quiet;
        height: 1fr;
        &:focus { border: round $border; }
        &.-ascii { border: ascii $border-blurred; }
        &.-ascii:focus { border: ascii $border; }
        & > .chart--band { color: $train 45%; }
        & > .chart--tint { background: $train 12%; }
        & > .chart--faint { color: $train 38%; }
        & > .chart--ghost { color: $quiet; }
        & > .chart--member { color: $foreground; }
        & > .chart--planned { color: $planned; }
        & > .chart--train { color: $train; }
        & > .chart--validation { color: $validation; }
        & > .chart--quiet { color: $quiet; }
        & > .chart--trouble { color: $trouble; text-style: bold; }
        & > .chart--cursor { color: $foreground; }
        & > .chart--goal { color: $success; }
    }
    """

    log_y: reactive[bool] = reactive(False, repaint=False, init=False)
    smoothing: reactive[float] = reactive(0.6, repaint=False, init=False)
    x_mode: reactive[XMode] = reactive("step", repaint=False, init=False)

    def __init__(
        self,
        title: str,
        source: Source | None = None,
        *,
        log_y: bool = False,
        smoothing: float | None = None,
        x_mode: XMode = "step",
        fits: bool = False,
        number: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        """smoothing: None for a chart that has none to be changed. clock: seconds, for the axes' calm.

        number: the key that shows the chart alone, before its title. fits: whether a linear axis leaves out the first
        steps, where those would leave the rest little room.
        """
        super().__init__(**options)
        self.title, self.source = title, source
        self.number = number
        self.smooths = smoothing is not None
        self.fits, self.whole = fits, False  # whole: show the first steps all the same
        self.set_reactive(Drawing.log_y, log_y)
        self.set_reactive(Drawing.smoothing, smoothing or 0.0)
        self.set_reactive(Drawing.x_mode, x_mode)
        self.empty = NOT_YET  # what is said where there is no number
        self.zoom: tuple[float, float] | None = None
        self.follows = False  # the zoom has the run's end in it, and goes with it
        self.cursor: float | None = None  # an x
        self.data = NOTHING
        self.least_labels = 0  # cells: of charts above each other the same step stands in the same column
        self._clock, self._calm_x, self._calm_y = clock, Stable(clock), Stable(clock)
        self._labelled, self._label_waits = -math.inf, False
        self._kept_up: tuple[float, int, object] | None = None  # when it was drawn, at which step, after what
        self._x_axis, self._y_axis = Axis(0, 1, ()), Axis(0, 1, ())
        self._place = frame(0, 0, 0)
        self._canvas: Canvas | None = None
        self._strips: dict[int, Strip] = {}
        self._is_late = False  # a drawing of the size that it has now was asked for
        self._rich: dict[str, RichStyle] = {}

    # --- data to cells ---

    def refresh_data(self) -> None:
        """Ask the source, and paint what differs. Nothing where there is no room or the chart is hidden."""
        width, height = self.content_size
        if not width or not height or not self.is_mounted or not self.display:
            return
        for __ in range(2):  # once more where other labels leave another width to the curves
            self._place = frame(width, height, self._label_width())
            self.data = self._ask(self._place.dots)
            self._y_axis = self._settled_y(self._place.rows)
            if frame(width, height, self._label_width()) == self._place:
                break
        self._draw()

    def keep_up(self, step: int, news: object, *, is_last: bool = False) -> bool:
        """`refresh_data` where the run is a cell further, or `news` are not what they were; else only now and then.

        A frame changes little of a long run's curves, and to draw them takes time from the training as well.
        step: steps done. news: what else is to be seen at once; compared by ==. is_last: no step comes after it, so
        the axes take their last place. Returns False where the source was busy: it is to be asked again.
        """
        now = self._clock()
        if self._kept_up is not None and self.data.lines:
            drawn, since, told = self._kept_up
            cell = (self._x_axis.high - self._x_axis.low) / max(1, self._place.columns)
            further = self.data.end * (step / since - 1) if since else math.inf  # whatever the x axis counts
            if told == news and ((now - drawn < SOON and 0 <= further < cell) or is_last):
                return True
            if told != news and is_last:
                self._calm_x.forget()
                self._calm_y.forget()
                self._labelled = -math.inf
        shown = self.data.lines
        self.refresh_data()
        is_new = self.data.lines is not shown  # else its source was busy, and is asked again with the next frame
        if is_new:
            self._kept_up = now, step, news
        return is_new or not self.data.lines or not self.is_on_screen

    def _ask(self, dots: int) -> ChartData:
        """The data for the range shown, which follows the source's own at most once a second."""
        if self.source is None:
            return NOTHING
        data = self.source(dots, self.zoom)
        if self.zoom is not None and self.follows and data.end > self.zoom[1]:
            width = self.zoom[1] - self.zoom[0]
            high = data.end + AHEAD * width
            self.zoom = high - width, high
            data = self.source(dots, self.zoom)
        low, high = data.x_range
        wanted = Axis(low, high, ())
        held = wanted if self.zoom or not data.lines else self._calm_x.settle(wanted, low, high, tight=True)
        if (held.low, held.high) != (low, high):
            data = self.source(dots, (held.low, held.high))
        self._x_axis = held
        return data

    def _settled_y(self, rows: int) -> Axis:
        fitted = self.fits and not self.whole
        found = draw.extent(self.data, self._x_axis, log=self._is_log, fitted=fitted)
        log = self._is_log and found is not None
        found = found or draw.extent(self.data, self._x_axis, log=False, fitted=fitted)
        if found is None:
            return Axis(0, 1, ())
        if math.isfinite(self.data.most) and not log:
            found = draw.widened(found, self.data.most)
        wanted = limited((logarithmic if log else vertical)(*found, rows), self.data.most)
        if wanted.log != self._y_axis.log:
            self._calm_y.forget()  # an axis of the other kind can't be held
        return self._calm_y.settle(wanted, *found)

    @property
    def _is_log(self) -> bool:
        return self.log_y and self.data.fits_log

    def _label_width(self) -> int:
        return max(self.least_labels, self.own_labels)

    @property
    def own_labels(self) -> int:
        """Cells of the widest label of the y axis."""
        return max((len(label) for __, label in self._y_axis.ticks), default=4)

    def _draw(self) -> None:
        before = self._canvas
        if self.has_class("-constant") != (self.data.constant is not None):
            self.toggle_class("-constant")
        if self.data.constant is not None:
            self._canvas = saying(trimmed(self.data.constant), *self.content_size, style="train")
        else:  # axes of nothing would show numbers that mean nothing
            self._canvas = self._drawn() if self.data.is_measured else saying(_(self.empty), *self.content_size)
        self._paint(self._canvas.changed(before) if before is not None else None)
        self._label_border()

    def _drawn(self) -> Canvas:
        place = self._place
        return draw.draw(
            self.data,
            place,
            horizontal(self._x_axis.low, self._x_axis.high, place.columns, self.data.x_unit),
            self._y_axis,
            unicode=self._unicode,
            colour=self._mixes,
            cursor=self._cursor_shown()[0] if self.cursor is not None else None,
        )

    def _paint(self, changed: list[tuple[int, int, int]] | None) -> None:
        """changed: row, first and last column of each; None for all."""
        if changed is None:
            self._strips.clear()
            self.refresh()
            return
        for row, *__ in changed:
            self._strips.pop(row, None)
        if changed:
            self.refresh(*(Region(first, row, last - first + 1, 1) for row, first, last in changed))

    @property
    def _unicode(self) -> bool:
        return bool(getattr(getattr(self.app, "terminal", None), "unicode", True))

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        if self._canvas is None or (self._canvas.width, self._canvas.height) != (width, height):
            if not self._is_late:  # Textual sends no Resize where the layout was looked up before it was made
                self._is_late = True
                self.call_later(self.on_resize)
            return Strip.blank(width, self._style(""))
        strip = self._strips.get(y)
        if strip is None:
            pieces = [Segment(text, self._style(name)) for text, name in self._canvas.pieces(y)]
            strip = self._strips[y] = Strip(pieces, width)
        return strip

    def _style(self, name: str) -> RichStyle:
        if name not in self._rich:
            if name.endswith(TINTED):
                ground = self.get_component_rich_style("chart--tint").bgcolor
                style = self._style(name.removesuffix(TINTED)) + RichStyle(bgcolor=ground)
            elif name in RUNS:
                style = self.rich_style + themes.style(self.app.theme_variables, name)
            else:
                style = self.get_component_rich_style(f"chart--{name}") if name else self.rich_style
            # A terminal's own colours can't be mixed with the ground.
            own = style.color is not None and style.color.triplet is None
            self._rich[name] = style + RichStyle(dim=True) if own and name in ("faint", "band") else style
        return self._rich[name]

    @property
    def _mixes(self) -> bool:
        """Return whether colours can tell what is behind from what is in front."""
        colour = self._style("faint").color
        return not self.app.no_color and colour is not None and colour.triplet is not None

    def notify_style_update(self) -> None:
        self._rich.clear()
        self._strips.clear()
        super().notify_style_update()

    # --- border ---

    def _label_border(self) -> None:
        room = max(0, self.outer_size.width - 6)
        name = self.title if self.number is None else f"{self.number} {self.title}"
        at, values = self._cursor_shown() if self.cursor is not None else (math.nan, None)
        smooth = self._smooth_at(at) if values is not None else {}
        title = legend.title(name, self.data.lines, room, values=values, smooth=smooth, unicode=self._unicode)
        content = Content.assemble(*((text, self._visual(name)) if name else text for text, name in title))
        if self.cursor is not None:
            settings = legend.reading(at, self.data.x_unit, room, unicode=self._unicode)
        else:
            smoothing = self.smoothing if self.smooths else None
            zoomed = self.zoom is not None
            by = self.data.x_unit if self.data.lines else self.x_mode  # not each can be shown by time
            axis = self._axis_words()
            settings = legend.settings(
                self.data.note, axis, smoothing, by, room, zoomed=zoomed, unicode=self._unicode
            )
        subtitle = Content(settings)
        # Not by `border_title`: it repaints the whole chart, and the values change with every frame.
        if content != self._border_title and self._may_relabel():
            self._border_title = content
            self._repaint_border(0)
        if subtitle != self._border_subtitle:
            self._border_subtitle = subtitle
            self._repaint_border(self.outer_size.height - 1)

    def _axis_words(self) -> str:
        if not self.log_y:
            return _("whole axis") if self.fits and self.whole else ""
        return pgettext("axis", "log") if self.data.fits_log else _("linear: some < 0")

    def _visual(self, name: str) -> Style:
        """One of STYLES in the border: a foreground alone."""
        if name in RUNS:
            return Style(foreground=Color.parse(self.app.theme_variables[name]))
        return self.get_visual_style(f"chart--{name}", partial=True)

    def _may_relabel(self) -> bool:
        """Return whether the legend may change now; if not, it does so a little later."""
        now = self._clock()
        if self.cursor is not None or now - self._labelled >= LEGEND:  # a key or the mouse has moved it
            self._labelled = now
            return True
        if not self._label_waits:
            self._label_waits = True
            self.set_timer(LEGEND, self._label_at_last)
        return False

    def _label_at_last(self) -> None:
        self._label_waits = False
        self._labelled = -math.inf
        self._label_border()

    def _repaint_border(self, y: int) -> None:
        left, top = self.gutter.left, self.gutter.top
        self.refresh(Region(-left, y - top, self.outer_size.width, 1))

    # --- events ---

    def on_mount(self) -> None:
        self.set_class(not self._unicode, "-ascii")
        self.refresh_data()

    def on_resize(self) -> None:
        self._is_late = False
        self._calm_y.forget()
        self._labelled = -math.inf
        self._canvas = None
        self.refresh_data()

    def on_show(self) -> None:
        self.refresh_data()

    def _watch_log_y(self) -> None:
        self._asked_for(forget_x=False)

    def _watch_smoothing(self) -> None:
        self._asked_for(forget_x=False)

    def _watch_x_mode(self) -> None:
        self.zoom = self.cursor = None
        self._asked_for(forget_x=True)

    def _asked_for(self, *, forget_x: bool) -> None:
        """A person wants to see something else: axes need not be calm now."""
        self._calm_y.forget()
        self._labelled = -math.inf
        if forget_x:
            self._calm_x.forget()
        self.refresh_data()

    def _draw_again(self) -> None:
        if self._canvas is not None and self.content_size:
            self._draw()

    def _smooth_at(self, x: float) -> dict[str, float]:
        """The smoothed values at an x of the lines that are smoothed."""
        if not self.smoothing:
            return {}
        lines = tuple(line for line in self.data.lines if line.style == "train")
        return legend.nearest(lines, x, self._x_axis)

    def _cursor_shown(self) -> tuple[float, dict[str, float]]:
        """The x of the step below the cursor, and the values there."""
        x = self.cursor if self.cursor is not None else math.nan
        if self.data.exact is not None:
            return self.data.exact(x)
        return x, legend.nearest(self.data.lines, x, self._x_axis)
