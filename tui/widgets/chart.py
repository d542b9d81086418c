"""The chart: curves in braille on calm axes, with zoom, a cursor and a legend in its border."""

from typing import Any, ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message

from descent.common.i18n import N_
from tui.plot.chart_data import ChartData, Line, Mark
from tui.plot.sampling import XMode
from tui.widgets.chart_drawing import Drawing, Source

__all__ = ["Chart", "ChartData", "Line", "Mark", "Source", "XMode"]

X_MODES: tuple[XMode, ...] = ("step", "epoch", "time")
SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)
PAN = 0.2  # share of what is visible
ZOOM = 2.0
CLOSEST = {"step": 4.0, "epoch": 1e-3, "time": 1e-3, "share": 1e-3}  # the least that is shown of an x axis


class Chart(Drawing, can_focus=True):
    """Draws what `source` gives for a number of dots across and a zoomed range of x, or None for all of it.

    `refresh_data` asks it, as often as the caller likes; only cells that differ are painted. log_y, smoothing and
    x_mode are for the source to obey; a change of them asks it again, and one by a key posts `Changed`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "shift+left",
            "pan(-1)",
            N_("move the view left (mouse: drag)"),
            show=False,
            id="chart.left",
        ),
        Binding("shift+right", "pan(1)", N_("move the view right"), show=False, id="chart.right"),
        Binding("up,right_square_bracket", "zoom(1)", N_("zoom in (mouse: wheel)"), show=False, id="chart.in"),
        Binding("down,left_square_bracket", "zoom(-1)", N_("zoom out"), show=False, id="chart.out"),
        Binding("0", "show_all", N_("show all again"), show=False, id="chart.all"),
        Binding("y", "log", N_("y axis: log, linear, linear from the first step on"), show=False, id="chart.log"),
        Binding("s", "smooth", N_("next smoothing"), show=False, id="chart.smooth"),
        Binding("t", "x_axis", N_("x axis by step, epoch or time"), show=False, id="chart.x"),
        Binding("left", "cursor(-1)", N_("cursor with exact values, to the left (mouse: point)"), show=False),
        Binding("right", "cursor(1)", N_("cursor with exact values, to the right"), show=False),
        Binding("escape", "leave", N_("leave the cursor or the zoom"), show=False, id="chart.leave"),
    ]

    x_modes: tuple[XMode, ...] = X_MODES  # that `t` goes through

    class Changed(Message):
        """A person has changed the chart's settings."""

        def __init__(self, chart: "Chart") -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> "Chart":
            return self.chart

    class Pointed(Message):
        """The cursor has moved to an x, or is gone: None."""

        def __init__(self, chart: "Chart", x: float | None, unit: str) -> None:
            super().__init__()
            self.chart, self.x, self.unit = chart, x, unit

        @property
        def control(self) -> "Chart":
            return self.chart

    def __init__(self, title: str, source: Source | None = None, **options: Any) -> None:
        """options: those of Drawing."""
        super().__init__(title, source, **options)
        self._hovering = False
        self._dragged: tuple[int, tuple[float, float]] | None = None  # where a drag began, and what was shown

    @property
    def is_hovering(self) -> bool:
        """Return whether the cursor is that of the mouse."""
        return self._hovering

    # --- keys ---

    def action_log(self) -> None:
        if not self.log_y and self.fits and not self.whole:
            self.whole = True
            self._watch_log_y()
        else:
            self.whole = False
            self.log_y = not self.log_y
        self.post_message(self.Changed(self))

    def action_smooth(self) -> None:
        if not self.smooths:
            return
        self.smoothing = next((value for value in SMOOTHINGS if value > self.smoothing), SMOOTHINGS[0])
        self.post_message(self.Changed(self))

    def action_x_axis(self) -> None:
        self.x_mode = self.x_modes[(self.x_modes.index(self.x_mode) + 1) % len(self.x_modes)]
        self.post_message(self.Changed(self))

    def action_show_all(self) -> None:
        self._show(None)

    def action_leave(self) -> None:
        if self.cursor is not None:
            self._move_cursor(None)
        elif self.zoom is not None:
            self._show(None)
        else:
            raise SkipAction  # the screen's own meaning of the key

    def action_cursor(self, direction: int) -> None:
        if not self.data.lines:
            raise SkipAction
        self.move_cursor(direction)

    def move_cursor(self, direction: int) -> None:
        """Move the cursor by a cell. It begins at the last step."""
        low, high = self._shown()
        self._hovering = False
        if self.cursor is None:
            self._move_cursor(min(high, max(low, self.data.end)))
        else:
            moved = self.cursor + direction * max((high - low) / self._place.columns, self._least_move())
            self._move_cursor(min(high, max(low, moved)))

    def point(self, x: float | None) -> None:
        """Show the cursor at an x without telling of it; None for no cursor."""
        low, high = self._shown()
        self.cursor = x if x is not None and low <= x <= high else None
        self._draw_again()

    def _move_cursor(self, x: float | None) -> None:
        self.cursor = x
        self._draw_again()
        self.post_message(self.Pointed(self, x, self.data.x_unit))

    def action_pan(self, direction: int) -> None:
        low, high = self._shown()
        if self.zoom is not None:
            self._show(self._within(low + direction * PAN * (high - low), high - low))
        else:
            raise SkipAction

    def action_zoom(self, direction: int) -> None:
        low, high = self._shown()
        centre = self.cursor if self.cursor is not None else (low + high) / 2
        self._zoom_at(centre, ZOOM**direction)

    # --- mouse ---

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, ZOOM**0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, ZOOM**-0.5)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        x = self._x_below(event)
        if x is not None and self.data.lines:
            event.stop()
            self._zoom_at(x, factor)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1 and self.zoom is not None:
            self._dragged = event.x, self.zoom
            self.capture_mouse()

    def on_mouse_up(self) -> None:
        if self._dragged is not None:
            self._dragged = None
            self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is not None:
            start, (low, high) = self._dragged
            moved = (start - event.x) / self._place.columns * (high - low)
            self._show(self._within(low + moved, high - low))
            return
        x = self._x_below(event)
        if self.data.lines and (x is not None or self._hovering):
            self._hovering = x is not None
            self._move_cursor(x)

    def on_leave(self) -> None:
        if self._hovering:
            self._hovering = False
            self._move_cursor(None)

    def _x_below(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        if offset is None or offset.x < self._place.gutter:
            return None
        low, high = self._x_axis.low, self._x_axis.high
        return low + (offset.x - self._place.gutter + 0.5) / self._place.columns * (high - low)

    # --- what is shown ---

    def _shown(self) -> tuple[float, float]:
        return self._x_axis.low, self._x_axis.high

    def _all(self) -> tuple[float, float]:
        return self.source(2, None).x_range if self.source is not None else (0.0, 1.0)

    def _within(self, low: float, width: float) -> tuple[float, float] | None:
        """That range, moved into what there is; None where it is all of it."""
        least, most = self._all()
        if width >= most - least:
            return None
        low = min(max(low, least), most - width)
        return low, low + width

    def _zoom_at(self, x: float, factor: float) -> None:
        low, high = self._shown()
        width = max((high - low) / factor, CLOSEST[self.data.x_unit])
        self._show(self._within(x - (x - low) * width / (high - low), width))

    def _show(self, zoom: tuple[float, float] | None) -> None:
        if zoom != self.zoom:
            self.zoom = zoom
            self.follows = zoom is not None and zoom[0] <= self.data.end <= zoom[1]
            self._asked_for(forget_x=True)

    def _least_move(self) -> float:
        return 1.0 if self.data.x_unit == "step" else 0.0
