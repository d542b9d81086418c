"""A chart as text, for tests of what it looks like."""

from typing import Any

from tui.plot import draw
from tui.plot.axes import Axis, horizontal, logarithmic, vertical
from tui.plot.canvas import Canvas, frame
from tui.plot.chart_data import ChartData


def drawn(data: ChartData, width: int, height: int, *, log: bool = False, **options: Any) -> Canvas:
    """The chart in so many cells."""
    extent = draw.extent(data, Axis(*data.x_range, ()), log=log)
    assert extent is not None
    y_axis = (logarithmic if log else vertical)(*extent, frame(width, height, 0).rows)
    place = frame(width, height, max(len(label) for _, label in y_axis.ticks))
    x_axis = horizontal(*data.x_range, place.columns, data.x_unit)
    return draw.draw(data, place, x_axis, y_axis, **options)


def text(canvas: Canvas) -> str:
    """Its rows, without what is blank at their ends."""
    return "\n".join(canvas.text(row).rstrip() for row in range(canvas.height))
