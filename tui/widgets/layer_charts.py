"""Charts of one layer: its gradient norm, update ratio, weight norm and dead units over the run."""

from textual.app import ComposeResult
from textual.containers import Grid

from descent.common.i18n import N_, _
from tui.data.snapshot import LayerRow, Snapshot
from tui.widgets.chart import Chart
from tui.widgets.chart_drawing import NOT_YET
from tui.widgets.chart_sources import Panes

NO_ACTIVATION = N_("No activation follows this layer.")
# The title of each statistic's chart. The part after the colon gives way where there is no room.
STATISTICS = {
    "grad_norm": N_("gradient norm: near 0 is vanishing"),
    "update_ratio": N_("update / weight: usually 0.001 a step"),
    "weight_norm": N_("weight norm"),
    "dead": N_("dead units: share that passes no gradient"),
}
_LOGARITHMIC = ("grad_norm", "update_ratio")


def row_of(now: Snapshot, layer: str) -> LayerRow | None:
    """Return the latest numbers of a layer."""
    return next((row for row in now.layers if row.name == layer), None)


class LayerCharts(Grid):
    """Shows a layer by its name. The owner gives it each snapshot of the run."""

    DEFAULT_CSS = "LayerCharts { grid-size: 2; }"

    def __init__(self, sources: Panes, layer: str) -> None:
        super().__init__()
        self._sources = sources
        self.layer_name = layer

    def compose(self) -> ComposeResult:
        for statistic, title in STATISTICS.items():
            yield Chart(_(title), smoothing=0.0, log_y=statistic in _LOGARITHMIC, id=statistic)

    def on_mount(self) -> None:
        self.show(self.layer_name)

    def show(self, layer: str) -> None:
        """Show another layer."""
        self.layer_name = layer
        charts = {f"layer.{layer}.{chart.id}": chart for chart in self.query(Chart)}
        self._sources.want(list(charts))
        for column, chart in charts.items():
            chart.source = self._sources.column(column, chart)
            chart.refresh_data()

    def draw(self, now: Snapshot) -> None:
        row = row_of(now, self.layer_name)
        has_none = row is not None and row.dead is None and row.grad_norm is not None
        for chart in self.query(Chart):
            if chart.id == "dead":
                chart.empty = NO_ACTIVATION if has_none else NOT_YET
            chart.keep_up(now.step, now.news)
