"""One layer of the model: the history of its statistics, and the distribution of its numbers."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from descent.common.i18n import N_, _
from descent.common.numbers import percent, short_number
from descent.run.folder import RunFolder
from tui.data.histograms import Histograms
from tui.data.snapshot import LayerRow, Snapshot
from tui.pictures.layer_histograms import LayerHistograms
from tui.screens.console.base import SideScreen
from tui.widgets.chart_sources import Panes
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.layer_charts import LayerCharts, row_of
from tui.widgets.layer_table import update_ratio
from tui.widgets.lines import Line, Lines, Piece, cut, width_of
from tui.widgets.top_line import TopLine


class LayerLine(Lines):
    """The layer's name, kind and latest numbers."""

    DEFAULT_CSS = "LayerLine { height: 1; padding: 0 1; }"

    row: LayerRow | None = None

    def show(self, row: LayerRow | None) -> None:
        self.row = row
        self.show_lines()

    def lines(self, width: int, height: int) -> list[Line]:
        row = self.row
        if row is None:
            return [()]
        sign, word, style = row.ratio_sign
        name, kind = Piece(_("layer {name}", name=row.name), "strong"), Piece(f"  {row.kind}", "quiet")
        numbers = (
            Piece("   |grad| ", "quiet"),
            Piece(short_number(row.grad_norm)),
            Piece("   |w| ", "quiet"),
            Piece(short_number(row.weight_norm)),
            Piece("   update/w ", "quiet"),
            Piece(update_ratio(row)),
            Piece(f" {sign} {_(word) if word else ''}", style),
            Piece(f"   {_('dead')} ", "quiet"),
            Piece(percent(row.dead, 0)),
        )
        whole = (name, kind, *numbers)
        return [whole if width_of(whole) <= width else cut((name, *numbers), width)]


class Layer(SideScreen):
    """Charts and histograms of one layer, or one of both on a low screen. Up and down show its neighbours.

    The histograms are those of the whole run over time, or the latest ones.
    """

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal")]  # noqa: RUF012 - Textual's own
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", N_("back to the console"), show=False, id="layer.back"),
        Binding("up,k", "other(-1)", N_("previous layer"), show=False, id="layer.before"),
        Binding("down,j", "other(1)", N_("next layer"), show=False, id="layer.after"),
        Binding("h", "turn", N_("histograms over time / latest / history"), show=False, id="layer.turn"),
        Binding("enter,r", "ask", N_("new histograms now"), show=False, id="layer.ask"),
    ]
    DEFAULT_CSS = """
    Layer {
        LayerCharts { height: 3fr; }
        LayerHistograms { height: 2fr; }
    }
    Layer.-low LayerHistograms, Layer.-low.-turned LayerCharts { display: none; }
    Layer.-low.-turned LayerHistograms { display: block; }
    Layer.-narrow LayerCharts { grid-size: 1; }
    """

    def __init__(self, folder: RunFolder, sources: Panes, now: Snapshot, name: str) -> None:
        """sources: of the curves. now: the latest snapshot of the run. name: of the layer."""
        super().__init__()
        self._sources, self._now, self._layer = sources, now, name
        self._histograms = Histograms(folder)
        self._asking = False
        self._over_time = True

    def compose(self) -> ComposeResult:
        yield TopLine()
        yield LayerLine()
        yield LayerCharts(self._sources, self._layer)
        yield LayerHistograms()
        yield KeyLine()

    async def on_mount(self) -> None:
        self.draw(self._now)
        self._show_keys()
        await self._histograms.look()
        await self._histograms.follow()
        self._show_histograms()
        self._show_keys()
        if self._now.is_alive or self._histograms.is_older_than(max(self._now.checkpoints, default=0)):
            self.action_ask()

    def _show_keys(self) -> None:
        keys = [Hint("↑ ↓", _("other layers"), "other(1)")]
        if turns_to := self._turns_to():
            keys.append(Hint("h", turns_to, "turn"))
        if not self.app.read_only:
            keys.append(Hint("enter", _("new histograms"), "ask"))
        keys += [Hint("esc", _("back"), "app.pop_screen"), Hint("?", _("help"), "app.help")]
        self.query_one(KeyLine).show(keys)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_keys)

    @property
    def _has_history(self) -> bool:
        history = self._histograms.history
        return history is not None and len(history.steps) > 0

    def _turns_to(self) -> str:
        """Return what `h` shows: histograms over time, the latest ones, the charts on a low screen, or nothing."""
        is_low, on_histograms = self.has_class("-low"), not self.has_class("-low") or self.has_class("-turned")
        if is_low and on_histograms and not (self._has_history and self._over_time):
            return _("history")
        if on_histograms and not self._has_history:
            return ""
        return _("latest histograms") if on_histograms and self._over_time else _("histograms")

    def action_turn(self) -> None:
        to = self._turns_to()
        if to:
            self.set_class(self.has_class("-low") and to != _("history"), "-turned")
            self._over_time = to != _("latest histograms")
            self._show_histograms()
            self._show_keys()

    def action_ask(self) -> None:
        if not self.app.read_only and not self._asking:
            self._asking = True
            self.run_worker(self._ask(), group="histograms")

    async def _ask(self) -> None:
        """Ask for new histograms. They change nothing in the run."""
        self._show_histograms()
        try:
            await self._histograms.ask()
        finally:
            self._asking = False
            self._show_histograms()

    def _show_histograms(self) -> None:
        for view in self.query(LayerHistograms) if self.is_attached else ():  # it may have been left meanwhile
            view.show(self._histograms, self._layer, over_time=self._over_time, asking=self._asking)

    def _choose(self, name: str) -> None:
        self._layer = name
        self._show_histograms()
        self.query_one(LayerCharts).show(name)
        self.draw(self._now)

    def draw(self, now: Snapshot) -> None:
        self._now = now
        super().draw(now)
        for line in self.query(LayerLine):  # a snapshot may come before all parts are there, or while they leave
            line.show(row_of(now, self._layer))
        for charts in self.query(LayerCharts):
            charts.draw(now)
        if self._histograms.is_due():
            self.run_worker(self._follow(), group="history")

    async def _follow(self) -> None:
        """Show what a live run has recorded meanwhile."""
        if await self._histograms.follow():
            self._show_histograms()
            self._show_keys()

    def action_other(self, by: int) -> None:
        names = [row.name for row in self._now.layers]
        if names:
            self._choose(names[(names.index(self._layer) + by) % len(names)])
