"""The screen that compares runs: their curves in common charts, their results, and the settings that differ."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.screen import Screen

from descent.common.i18n import N_, _
from descent.run.comparison import Comparison
from descent.run.folder import RunFolder
from descent.run.result_metrics import values_on
from tui.base import CompareRuns, ConsoleApp, OpenRun
from tui.plot.chart_data import NOTHING, ChartData
from tui.plot.compare import Together, Which, overlaid
from tui.widgets.chart import X_MODES, Chart
from tui.widgets.compare_tables import Differences, Finals, WhoLine
from tui.widgets.key_line import Hint, KeyLine, written

BOTH_UP_TO = 2  # runs; of more, only the lines of validation are drawn at first
WHICH: tuple[Which, ...] = ("both", "train", "val")
LABELS = {
    "compare.open": N_("open"),
    "compare.tables": N_("settings"),
    "compare.back": N_("back"),
    "compare.which": N_("train/val"),
    "compare.log": N_("log axis"),
    "compare.smooth": N_("smooth"),
    "compare.x": N_("x axis"),
    "compare.zoom": N_("zoom"),
    "compare.choose": N_("other runs"),
    "app.help": N_("help"),
}


class Compare(Screen[None]):
    """Live runs keep growing here. Nothing is steered from this screen."""

    AUTO_FOCUS = "Finals"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012 - Textual's own
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-medium")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "tables", N_("settings that differ / results"), show=False, id="compare.tables"),
        Binding("v", "which", N_("lines of training, validation, or both"), show=False, id="compare.which"),
        Binding("l", "log", N_("log axis"), show=False, id="compare.log"),
        Binding("s", "smooth", N_("more smoothing"), show=False, id="compare.smooth"),
        Binding("t", "x_axis", N_("x axis: step, epoch, time or share"), show=False, id="compare.x"),
        Binding("z", "zoom", N_("one chart / both"), show=False, id="compare.zoom"),
        Binding("a", "choose", N_("compare other runs"), show=False, id="compare.choose"),
        Binding("escape,q,o", "back", N_("back"), show=False, id="compare.back"),
    ]
    DEFAULT_CSS = """
    Compare {
        #charts { height: 1fr; }
        Chart { width: 1fr; }
        #compare-tables { height: auto; layout: vertical; }
        .-away { display: none; }
    }
    Compare.-wide #compare-tables { layout: horizontal; }
    Compare.-wide Finals, Compare.-wide Differences { width: 1fr; }
    Compare.-short Differences.-behind, Compare.-short Finals.-behind { display: none; }
    """
    app: ConsoleApp

    class Seen(Message):
        """The runs were looked at, and something has changed."""

        def __init__(self, found: Comparison) -> None:
            super().__init__()
            self.found = found

    def __init__(self, folders: Sequence[RunFolder]) -> None:
        """folders: two to eight."""
        super().__init__()
        self.folders = tuple(folders)
        self._chosen: Which | None = None  # by the user
        self._together: Together | None = None
        self._found: Comparison | None = None

    def compose(self) -> ComposeResult:
        liked = self.app.settings
        yield WhoLine()
        with Horizontal(id="charts"):
            yield Chart(_("loss"), smoothing=liked.smoothing, log_y=liked.log_y, id="loss")
            yield Chart(_("accuracy %"), smoothing=liked.smoothing, id="accuracy")
        with Container(id="compare-tables"):
            yield Finals()
            yield Differences(classes="-behind")
        yield KeyLine()

    def on_mount(self) -> None:
        for chart in self.query(Chart):
            chart.x_modes = (*X_MODES, "share")
        together = Together(self.folders, self.app.terminal.fps, lambda found: self.post_message(self.Seen(found)))
        self._together = together
        self._source(self.query_one("#loss", Chart), together)
        self._source(self.query_one("#accuracy", Chart), together)
        together.start()

    def on_unmount(self) -> None:
        if self._together is not None:
            self._together.end()

    def on_screen_suspend(self) -> None:
        if self._together is not None:
            self._together.look(False)

    def on_screen_resume(self) -> None:
        if self._together is not None:
            self._together.look(True)

    # --- what is shown ---

    def _source(self, chart: Chart, together: Together) -> None:
        latest = [NOTHING]

        def source(dots: int, zoom: tuple[float, float] | None) -> ChartData:
            with together.looking() as followers:
                if followers is not None:
                    latest[0] = overlaid(
                        followers,
                        "loss" if chart.id == "loss" else "accuracy",
                        dots,
                        zoom,
                        chart.smoothing,
                        chart.x_mode,
                        which=self._which,
                        forks=self._forks,
                    )
            return latest[0]

        chart.source = source

    @property
    def _which(self) -> Which:
        """Return whose lines are drawn: what the user has chosen, or what can be told apart and is there."""
        if self._chosen is not None:
            return self._chosen
        if len(self.folders) <= BOTH_UP_TO:
            return "both"
        finals = self._found.finals if self._found is not None else ()
        return "val" if any(values_on(final.metrics, "validation") for final in finals) else "train"

    @property
    def _forks(self) -> list[int | None]:
        finals = self._found.finals if self._found is not None else ()
        return [final.parent[1] if final.parent is not None else None for final in finals]

    def on_compare_seen(self, message: Seen) -> None:
        if not self.query(KeyLine):  # the app is ending
            return
        self._found = message.found
        self.query_one(WhoLine).show(message.found)
        self._lay_out()
        self.query_one(Finals).show(message.found)
        self.query_one(Differences).show(message.found)
        self._draw()
        self._show_keys()

    def _draw(self) -> None:
        for chart in self.query(Chart):
            if chart.display:
                chart.refresh_data()
        with_accuracy = self._found is None or any(
            key.endswith("accuracy") for final in self._found.finals for key in final.metrics
        )
        if not with_accuracy and not self.query_one("#accuracy").has_class("-away"):
            self.query_one("#accuracy").add_class("-away")

    def _lay_out(self) -> None:
        """Set the heights of the tables: the results in full, the settings as far as the charts leave room."""
        finals, differences = self.query_one(Finals), self.query_one(Differences)
        height = self.size.height
        most = max(5, height // 3) if self.has_class("-medium") else max(5, height // 2)
        finals.styles.height = min(len(self.folders) + 3, height - 8)
        wanted = 3 + max(1, len(self._found.differences)) if self._found is not None else 5
        differences.styles.height = min(most, wanted)

    def on_resize(self) -> None:
        self._lay_out()
        self.call_after_refresh(self._show_keys)

    def _show_keys(self) -> None:
        keys: dict[str, tuple[str, str]] = {}
        for active in self.active_bindings.values():
            if active.enabled and active.binding.id:
                keys.setdefault(active.binding.id, (written(active.binding.key), active.binding.action))
        behind = self.query_one(Finals).has_class("-behind")
        labels = LABELS | {"compare.tables": N_("results") if behind else N_("settings")}
        if self.has_class("-medium"):
            labels.pop("compare.tables")  # both are shown
        self.query_one(KeyLine).show(
            [Hint(keys[i][0], _(label), keys[i][1]) for i, label in labels.items() if i in keys]
        )

    def on_descendant_focus(self) -> None:
        self.call_after_refresh(self._show_keys)

    # --- keys ---

    def action_tables(self) -> None:
        for table in (self.query_one(Finals), self.query_one(Differences)):
            table.toggle_class("-behind")
        front = self.query_one(Differences if self.query_one(Finals).has_class("-behind") else Finals)
        front.focus()
        self.call_after_refresh(self._show_keys)

    def action_which(self) -> None:
        self._chosen = WHICH[(WHICH.index(self._which) + 1) % len(WHICH)]
        self._draw()

    def action_log(self) -> None:
        self.query_one("#loss", Chart).action_log()

    def action_smooth(self) -> None:
        self.query_one("#loss", Chart).action_smooth()

    def action_x_axis(self) -> None:
        self.query_one("#loss", Chart).action_x_axis()

    def action_zoom(self) -> None:
        """Show the loss alone, then the accuracy alone, then both."""
        loss, accuracy = self.query_one("#loss"), self.query_one("#accuracy")
        if not loss.has_class("-away") and not accuracy.has_class("-away"):
            accuracy.add_class("-away")
        elif accuracy.has_class("-away"):
            accuracy.remove_class("-away")
            loss.add_class("-away")
        else:
            loss.remove_class("-away")
        self.call_after_refresh(self._draw)

    def action_choose(self) -> None:
        self.post_message(CompareRuns(self.folders, choose=True))

    def action_back(self) -> None:
        self.app.pop_screen()

    def on_finals_opened(self, message: Finals.Opened) -> None:
        self.post_message(OpenRun(message.final.folder))

    def on_chart_changed(self, message: Chart.Changed) -> None:
        """Keep both charts at the same x axis and smoothing."""
        for chart in self.query(Chart):
            if chart is not message.chart:
                chart.x_mode, chart.smoothing = message.chart.x_mode, message.chart.smoothing
