"""The console of one run, live or ended, and its keys. Leaving it never ends the run."""

import math
import time
from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.message import Message
from textual.screen import ModalScreen

from descent.common.i18n import N_, _, pgettext
from descent.common.numbers import trimmed
from descent.common.text import clean
from descent.run.epochs import RECENT
from descent.run.folder import RunFolder
from tui.base import CompareRuns, ShowNotice
from tui.data.chosen_charts import EVALUATED, SCALAR, chosen, remember
from tui.data.reader import Reader
from tui.data.snapshot import USUAL_RATIO, Snapshot
from tui.pictures.live import LabPictures
from tui.screens.console.base import Panel, SideScreen
from tui.screens.console.steering import SteeredScreen
from tui.screens.dialogs import Ask
from tui.widgets.chart import Chart
from tui.widgets.chart_sources import Panes
from tui.widgets.key_line import Hint, Hints, KeyLine, written
from tui.widgets.layer_table import LayerTable
from tui.widgets.machine_panel import MachinePanel
from tui.widgets.panes import DIGITS, LEFT, PANES, RIGHT, TABLES, USUAL, ConsolePanes
from tui.widgets.run_log import RunLog
from tui.widgets.status_line import StatusLine
from tui.widgets.top_line import TopLine
from tui.widgets.vitals import VitalsLine

# The first of these that a run can have are shown on its board, as many as there is room for.
ON_BOARD = ("boundary", "tally", "fit", "surface", "confusion", "mistakes", "gradients-by-layer")
PICTURE_EVERY = 4.0  # seconds between two looks for a new picture, which costs some 30 KB to the terminal

BENEATH = 3.0  # seconds between two frames beneath a dialog


class Console(SteeredScreen):
    """Watches a run and steers it. The keys that steer are SteeredScreen's."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual's own
        (0, "-tiny"), (60, "-narrow"), (100, "-normal"), (160, "-wide"),
    ]  # fmt: skip
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-flat"), (16, "-short"), (30, "-medium"), (50, "-tall"),
    ]  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d,q", "detach", N_("detach (training continues)"), show=False, id="console.detach"),
        Binding("escape", "back", N_("back"), show=False, id="console.back"),
        Binding("z", "zoom('')", N_("one chart / all charts"), show=False, id="console.zoom"),
        Binding("1", "zoom('loss')", N_("only the loss"), show=False, id="console.zoom1"),
        Binding("2", "zoom('accuracy')", N_("only the accuracy"), show=False, id="console.zoom2"),
        Binding("3", "zoom('rate')", N_("only the learning rate"), show=False, id="console.zoom3"),
        Binding("4", "zoom('gradient')", N_("only the gradient norm"), show=False, id="console.zoom4"),
        Binding("5", "zoom('machine')", N_("only the machine"), show=False, id="console.zoom5"),
        Binding("6", "zoom('layers')", N_("only the layers"), show=False, id="console.zoom6"),
        Binding("7", "zoom('log')", N_("only the log"), show=False, id="console.zoom7"),
        Binding("8", "zoom('picture')", N_("only the picture"), show=False, id="console.zoom8"),
        Binding("p", "charts", N_("which panels are shown, and their order"), show=False, id="console.charts"),
        Binding("left", "point(-1)", N_("cursor in all charts, to the left"), show=False, id="console.left"),
        Binding("right", "point(1)", N_("cursor in all charts, to the right"), show=False, id="console.right"),
        Binding("l", "output", N_("log / output of the worker"), show=False, id="console.output"),
        Binding("n", "member", N_("next member"), show=False, id="console.member"),
        Binding("o", "compare", N_("compare with other runs"), show=False, id="console.compare"),
        Binding("i", "pictures", N_("pictures of what was learned"), show=False, id="console.pictures"),
    ]

    class Seen(Message):
        """The reader has taken a new snapshot."""

        def __init__(self, snapshot: Snapshot) -> None:
            super().__init__()
            self.snapshot = snapshot

    class Unreadable(Message):
        """The reader can't take a snapshot now."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    def __init__(self, folder: RunFolder, panel: Panel | None = None) -> None:
        """panel: surrounds the charts and has keys of its own."""
        super().__init__(folder)
        self.panel = panel
        if panel is not None:
            keys = self._bindings.key_to_bindings | BindingsMap(panel.keys).key_to_bindings
            self._bindings = BindingsMap.from_keys(keys)
        self._pictures: LabPictures | None = None  # of a lab
        self._picture: LabPictures | None = None  # of a board
        self._side: SideScreen | None = None  # the one that was opened last
        self._knows_curves = False  # whether it is settled which curves are shown at first
        self._beneath: tuple[float, object] = (
            -math.inf,
            None,
        )  # when it was drawn beneath a dialog, and what was new
        self._goal: tuple[float | None, str] = (None, "step")  # the x that the board is to show, None for now
        self._turn = 0  # which half of the screen is drawn next, where they take turns

    @property
    def lab_id(self) -> str | None:
        """The lab that the run belongs to, if any."""
        return self.panel.lab_id if self.panel is not None else None

    @property
    def is_whole(self) -> bool:
        """Return whether all its parts exist. A message may come before they do, or after some are gone."""
        parts = (TopLine, VitalsLine, ConsolePanes, LayerTable, RunLog, StatusLine, KeyLine)
        there = list(self.walk_children())  # asked in every frame: a query for each took a fifth of it
        return all(any(isinstance(node, part) for node in there) for part in parts) and self.console_panes.is_whole

    @property
    def console_panes(self) -> ConsolePanes:
        return self.query_one(ConsolePanes)

    def meanings(self) -> list[tuple[str, str]]:
        """The signs and words on the console, with what they mean, for its help."""
        low, high = map(trimmed, USUAL_RATIO)
        return [
            ("●", _("usual update/w: {low} to {high} a step", low=low, high=high)),
            ("▲ ▼", _("larger / smaller update/w, while the loss does not fall (0: frozen or dead)")),
            ("|grad| |w|", _("norms of a layer's gradient and weights; trend: |grad|")),
            (_("dead"), _("share of units that pass no gradient, in one batch")),
            ("lr_scale", _("your factor: rate = optimizer.lr × schedule × lr_scale")),
            (_("train"), _("mean of the last epoch; while it trains, of {steps} steps at most", steps=RECENT)),
            (_("shade"), _("where most batches lie: about the 5th to the 95th percentile")),
            ("★", _("the best evaluation, and its checkpoint")),
            (_("best"), _("the checkpoint with the lowest validation loss")),
        ]

    # --- which keys work now ---

    def show_hints(self) -> None:
        """Show in the bottom line what the keys do now."""
        if not self.is_whole:
            return
        keys: dict[str, tuple[str, str]] = {}
        for active in self.active_bindings.values():
            if active.enabled and active.binding.id and active.binding.id not in keys:
                keys[active.binding.id] = written(active.binding.key), active.binding.action

        def working(hints: Hints) -> list[Hint]:
            found = [([keys[name] for name in ids if name in keys], label) for ids, label in hints]
            return [Hint(_shortened([key for key, _ in each]), label, each[0][1]) for each, label in found if each]

        only = [Hint(_("read-only"), "", "")] if self.app.read_only else []
        steering, own = self.steering_hints(), self._own_hints()
        if self.panel is not None:
            steering, own = self.panel.among_hints(steering, own)
            # The keys of the focused pane come after the first few, which are always wanted.
            hints = working([*steering[:4], *self._focused_hints(), *steering[4:], *own])
            self.query_one(KeyLine).show([*only, *hints])
            return
        *look, last = working([*self._focused_hints(), *own])
        steer = [*only, *working(steering)]
        if self.has_class("-flat") or not steer:
            self.query_one(KeyLine).show([*steer[:3], *look, last])
        else:
            rows = [(pgettext("keys", "steer"), steer), (pgettext("keys", "look"), [*look, last])]
            self.query_one(KeyLine).show_rows(rows)

    def on_resize(self) -> None:
        self.call_after_refresh(self.show_hints)  # whether there is room for the log

    def _focused_hints(self) -> Hints:
        match self.focused:
            case Chart():
                keys = {
                    "in": pgettext("zoom", "in"),
                    "out": pgettext("zoom", "out"),
                    "log": _("y axis"),
                    "smooth": _("smooth"),
                    "x": _("x axis"),
                }
                return [((f"chart.{name}",), label) for name, label in keys.items()]
            case RunLog():
                return [(("log.up", "log.down"), _("scroll")), (("log.first", "log.last"), _("first, last lines"))]
            case LayerTable():
                return [(("layers.open",), _("open")), (("layers.sort",), _("sort"))]
        return []

    def _own_hints(self) -> Hints:
        now = self.snapshot
        digits = tuple(f"console.zoom{digit}" for digit in DIGITS.values()) if self.panel is None else ()
        hints: Hints = [
            (("console.zoom",), _("all panels") if self.console_panes.alone is not None else _("zoom")),
            (("console.pictures",), _("pictures")),
            (digits, _("panel")),
            (("console.left", "console.right"), _("cursor")),
            (("console.compare",), _("compare")),
            (("console.output",), _("output") if self.query_one(RunLog).display else _("log")),
            (("console.charts",), _("panels")),
        ]
        if now is not None and now.members > 1:
            hints.insert(1, (("console.member",), _("member")))
        return [*hints, (("app.help",), _("help"))]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        now = self.snapshot
        match action, parameters:
            case "member", _:
                return now is not None and now.members > 1
            case "charts" | "point", _:
                return now is not None and self.panel is None
            case "zoom", (("accuracy" | "picture" | "machine") as pane,):
                has_picture = self._picture is not None and bool(self._picture.kinds)
                accuracy = now is not None and now.has_accuracy
                return {"accuracy": accuracy, "picture": has_picture, "machine": self.panel is None}[str(pane)]
            case "panel", (str(key),):
                return self.panel is not None and self.panel.can(key)
        return super().check_action(action, parameters)

    # --- one for each key ---

    def action_panel(self, key: str) -> None:
        """Press one of the panel's own keys."""
        assert self.panel is not None
        self.panel.press(key)

    def action_detach(self) -> None:
        if self.panel is not None and not self.panel.may_leave():
            return
        now = self.snapshot
        alive = now is not None and now.is_alive

        def chosen(where: str | None) -> None:
            if where == "home":
                self.app.pop_screen()
            elif where == "leave":
                self.app.exit()

        text = _("Training continues when you leave.") if alive else _("The run has ended. Its folder is kept.")
        choices = [
            ("h", _("back to all runs"), "home"),
            ("q", _("leave Descent"), "leave"),
            ("escape", _("stay"), ""),
        ]
        self.app.push_screen(Ask(_("leave this console?"), text, choices), chosen)

    def action_back(self) -> None:
        if self.panel is not None and self.panel.ask_to_stop():
            return
        is_past = self.reader is not None and self.reader.past is not None
        if is_past or any(chart.cursor is not None for chart in self.console_panes.charts):
            self._point(None, "step")
            self._go_to(None, "step")
        elif self.console_panes.alone is not None:
            self._zoom(None)
        elif self.focused is not None and not (self.panel is not None and self.panel.is_home(self.focused)):
            self.set_focus(None)
        else:
            self.app.pop_screen()

    def action_point(self, by: int) -> None:
        """Move the cursor in all charts by a cell of the first one."""
        charts = [chart for chart in self.console_panes.charts if chart.is_on_screen and chart.data.lines]
        if charts:
            charts[0].move_cursor(by)

    def on_chart_pointed(self, message: Chart.Pointed) -> None:
        """Show the cursor of one chart in all. That of the keys takes the whole board to its step."""
        self._point(message.x, message.unit, message.chart)
        if self.panel is None and not message.chart.is_hovering:
            self._go_to(message.x, message.unit)

    def _go_to(self, x: float | None, unit: str) -> None:
        """Show all numbers as they were at an x of the charts, or as they are now."""
        assert self.reader is not None
        self._goal = x, unit
        past = None
        if x is not None:
            past = self.panes.step_at(x, unit)
            if past is None:  # the reader is at work: a moment later it is not
                self.set_timer(0.05, lambda: self._go_to(*self._goal))
                return
        if past != self.reader.past:
            self.reader.past = past
            self.reader.look_now()

    def _point(self, x: float | None, unit: str, told: Chart | None = None) -> None:
        for chart in self.console_panes.charts:
            if chart is not told and (x is None or chart.data.x_unit == unit):
                chart.point(x)

    def action_zoom(self, name: str) -> None:
        if not name:
            focused = self.focused.id if self.focused is not None else None
            is_pane = focused in PANES or isinstance(self.focused, Chart)
            name = self.console_panes.alone or (focused if is_pane else "loss") or "loss"
        self._zoom(None if self.console_panes.alone == name else name)

    def _zoom(self, name: str | None) -> None:
        self.console_panes.show_alone(name)
        if self.panel is not None and name == "layers":
            self.panel.opened(name)
        self.set_focus(self.query_one(f"#{name}") if name is not None else None)
        self._detail()

    @on(LayerTable.Pointed)
    def _detail(self) -> None:
        """Show the charts of the layer under the cursor below the layers alone."""
        if self.snapshot is not None:
            layer = self.query_one(LayerTable).layer_name if self.console_panes.alone == "layers" else None
            self.console_panes.detail(layer, self.panes, self.snapshot)

    def action_charts(self) -> None:
        """Choose the curves that are shown, among the usual ones and those of the user's own."""
        from tui.screens.console.charts import Choice, ChooseCharts

        now = self.snapshot
        assert now is not None
        every = {**LEFT, **RIGHT, **TABLES}
        missing = [] if now.has_accuracy else ["accuracy"]
        missing += [] if self._picture is not None and bool(self._picture.kinds) else ["picture"]
        known = [name for name in self.console_panes.chosen if name in every]  # in their order
        titles = {name: _(every[name]) for name in [*known, *every] if name not in missing}
        titles |= {
            name: own_title(name)
            for name in [*self.panes.own_curves(), *self.console_panes.chosen]
            if name not in every
        }

        def taken(choice: Choice | None) -> None:
            if choice is None:
                return
            usual = [name for name in USUAL if name in titles]
            self._knows_curves = True  # else the next snapshot would choose, and undo what comes after
            has_own = len(titles) > len([name for name in titles if name in every])  # one of them is shown unasked
            remember(now.preset, choice.shown if has_own or choice.shown != usual else None)
            self._show_curves([] if choice.shown == usual else choice.shown)
            if choice.alone is not None:
                self._make_charts([choice.alone])
                self._zoom(self.console_panes.pane_of(choice.alone))

        marked = self.console_panes.chosen or [name for name in titles if name in USUAL]
        self.app.push_screen(ChooseCharts(list(titles.items()), marked), taken)

    def _show_chosen(self, now: Snapshot) -> None:
        """Show the curves that were chosen for runs of this kind, or else the first of the user's own there is."""
        if self._knows_curves:
            return
        names = chosen(now.preset)
        if names is None:
            own = self.panes.own_curves() if now.is_exact is not None else []  # of a loop of one's own
            if not own:
                return
            names = [name for name in USUAL if name not in ("picture", "accuracy")]
            names[1:1] = ["accuracy", own[0]] if now.has_accuracy else [own[0]]
        self._knows_curves = True
        self._show_curves([] if tuple(names) == USUAL else names)

    def _show_curves(self, names: Sequence[str]) -> None:
        self._make_charts(names)
        self.console_panes.choose(names)
        self.call_after_refresh(lambda: self.draw(self.snapshot) if self.snapshot is not None else None)

    def _make_charts(self, names: Sequence[str]) -> None:
        """Make the charts of the curves of the user's own that have none yet."""
        for name in names:
            if name not in PANES:
                chart = self.console_panes.own_chart(name, own_title(name))
                chart.source = self.panes.source(name, chart)

    def action_output(self) -> None:
        assert self.reader is not None
        log = self.query_one(RunLog)
        if log.display:
            self.reader.wants_output = log.toggle_output()
            if not log.shows_output and self.console_panes.alone == "log":
                self._zoom(None)
            else:
                self.set_focus(log)  # so that its keys scroll
        else:  # no room beside the charts: first the log, then the output, then the charts again
            self._zoom("log")
        self.reader.look_now()

    def action_member(self) -> None:
        now = self.snapshot
        if now is None or self.reader is None:
            return
        before = self.reader.member
        self.reader.member = 0 if before is None else before + 1 if before + 1 < now.members else None
        self.reader.look_now()

    def on_layer_table_member_picked(self, message: LayerTable.MemberPicked) -> None:
        if self.reader is not None:
            self.reader.member = message.member
            self.reader.look_now()

    def action_compare(self) -> None:
        self.post_message(CompareRuns([self.folder]))

    # --- its parts ---

    def compose(self) -> ComposeResult:
        # Textual would set these at the first resize and then style everything a second time.
        width, height = self.app.size
        for breakpoints, length in ((self.HORIZONTAL_BREAKPOINTS, width), (self.VERTICAL_BREAKPOINTS, height)):
            self.add_class(max(found for found in breakpoints if found[0] <= length)[1], update=False)
        yield TopLine(id="top")
        yield VitalsLine(id="vitals")
        if self.panel is None:
            self._picture = LabPictures(self.folder, ON_BOARD, number=DIGITS["picture"], every=PICTURE_EVERY)
            yield ConsolePanes(self.app.settings, picture=self._picture)
        else:
            watched = self.panel.watched
            self._pictures = LabPictures(self.folder, watched)
            yield self.panel.around(ConsolePanes(self.app.settings, watched, self._pictures), self.folder)
        yield StatusLine(id="status")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        self.reader = Reader(
            self.folder,
            self.app.terminal.fps,
            lambda now: self.post_message(self.Seen(now)),
            lambda why: self.post_message(self.Unreadable(why)),
        )
        self.panes = Panes(self.reader)
        for chart in self.query(Chart):
            assert chart.id is not None
            chart.source = self.panes.source(chart.id, chart)
        self.query_one(VitalsLine).offers_help = not self.app.read_only
        self.bindings_updated_signal.subscribe(self, lambda _: self.show_hints())
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
        self.console_panes.leave_out_accuracy(not now.has_accuracy)
        if self.panel is None:
            self._show_chosen(now)
        try:
            self.draw(now)
        finally:
            self.reader.shown()
        changed = before is None or (before.state, before.anomaly, before.checkpoints, before.host) != (
            now.state, now.anomaly, now.checkpoints, now.host,
        )  # fmt: skip
        if changed:
            self.refresh_bindings()
            if self.panel is not None and now.layers and self.query_one(LayerTable).size.height:
                self.panel.opened("layers")  # it is on the board of this lab
            self.notice_anomaly()

    def on_console_unreadable(self, message: Unreadable) -> None:
        text = _("the run {run} can't be read: {why}", run=self.folder.id, why=message.why)
        self.app.tell(text, trouble=True, seconds=15)

    def draw(self, now: Snapshot) -> None:
        if self.reader is None or not self.is_whole:
            return
        top = self.app.screen
        if self._side is not None and top is self._side:  # which covers all of this
            if self._side.is_whole:
                self._side.draw(now)
            return
        if isinstance(top, ModalScreen):
            # Textual sends the whole screen again for whatever changes beneath a dialog.
            news = now.state, now.anomaly, now.checkpoints
            if news == self._beneath[1] and time.monotonic() - self._beneath[0] < BENEATH:
                return
            self._beneath = time.monotonic(), news
        # Over SSH, while numbers stream in, half of the screen at a time: the line is what limits it.
        in_turns = self.app.terminal.ssh and now.state == "running"
        self._turn = 1 - self._turn
        if self._turn or not in_turns:
            self.query_one(TopLine).show(now)
            self.query_one(VitalsLine).show(now)
        self.query_one(StatusLine).show(now)
        layers = self.query_one(LayerTable)
        layers.show(now)
        if layers.on_screen != tuple(self.reader.trends):
            self.reader.trends = layers.on_screen
            self.reader.look_now()
        self._detail()
        self.query_one(RunLog).show(now)
        if self._pictures is not None:
            self._pictures.draw(now)
        self._draw_board(now)
        if top is self or isinstance(top, ModalScreen):
            self._draw_charts(now, in_turns=in_turns)

    def _draw_board(self, now: Snapshot) -> None:
        """Draw what only the board of a run has."""
        if self._picture is not None:
            self._picture.draw(now)
            self.console_panes.has_picture(bool(self._picture.kinds))
            machine = self.query_one(MachinePanel)
            machine.show(now)
            self.query_one(StatusLine).shows_machine = not machine.region.area

    def _draw_charts(self, now: Snapshot, *, in_turns: bool) -> None:
        late = False
        stacked = [chart for chart in self.console_panes.charts if chart.id in LEFT and chart.is_on_screen]
        widest = max((chart.own_labels for chart in stacked), default=0) if self.has_class("-narrow") else 0
        for chart in stacked:
            chart.least_labels = widest
        for at, chart in enumerate(chart for chart in self.console_panes.charts if chart.display):
            if not in_turns or at % 2 == self._turn or not chart.data.lines:
                late = not chart.keep_up(now.step, now.news, is_last=not now.is_alive) or late
        if late and not now.is_alive:  # the reader was at work: no further frame may come
            self.set_timer(0.1, lambda: self.draw(now) if self.snapshot is now else None)

    def on_screen_suspend(self) -> None:
        """Go on reading only under a dialog, or under a screen on the same run."""
        self.call_later(self._look_if_seen)

    def on_screen_resume(self) -> None:
        self._look_if_seen()
        if self.snapshot is not None:
            self.draw(self.snapshot)  # what came while another screen was on top
        self.notice_anomaly()  # one may have come while a dialog was open

    def _look_if_seen(self) -> None:
        if self.reader is not None:
            top = self.app.screen
            self.reader.look(top in (self, self._side) or isinstance(top, ModalScreen))

    def on_show_notice(self, message: ShowNotice) -> None:
        self.say(message.notice)

    def on_chart_changed(self, message: Chart.Changed) -> None:
        """Keep all charts at the same x axis and smoothing."""
        for chart in self.query(Chart):
            if chart is not message.chart:
                chart.x_mode = message.chart.x_mode
                if chart.smooths and message.chart.smooths:
                    chart.smoothing = message.chart.smoothing

    def on_lab_pictures_shown(self, message: LabPictures.Shown) -> None:
        self.refresh_bindings()  # the picture's digit works now

    def action_pictures(self) -> None:
        from tui.screens.console.pictures import Pictures

        self._open(
            Pictures(self.folder, now=self.snapshot, opened=self.panel.opened if self.panel is not None else None)
        )

    def on_layer_table_opened(self, message: LayerTable.Opened) -> None:
        from tui.screens.console.layer import Layer

        assert self.snapshot is not None  # the table shows layers of a snapshot
        self._open(Layer(self.folder, self.panes, self.snapshot, message.name))

    def _open(self, side: SideScreen) -> None:
        self._side = side
        self.app.push_screen(side)


def _shortened(keys: Sequence[str]) -> str:
    """Digits in a row as 1–8."""
    if len(keys) > 2 and all(key.isdigit() for key in keys):
        return f"{keys[0]}–{keys[-1]}"
    return " ".join(keys)


def own_title(curve: str) -> str:
    """Return the title of a chart of the user's own: of a metric "val f1", of a scalar its name."""
    if curve.startswith(EVALUATED):
        return f"{_('val')} {clean(curve.removeprefix(EVALUATED))}"
    return clean(curve.removeprefix(SCALAR))
