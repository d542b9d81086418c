"""The charts of a console: what each shows, taken from the run that the reader follows."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.follow import Follower
from tui.charts import curves
from tui.reading.camera import schedule_of
from tui.reading.reader import Reader
from tui.widgets.chart_data import NOTHING, ChartData
from tui.widgets.rate_chart import described

if TYPE_CHECKING:
    from tui.widgets.chart import Chart

Zoom = tuple[float, float] | None
Source = Callable[[int, Zoom], ChartData]
Draw = Callable[[Follower, "Chart", int, Zoom], ChartData]


class Panes:
    """Sources for charts. One that can't be drawn at once, because the reader is at work, stays as it was."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._draw: dict[str, Draw] = {
            "loss": self._loss,
            "accuracy": self._accuracy,
            "rate": self._rate,
            "gradient": self._gradient,
            "throughput": lambda f, c, dots, zoom: curves.throughput_curve(f, dots, zoom, c.smoothing, c.x_mode),
        }

    def source(self, name: str, chart: "Chart") -> Source:
        """name: loss, accuracy, rate, gradient or throughput."""
        return self._held(chart, self._draw[name])

    def want(self, columns: Sequence[str]) -> None:
        """Read several columns in one pass over the past, where they are to be drawn together."""
        with self._reader.looking() as follower:
            if follower is not None:
                follower.want(columns, self._reader.who)

    def column(self, column: str, chart: "Chart") -> Source:
        """Any column of the rows."""

        def draw(follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
            return curves.column_curve(
                follower, column, dots, zoom, chart.smoothing, chart.x_mode, self._reader.member
            )

        return self._held(chart, draw)

    def _held(self, chart: "Chart", draw: Draw) -> Source:
        latest = [NOTHING]

        def source(dots: int, zoom: Zoom) -> ChartData:
            with self._reader.looking() as follower:
                if follower is not None:
                    latest[0] = draw(follower, chart, dots, zoom)
            return latest[0]

        return source

    def _loss(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        return curves.loss_curve(follower, dots, zoom, chart.smoothing, chart.x_mode, picked=self._reader.member)

    def _accuracy(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        return curves.accuracy_curve(follower, dots, zoom, chart.smoothing, chart.x_mode, picked=self._reader.member)

    def _gradient(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        return curves.grad_norm_curve(follower, dots, zoom, chart.smoothing, chart.x_mode, self._reader.member)

    def _rate(self, follower: Follower, chart: "Chart", dots: int, zoom: Zoom) -> ChartData:
        camera = self._reader.camera
        plan = camera.plan if camera is not None else None
        data = curves.rate_curve(follower, dots, zoom, chart.x_mode, plan, self._reader.member)
        schedule = schedule_of(camera.preset if camera is not None else {})
        return data if data.note else dataclasses.replace(data, note=described(plan, schedule))
