"""The panes of a console: charts, layers and log, as many as the terminal has room for, or one alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from descent.common.i18n import N_, _
from tui.widgets.chart import Chart
from tui.widgets.layer_table import LayerTable
from tui.widgets.run_log import RunLog

if TYPE_CHECKING:
    from tui.settings import Settings


LEFT = {"loss": N_("loss"), "accuracy": N_("accuracy %")}
RIGHT = {
    "rate": N_("learning rate"),
    "gradient": N_("gradient norm"),
    "throughput": N_("throughput, step/s"),
}
TABLES = ("layers", "log")
PANES = (*LEFT, *RIGHT, *TABLES)
LEAST_CHART = 6  # rows of a chart that a person has chosen
WATCHED = {
    "loss": "loss",
    "accuracy": "accuracy",
    "grad_norm": "gradient",
    "lr": "rate",
    "layers": "layers",
}  # in labs


class ConsolePanes(Vertical):
    """Loss and accuracy on the left, what explains them on the right, layers and log below.

    The screen's breakpoints decide what is shown: -flat, -short, -medium, -tall and -tiny, -narrow, -normal, -wide.
    """

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    ConsolePanes {
        height: 1fr;
        #charts { height: 1fr; }
        #left { width: 3fr; }
        #right { width: 2fr; }
        #tables { height: 11; }
        #layers { width: 3fr; }
        #log { width: 2fr; }
        Chart { height: 1fr; }
        #throughput { display: none; }
    }
    .-wide ConsolePanes #left, .-wide ConsolePanes #layers,
    .-wide ConsolePanes #right, .-wide ConsolePanes #log { width: 1fr; }
    .-tall ConsolePanes #tables { height: 16; }
    .-wide.-tall ConsolePanes #throughput { display: block; }
    .-short ConsolePanes #accuracy, .-short ConsolePanes #gradient,
    .-flat ConsolePanes #accuracy, .-flat ConsolePanes #gradient { display: none; }
    .-short ConsolePanes #tables, .-short ConsolePanes #layers { height: auto; max-height: 8; }
    .-short ConsolePanes #log, .-tiny ConsolePanes #log { display: none; }
    .-flat ConsolePanes #tables, .-tiny ConsolePanes #right { display: none; }
    .-narrow.-medium ConsolePanes #tables, .-narrow.-tall ConsolePanes #tables { layout: vertical; height: 15; }
    .-narrow.-medium ConsolePanes #layers,
    .-narrow.-tall ConsolePanes #layers { height: auto; max-height: 8; width: 1fr; }
    .-narrow.-medium ConsolePanes #log, .-narrow.-tall ConsolePanes #log { height: 1fr; width: 1fr; }
    ConsolePanes.-lab #pictures { height: 3fr; }
    ConsolePanes.-lab #charts { height: 2fr; }
    ConsolePanes.-lab #layers { width: 1fr; }
    ConsolePanes.-lab #tables { height: auto; max-height: 14; }
    ConsolePanes.-lab #tables LayerTable { height: auto; max-height: 14; }
    ConsolePanes.-lab #right, ConsolePanes.-lab #left { width: 1fr; }
    .-narrow ConsolePanes.-lab, .-tiny ConsolePanes.-lab { layout: horizontal; }
    .-narrow ConsolePanes.-lab #charts, .-tiny ConsolePanes.-lab #charts {
        layout: vertical; width: 1fr; height: 1fr;
    }
    .-narrow ConsolePanes.-lab #pictures, .-tiny ConsolePanes.-lab #pictures { width: 1fr; height: 1fr; }
    .-narrow ConsolePanes.-lab #tables, .-tiny ConsolePanes.-lab #tables { display: none; }
    .-narrow ConsolePanes.-lab.-one #tables { display: block; }
    .-short ConsolePanes.-lab #accuracy, .-flat ConsolePanes.-lab #accuracy,
    .-short ConsolePanes.-lab #gradient, .-flat ConsolePanes.-lab #gradient { display: block; }
    .-short ConsolePanes.-lab .-second, .-flat ConsolePanes.-lab .-second { display: none !important; }
    .-tiny ConsolePanes.-lab #right { display: block; }
    ConsolePanes Chart.-picked { display: block !important; }
    ConsolePanes .-away, ConsolePanes.-one .-away { display: none !important; }
    ConsolePanes.-one .-alone {
        display: block !important; width: 1fr !important; height: 1fr !important; max-height: 100% !important;
    }
    """

    def __init__(self, liked: "Settings", watch: Sequence[str] | None = None, pictures: Widget | None = None) -> None:
        """watch: of a lab, the charts that it is about; they alone are shown. pictures: stand beside them."""
        super().__init__()
        self._liked, self._watch, self._pictures = liked, watch, pictures
        self.alone: str | None = None  # the pane that is shown alone
        self.chosen: list[str] = []  # the curves that a person has chosen; none for the usual ones
        self._own: dict[str, Chart] = {}  # charts of other curves than the usual ones, by the curve
        self._no_accuracy = False
        of_lab = [WATCHED[name] for name in watch or () if name in WATCHED]
        charts = [name for name in of_lab if name not in TABLES] or ["loss"]
        self._wanted = PANES if watch is None else (*charts, *(name for name in of_lab if name in TABLES))
        self.set_class(watch is not None, "-lab")

    def compose(self) -> ComposeResult:
        with Horizontal(id="charts"):
            with Vertical(id="left"):
                yield from (self._chart(name, title) for name, title in LEFT.items())
            with Vertical(id="right"):
                yield from (self._chart(name, title) for name, title in RIGHT.items())
        with Horizontal(id="tables"):
            yield LayerTable(id="layers")
            yield RunLog(id="log")
        if self._pictures is not None:
            yield self._pictures

    def _chart(self, name: str, title: str) -> Chart:
        smoothing = None if name == "rate" else self._liked.smoothing
        return Chart(_(title), smoothing=smoothing, log_y=self._liked.log_y and name in ("loss", "gradient"), id=name)

    @property
    def is_whole(self) -> bool:
        """Return whether all its charts are there. As the app ends, they are removed one by one."""
        return len(self.charts) >= len(LEFT) + len(RIGHT)

    @property
    def charts(self) -> list[Chart]:
        return self.walk_children(Chart)

    def on_mount(self) -> None:
        if self.is_whole:  # else the app ends just now
            self.show_alone(None)

    # --- chosen curves ---

    def own_chart(self, curve: str, title: str) -> Chart:
        """Return the chart of a curve of the user's own, and add it if it is not there yet."""
        if curve not in self._own:
            number = len(self._own)
            chart = Chart(title, smoothing=self._liked.smoothing, id=f"own{number}", classes="-away")
            self._own[curve] = chart
            self.query_one("#right" if number % 2 else "#left").mount(chart)
        return self._own[curve]

    def pane_of(self, curve: str) -> str:
        """Return the id of the pane that shows a curve."""
        chart = self._own.get(curve)
        return curve if chart is None or chart.id is None else chart.id

    def choose(self, curves: Sequence[str]) -> None:
        """Show these curves, those of the user's own having charts already; none for the usual ones."""
        self.chosen = list(curves)
        self.show_alone(None)

    def _picked(self) -> list[str]:
        """Return the panes of the chosen curves that there is room for, the first ones of each column."""
        room = max(1, self.query_one("#charts").size.height // LEAST_CHART)
        left, right = self._columns()
        there = [self.pane_of(curve) for curve in self.chosen]
        return [*[pane for pane in there if pane in left][:room], *[pane for pane in there if pane in right][:room]]

    def _columns(self) -> tuple[list[str], list[str]]:
        """Return the ids of the charts on the left and on the right."""
        own = [str(chart.id) for chart in self._own.values()]
        return [*LEFT, *own[::2]], [*RIGHT, *own[1::2]]

    def on_resize(self) -> None:
        if self.chosen and self.alone is None and self.is_whole:
            self.show_alone(None)

    def leave_out_accuracy(self, wanted: bool) -> None:
        """Hide the accuracy of a run that has no classes, or whose task is not known yet."""
        if wanted != self._no_accuracy:
            self._no_accuracy = wanted
            self.show_alone(self.alone)

    def show_alone(self, name: str | None) -> None:
        """Show one of PANES alone, or all that have room."""
        self.alone = name
        self.set_class(name is not None, "-one")
        # The second chart of a lab has no room on a small screen.
        first = next((pane for pane in self._wanted if not (pane == "accuracy" and self._no_accuracy)), "loss")
        picked = self._picked() if self.chosen and name is None else []
        wanted = [*picked, *TABLES] if picked else self._wanted
        left, right = self._columns()
        for pane in (*left, *right, *TABLES):
            away = name != pane if name is not None else pane not in wanted
            away = away or (pane == "accuracy" and self._no_accuracy)
            widget = self.query_one(f"#{pane}")
            widget.set_class(away, "-away")
            widget.set_class(name == pane, "-alone")
            widget.set_class(pane in picked, "-picked")
            widget.set_class(self._watch is not None and name is None and pane != first, "-second")
        for holder, panes in (("charts", [*left, *right]), ("left", left), ("right", right), ("tables", TABLES)):
            shown = wanted if name is None else (name,)
            self.query_one(f"#{holder}").set_class(not set(shown) & set(panes), "-away")
            self.query_one(f"#{holder}").set_class(name in panes, "-alone")
        for column, panes in (("left", left), ("right", right)):
            is_empty = self._watch is not None and name is None and not picked and first not in panes
            self.query_one(f"#{column}").set_class(is_empty, "-second")  # it would take half of a small screen
        if self._pictures is not None:
            self._pictures.set_class(name is not None, "-away")
