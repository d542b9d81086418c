"""One layer of the model, closely: the history of each of its statistics."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid

from tui.reading.snapshot import LayerRow, Snapshot
from tui.screens.console import Console, SideScreen
from tui.widgets.chart import Chart
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.layer_table import share, three_digits
from tui.widgets.lines import Line, Lines, Piece, cut
from tui.widgets.top_line import TopLine

# Each statistic, its title, and what it tells.
STATISTICS = {
    "grad_norm": ("gradient norm", "near 0: nothing reaches this layer; growing: it may blow up"),
    "update_ratio": ("update / weight", "about 0.001 a step is usual"),
    "weight_norm": ("weight norm", "steady growth asks for weight decay"),
    "dead": ("dead units, share", "they pass no gradient"),
    "zero_grads": ("zero gradients, share", "weights that this step did not touch"),
}


class LayerLine(Lines):
    """The layer's name and kind, and its numbers now."""

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
        return [
            cut(
                (
                    Piece(f"layer {row.name}", "strong"),
                    Piece(f"  {row.kind}", "quiet"),
                    Piece("   |grad| ", "quiet"),
                    Piece(three_digits(row.grad_norm).rstrip()),
                    Piece("   |w| ", "quiet"),
                    Piece(three_digits(row.weight_norm).rstrip()),
                    Piece("   update/w ", "quiet"),
                    Piece(three_digits(row.update_ratio).rstrip()),
                    Piece(f" {sign} {word}", style),
                    Piece("   dead ", "quiet"),
                    Piece(share(row.dead)),
                ),
                width,
            )
        ]


class Layer(SideScreen):
    """Charts of one layer; up and down go to its neighbours."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal")]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "back to the console", show=False, id="layer.back"),
        Binding("up,k", "other(-1)", "the layer before", show=False, id="layer.before"),
        Binding("down,j", "other(1)", "the layer after", show=False, id="layer.after"),
    ]
    DEFAULT_CSS = """
    Layer {
        Grid { grid-size: 2; height: 1fr; }
    }
    Layer.-narrow Grid { grid-size: 1; }
    """

    def __init__(self, console: Console, name: str) -> None:
        super().__init__()
        self.console, self._layer = console, name

    def compose(self) -> ComposeResult:
        yield TopLine()
        yield LayerLine()
        with Grid():
            for statistic, (title, note) in list(STATISTICS.items())[:4]:
                yield Chart(f"{title}: {note}", smoothing=0.0, log_y=statistic == "update_ratio", id=statistic)
        yield KeyLine()

    def on_mount(self) -> None:
        self._choose(self._layer)
        keys = [Hint("↑ ↓", "other layers", "other(1)"), Hint("esc", "back", "app.pop_screen")]
        self.query_one(KeyLine).show([*keys, Hint("?", "help", "app.help")])

    def _choose(self, name: str) -> None:
        self._layer = name
        for chart in self.query(Chart):
            chart.source = self.console.panes.column(f"layer.{name}.{chart.id}", chart)
        if self.console.snapshot is not None:
            self.draw(self.console.snapshot)

    def draw(self, now: Snapshot) -> None:
        self.query_one(TopLine).show(now)
        self.query_one(LayerLine).show(next((row for row in now.layers if row.name == self._layer), None))
        for chart in self.query(Chart):
            chart.refresh_data()

    def action_other(self, by: int) -> None:
        names = [row.name for row in self.console.snapshot.layers] if self.console.snapshot is not None else []
        if names:
            self._choose(names[(names.index(self._layer) + by) % len(names)])
