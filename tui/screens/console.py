"""The console of one run, live or ended. Leaving it never ends the run."""

from textual.app import ComposeResult
from textual.message import Message
from textual.screen import ModalScreen

from engine.run import RunFolder
from tui.charts.panes import Panes
from tui.reading.reader import Reader
from tui.reading.snapshot import Snapshot
from tui.screens.console_keys import ConsoleKeys
from tui.screens.side import SideScreen
from tui.widgets.chart import Chart
from tui.widgets.deck import Deck
from tui.widgets.key_line import KeyLine
from tui.widgets.layer_table import LayerTable
from tui.widgets.run_log import RunLog
from tui.widgets.status_line import Notice, StatusLine
from tui.widgets.top_line import TopLine


class Console(ConsoleKeys):
    """Watches a run and steers it."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual's own
        (0, "-tiny"), (60, "-narrow"), (100, "-normal"), (160, "-wide"),
    ]  # fmt: skip
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-flat"), (16, "-short"), (30, "-medium"), (50, "-tall"),
    ]  # fmt: skip

    class Seen(Message):
        """The reader has taken a new snapshot."""

        def __init__(self, snapshot: Snapshot) -> None:
            super().__init__()
            self.snapshot = snapshot

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder)
        self._turn = 0  # which half of the screen is drawn next, where they take turns

    def compose(self) -> ComposeResult:
        # Before there is anything to style: Textual asks at the first resize, and then styles all of it once more.
        width, height = self.app.size
        for breakpoints, length in ((self.HORIZONTAL_BREAKPOINTS, width), (self.VERTICAL_BREAKPOINTS, height)):
            self.add_class(max(found for found in breakpoints if found[0] <= length)[1], update=False)
        yield TopLine(id="top")
        yield from self.compose_middle()
        yield StatusLine(id="status")
        yield KeyLine(id="keys")

    def compose_middle(self) -> ComposeResult:
        """What stands between the top line and the status line: at least a Deck."""
        yield Deck(self.descent.settings)

    def on_mount(self) -> None:
        self.reader = Reader(self.folder, self.descent.terminal.fps, lambda now: self.post_message(self.Seen(now)))
        self.panes = Panes(self.reader)
        for chart in self.query(Chart):
            assert chart.id is not None
            chart.source = self.panes.source(chart.id, chart)
        self.query_one(StatusLine).offers_help = not self.descent.read_only
        self.reader.start()

    def on_unmount(self) -> None:
        if self.reader is not None:
            self.reader.end()

    # --- frames ---

    def on_console_seen(self, message: Seen) -> None:
        """Draw a snapshot; then the reader may take the next."""
        before, self.snapshot = self.snapshot, message.snapshot
        self.settle()
        assert self.reader is not None
        now = message.snapshot
        if not self.is_whole:
            return
        self.deck.leave_out_accuracy(not now.has_accuracy)
        try:
            self.draw(now)
        finally:
            self.reader.shown()
        changed = before is None or (before.state, before.anomaly, before.checkpoints, before.host) != (
            now.state, now.anomaly, now.checkpoints, now.host,
        )  # fmt: skip
        if changed:
            self.refresh_bindings()
            self.show_hints()
            self.notice_anomaly()

    def draw(self, now: Snapshot) -> None:
        if self.reader is None or not self.is_whole:
            return
        # Over SSH, while numbers stream in, half of the screen at a time: the line is what limits it.
        in_turns = self.descent.terminal.ssh and now.state == "running"
        self._turn = 1 - self._turn
        if self._turn or not in_turns:
            self.query_one(TopLine).show(now)
        self.query_one(StatusLine).show(now)
        layers = self.query_one(LayerTable)
        layers.show(now)
        if layers.on_screen != tuple(self.reader.trends):
            self.reader.trends = layers.on_screen
            self.reader.look_now()
        self.query_one(RunLog).show(now)
        top = self.app.screen
        if top is self or isinstance(top, ModalScreen):
            for at, chart in enumerate(chart for chart in self.deck.charts if chart.display):
                if not in_turns or at % 2 == self._turn or not chart.data.lines:
                    chart.keep_up(now.step, now.news)
        elif isinstance(top, SideScreen) and top.is_on(self) and top.is_whole:
            top.draw(now)

    def on_screen_suspend(self) -> None:
        """Another screen lies over this one. Under a dialog, or a screen on the same run, reading goes on."""
        self.call_later(self._look_if_seen)

    def on_screen_resume(self) -> None:
        self._look_if_seen()
        self.notice_anomaly()  # one may have come while a dialog was open

    def _look_if_seen(self) -> None:
        if self.reader is not None:
            top = self.app.screen
            seen = top is self or isinstance(top, ModalScreen) or (isinstance(top, SideScreen) and top.is_on(self))
            self.reader.look(seen)

    def say(self, notice: Notice) -> None:
        if self.is_attached and self.query(StatusLine):
            self.query_one(StatusLine).say(notice)
            if self.reader is not None:
                self.reader.look_now()

    def rate_of_one(self) -> float | None:
        plan = self.reader.camera.plan if self.reader is not None and self.reader.camera is not None else None
        if plan is None or self.snapshot is None or not plan.hand:
            return None
        return plan.rate(self.snapshot.step) / plan.hand

    def on_chart_changed(self, message: Chart.Changed) -> None:
        """Charts beside each other show the same stretch, equally smooth."""
        for chart in self.query(Chart):
            if chart is not message.chart:
                chart.x_mode = message.chart.x_mode
                if chart.smooths and message.chart.smooths:
                    chart.smoothing = message.chart.smoothing

    def action_pictures(self) -> None:
        from tui.screens.pictures import Pictures

        self.app.push_screen(Pictures(self.folder, console=self))

    def on_layer_table_opened(self, message: LayerTable.Opened) -> None:
        from tui.screens.layer import Layer

        self.app.push_screen(Layer(self, message.name))
