"""The panes of a console: charts, layers and log, as many as the terminal has room for, or one alone."""

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

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
    ConsolePanes .-away, ConsolePanes.-one .-away { display: none !important; }
    ConsolePanes.-one .-alone {
        display: block !important; width: 1fr !important; height: 1fr !important; max-height: 100% !important;
    }
    """

    def __init__(self, liked: "Settings") -> None:
        super().__init__()
        self._liked = liked
        self.alone: str | None = None  # the pane that is shown alone
        self._no_accuracy = False

    def compose(self) -> ComposeResult:
        with Horizontal(id="charts"):
            with Vertical(id="left"):
                yield from (self._chart(name, title) for name, title in LEFT.items())
            with Vertical(id="right"):
                yield from (self._chart(name, title) for name, title in RIGHT.items())
        with Horizontal(id="tables"):
            yield LayerTable(id="layers")
            yield RunLog(id="log")

    def _chart(self, name: str, title: str) -> Chart:
        smoothing = None if name == "rate" else self._liked.smoothing
        return Chart(_(title), smoothing=smoothing, log_y=self._liked.log_y and name in ("loss", "gradient"), id=name)

    @property
    def is_whole(self) -> bool:
        """Whether all its charts are there. As the app ends, they are removed one by one."""
        return len(self.charts) == len(LEFT) + len(RIGHT)

    @property
    def charts(self) -> list[Chart]:
        return self.walk_children(Chart)

    def leave_out_accuracy(self, wanted: bool) -> None:
        """Hide the accuracy of a run that has no classes, or whose task is not known yet."""
        if wanted != self._no_accuracy:
            self._no_accuracy = wanted
            self.show_alone(self.alone)

    def show_alone(self, name: str | None) -> None:
        """Show one of PANES alone, or all that have room."""
        self.alone = name
        self.set_class(name is not None, "-one")
        for pane in PANES:
            away = name not in (None, pane) or (pane == "accuracy" and self._no_accuracy)
            self.query_one(f"#{pane}").set_class(away, "-away")
            self.query_one(f"#{pane}").set_class(name == pane, "-alone")
        for holder, panes in (("charts", (*LEFT, *RIGHT)), ("left", LEFT), ("right", RIGHT), ("tables", TABLES)):
            self.query_one(f"#{holder}").set_class(name is not None and name not in panes, "-away")
            self.query_one(f"#{holder}").set_class(name in panes, "-alone")
