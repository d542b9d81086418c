"""The panes of a console: charts, layers and log, as many as the terminal has room for, or one alone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widget import Widget

from descent.common.i18n import N_, _
from tui.widgets.chart import Chart
from tui.widgets.chart_sources import Panes
from tui.widgets.layer_charts import LayerCharts
from tui.widgets.layer_table import LayerTable
from tui.widgets.machine_panel import MachinePanel
from tui.widgets.run_log import RunLog

if TYPE_CHECKING:
    from tui.data.snapshot import Snapshot
    from tui.settings import Settings


LEFT = {"loss": N_("loss"), "accuracy": N_("accuracy %")}
RIGHT = {
    "rate": N_("learning rate"),
    "gradient": N_("gradient norm"),
    "throughput": N_("throughput, step/s"),
}
TABLES = {"machine": N_("machine"), "layers": N_("layers"), "log": N_("log"), "picture": N_("picture")}
PANES = (*LEFT, *RIGHT, *TABLES)
DIGITS = {"loss": 1, "accuracy": 2, "rate": 3, "gradient": 4, "machine": 5, "layers": 6, "log": 7, "picture": 8}
UNUSUAL = ("throughput",)  # shown only if it is chosen
USUAL = tuple(pane for pane in PANES if pane not in UNUSUAL)
LEAST_CHART = 6  # rows of a chart that a person has chosen
LEAST_WIDTH = 30  # cells of it
WATCHED = {
    "loss": "loss",
    "accuracy": "accuracy",
    "grad_norm": "gradient",
    "lr": "rate",
    "layers": "layers",
}  # in labs


class ConsolePanes(Vertical):
    """The board: loss and accuracy on top, strips of what explains them, below them layers, the log and a picture.

    The screen's breakpoints decide what is shown: -flat, -short, -medium, -tall and -tiny, -narrow, -normal, -wide.
    In a lab the charts stand in two columns, beside the lab's pictures.
    """

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    ConsolePanes {
        height: 1fr;
        #charts { height: 1fr; }
        #left { layout: horizontal; height: 1fr; }
        #right { layout: horizontal; height: 6; }
        #tables { height: 43%; max-height: 15; }
        #lower { width: 2fr; height: 1fr; }
        #log { height: 1fr; }
        #loss { width: 3fr; }
        #accuracy { width: 2fr; }
        #layers { height: auto; max-height: 60%; }
        #picture { height: 1fr; width: 1fr; }
        #picture.-empty, #pictures.-empty { display: none !important; }
        Chart, MachinePanel { height: 1fr; width: 1fr; }
        #rate.-constant { width: 32; }
        #throughput { display: none; }
        &.-no-picture #tables { height: 38%; max-height: 13; }
    }
    ConsolePanes.-no-picture #lower { layout: horizontal; width: 3fr; }
    ConsolePanes.-no-picture #layers { width: 3fr; height: 1fr; max-height: 100%; }
    ConsolePanes.-no-picture #log { width: 2fr; }
    .-wide ConsolePanes #lower { width: 1fr; }
    .-wide ConsolePanes #loss, .-wide ConsolePanes #accuracy { width: 1fr; }
    .-tall ConsolePanes #right { height: 8; }
    .-tall ConsolePanes #tables { height: 36%; min-height: 21; max-height: 100%; }
    .-short ConsolePanes #right, .-flat ConsolePanes #right { display: none; }
    .-short ConsolePanes #tables, .-short ConsolePanes #lower, .-short ConsolePanes #layers {
        height: auto; max-height: 8; width: 1fr;
    }
    .-short ConsolePanes #log, .-short ConsolePanes #picture, .-tiny ConsolePanes #log { display: none; }
    .-flat ConsolePanes #tables, .-tiny ConsolePanes #right, .-tiny ConsolePanes #accuracy { display: none; }
    .-narrow.-short ConsolePanes #accuracy, .-narrow.-flat ConsolePanes #accuracy { display: none; }
    .-narrow.-tall ConsolePanes #left { layout: vertical; }
    .-narrow.-medium ConsolePanes #loss, .-narrow.-tall ConsolePanes #loss,
    .-narrow.-medium ConsolePanes #accuracy, .-narrow.-tall ConsolePanes #accuracy { width: 1fr; }
    .-narrow ConsolePanes #machine, .-narrow ConsolePanes #picture, .-tiny ConsolePanes #picture { display: none; }
    .-narrow.-medium ConsolePanes #tables { layout: vertical; }
    .-narrow.-tall ConsolePanes #tables { layout: vertical; height: 15; }
    .-narrow.-medium ConsolePanes #lower, .-narrow.-tall ConsolePanes #lower {
        layout: vertical; height: 1fr; width: 1fr;
    }
    .-narrow.-medium ConsolePanes #layers,
    .-narrow.-tall ConsolePanes #layers { height: auto; max-height: 8; width: 1fr; }
    .-narrow.-medium ConsolePanes #log, .-narrow.-tall ConsolePanes #log { height: 1fr; width: 1fr; }
    ConsolePanes.-lab #charts { layout: horizontal; }
    ConsolePanes.-lab #left, ConsolePanes.-lab #right { layout: vertical; height: 1fr; width: 1fr; display: block; }
    ConsolePanes.-lab #loss, ConsolePanes.-lab #accuracy { width: 1fr; }
    ConsolePanes.-lab #pictures { height: 3fr; }
    ConsolePanes.-lab #charts { height: 2fr; }
    ConsolePanes.-lab #lower, ConsolePanes.-lab #layers { width: 1fr; height: auto; max-height: 100%; }
    ConsolePanes.-lab #tables { height: auto; max-height: 14; }
    ConsolePanes.-lab #tables LayerTable { height: auto; max-height: 14; }
    ConsolePanes.-lab Chart { width: 1fr; }
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
    ConsolePanes .-picked, .-short ConsolePanes #right.-wanted { display: block !important; }
    ConsolePanes .-away, ConsolePanes.-one .-away { display: none !important; }
    ConsolePanes.-one .-alone {
        display: block !important; width: 1fr !important; height: 1fr !important; max-height: 100% !important;
    }
    ConsolePanes.-one #lower.-detailed { layout: vertical !important; }
    ConsolePanes.-one .-detailed #layers { height: auto !important; max-height: 50% !important; }
    .-flat ConsolePanes LayerCharts { display: none; }
    .-short ConsolePanes LayerCharts #weight_norm, .-short ConsolePanes LayerCharts #dead { display: none; }
    """

    def __init__(
        self,
        liked: "Settings",
        watch: Sequence[str] | None = None,
        pictures: Widget | None = None,
        picture: Widget | None = None,
    ) -> None:
        """watch: of a lab, the charts that it is about; they alone are shown. pictures: stand beside them.

        picture: the live picture of a board, with the id "picture".
        """
        super().__init__()
        self._liked, self._watch, self._pictures, self._picture = liked, watch, pictures, picture
        self.alone: str | None = None  # the pane that is shown alone
        self.chosen: list[str] = []  # the panels that a person has chosen, in their order; none for the usual ones
        self._own: dict[str, Chart] = {}  # charts of other curves than the usual ones, by the curve
        self._no_accuracy = False
        of_lab = [WATCHED[name] for name in watch or () if name in WATCHED]
        charts = [name for name in of_lab if name not in TABLES] or ["loss"]
        tables = [name for name in of_lab if name in TABLES]
        self._wanted = USUAL if watch is None else (*charts, *tables)
        self.set_class(watch is not None, "-lab")
        self.set_class(True, "-no-picture")  # a board does not know yet whether its run has one

    def compose(self) -> ComposeResult:
        with Container(id="charts"):
            with Container(id="left"):
                yield from (self._chart(name, title) for name, title in LEFT.items())
            with Container(id="right"):
                yield from (self._chart(name, title) for name, title in RIGHT.items())
                yield MachinePanel(id="machine", number=self._number("machine"))
        with Horizontal(id="tables"):
            with Container(id="lower"):
                yield LayerTable(id="layers", number=self._number("layers"))
                yield RunLog(id="log", number=self._number("log"))
            if self._picture is not None:
                yield self._picture
        if self._pictures is not None:
            yield self._pictures

    def _chart(self, name: str, title: str) -> Chart:
        smoothing = None if name == "rate" else self._liked.smoothing
        log = self._liked.log_y and name in ("loss", "gradient")
        fits, number = name in LEFT, self._number(name)
        return Chart(_(title), smoothing=smoothing, log_y=log, fits=fits, number=number, id=name)

    def _number(self, name: str) -> int | None:
        """The digit that shows a panel of a board alone."""
        return DIGITS.get(name) if self._watch is None else None

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

    def choose(self, panels: Sequence[str]) -> None:
        """Show these panels in this order, those of the user's own having charts already; none for the usual ones."""
        self.chosen = list(panels)
        there = [self.pane_of(panel) for panel in panels]
        for holder in ("#left", "#right"):
            first = self.query_one(holder)
            inside = [child for child in first.children if child.id in there]
            inside.sort(key=lambda child: there.index(str(child.id)))
            for before, child in pairwise(inside):
                first.move_child(child, after=before)
        self.show_alone(None)

    def _picked(self) -> list[str]:
        """Return the panes of the chosen panels that there is room for, the first ones of each row."""
        size = self.query_one("#charts").size
        wide, high = max(1, size.width // LEAST_WIDTH), max(1, size.height // LEAST_CHART)
        left, right = self._columns()
        there = [self.pane_of(panel) for panel in self.chosen]
        room = max(wide, high) if self.screen.has_class("-narrow") else wide
        return [
            *[pane for pane in there if pane in left][:room],
            *[pane for pane in there if pane in right][:wide],
            *[pane for pane in there if pane in (*TABLES,) and pane != "machine"],
        ]

    def _columns(self) -> tuple[list[str], list[str]]:
        """Return the ids of the panels of the upper row and of the strips."""
        own = [str(chart.id) for chart in self._own.values()]
        return [*LEFT, *own[::2]], [*RIGHT, "machine", *own[1::2]]

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
        wanted = picked or self._wanted
        left, right = self._columns()
        lower = ["layers", "log"]
        below = [*lower, "picture"] if self._picture is not None else lower
        for pane in (*left, *right, *below):
            away = name != pane if name is not None else pane not in wanted
            away = away or (pane == "accuracy" and self._no_accuracy)
            widget = self.query_one(f"#{pane}")
            widget.set_class(away, "-away")
            widget.set_class(name == pane, "-alone")
            widget.set_class(pane in picked and not away, "-picked")
            widget.set_class(self._watch is not None and name is None and pane != first, "-second")
        shown = wanted if name is None else (name,)
        holders = {
            "charts": [*left, *right], "left": left, "right": right, "tables": below, "lower": lower,
        }  # fmt: skip
        for holder, panes in holders.items():
            inside = [pane for pane in shown if pane in panes and not (pane == "accuracy" and self._no_accuracy)]
            self.query_one(f"#{holder}").set_class(not inside, "-away")
            self.query_one(f"#{holder}").set_class(name in panes, "-alone")
            self.query_one(f"#{holder}").set_class(bool(set(inside) & set(picked)), "-picked")
        for column, panes in (("left", left), ("right", right)):
            is_empty = self._watch is not None and name is None and not picked and first not in panes
            self.query_one(f"#{column}").set_class(is_empty, "-second")  # it would take half of a small screen
        if name is None:  # where neither a chart nor a strip is wanted, the tables take the room
            self.query_one("#tables").set_class(not set(shown) & {*left, *right}, "-alone")
        if self._pictures is not None:
            self._pictures.set_class(name is not None, "-away")

    def detail(self, layer: str | None, sources: Panes, now: "Snapshot") -> None:
        """Show the charts of a layer below the table of layers, where that stands alone; None for no charts."""
        below = self.query_one("#lower")
        shown = next(iter(below.query(LayerCharts)), None)
        below.set_class(layer is not None, "-detailed")
        if layer is None:
            if shown is not None:
                shown.remove()
        elif shown is None:
            below.mount(LayerCharts(sources, layer))
        else:
            if shown.layer_name != layer:
                shown.show(layer)
            shown.draw(now)

    def has_picture(self, there: bool) -> None:
        """Take the room of the picture where the run has none."""
        if self._picture is not None and self.has_class("-no-picture") == there:
            self.set_class(not there, "-no-picture")
