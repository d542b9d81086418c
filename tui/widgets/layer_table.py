"""The layers of the model, one on each line: the size of its gradient, weights and updates, and what is wrong."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from descent.common.glyphs import ascii_cells, level
from descent.common.i18n import N_, _, ngettext
from descent.common.numbers import align, number, percent, scientific, short_number
from tui.data.candidates import Standing
from tui.data.snapshot import TREND, USUAL_RATIO, LayerRow, Snapshot
from tui.plot.canvas import RUNS
from tui.widgets.leaderboard import leaderboard
from tui.widgets.lines import Line, Lines, Piece, fitted, numbered

ROOMY = 66  # cells of the table from which on its border has room for what the signs mean
SHORTEST_KIND = 10  # cells; a kind that is cut further says nothing
ORDERS = ("model", "|grad|", "|w|", "update/w", "dead")  # what the rows can be sorted by
_KEYS: dict[str, Callable[[LayerRow], float | None]] = {
    "|grad|": lambda row: row.grad_norm,
    "|w|": lambda row: row.weight_norm,
    "update/w": lambda row: row.update_ratio,
    "dead": lambda row: row.dead,
}


@dataclass(frozen=True)
class Column:
    """A column.

    title: what stands above it. width: cells. order: how soon it gives way on a narrow screen; 0 for never.
    """

    title: str
    width: int
    order: int
    left: bool = False


_COLUMNS = (
    Column(N_("layer"), 10, 0, left=True),
    Column(N_("kind"), 18, 2, left=True),
    Column("|grad|", 8, 0),
    Column("|w|", 7, 3),
    Column("update/w", 8, 0),
    Column("", 1, 0, left=True),
    Column("word", 4, 1, left=True),
    Column(N_("dead"), 4, 5),
    Column(N_("trend"), TREND, 4, left=True),
)


class LayerTable(Lines, can_focus=True):
    """Rows in the model's order or sorted by a column. Enter opens the one under the cursor."""

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{name}" for name in RUNS}
    DEFAULT_CSS = """
    LayerTable {
        border: round $border-blurred; padding: 0 1;
        border-title-color: $foreground; border-subtitle-color: $quiet;
    }
    LayerTable:focus { border: round $border; }
    .-ascii LayerTable { border: ascii $border-blurred; }
    """ + "".join(f"LayerTable > .lines--{name} {{ color: ${name}; }}" for name in RUNS)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("home", "move(-100000)", show=False),
        Binding("end", "move(100000)", show=False),
        Binding("enter", "open", N_("open the layer"), show=False, id="layers.open"),
        Binding("s", "sort", N_("sort by the next column"), show=False, id="layers.sort"),
    ]

    class Opened(Message):
        """A layer was chosen, to be looked at closely."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Pointed(Message):
        """The cursor is on another layer."""

    class MemberPicked(Message):
        """A candidate of a sweep was chosen: its first member is to be shown."""

        def __init__(self, member: int) -> None:
            super().__init__()
            self.member = member

    def __init__(self, *, id: str | None = None, number: int | None = None) -> None:  # noqa: A002 - Textual's name
        """number: the key that shows it alone, before its title."""
        super().__init__(id=id)
        self._number = number
        self._rows: tuple[LayerRow, ...] = ()
        self._candidates: tuple[Standing, ...] = ()  # of a sweep, shown instead of the layers
        self._every: int | None = None
        self._is_known = False  # whether there was a snapshot
        self._is_over = False  # whether the numbers are those of an ended run
        self.order = ORDERS[0]
        self._cursor = 0
        self._first = 0  # row at the top

    def on_mount(self) -> None:
        self.border_title = numbered(self._number, _("layers"))

    def show(self, snapshot: Snapshot) -> None:
        before = self._count
        self._rows, self._every, self._is_known = snapshot.layers, snapshot.statistics_every, True
        self._is_over = not snapshot.is_alive and snapshot.past is None
        self._candidates = snapshot.candidates if snapshot.member is None else ()
        if self._count != before:
            self.refresh(layout=True)  # its height may follow the number of rows
        self._say_order()
        title = numbered(self._number, _title(snapshot))
        if self.border_title != title:
            self.border_title = title
        self.show_lines()

    @property
    def _count(self) -> int:
        return len(self._candidates or self._rows)

    def _say_order(self) -> None:
        if not self._candidates:
            subtitle = self._settings()
        elif self._is_over:
            subtitle = _("★ best · enter one member · n next member")
        else:
            subtitle = _("★ best so far · enter one member · n next member")
        if not getattr(getattr(self.app, "terminal", None), "unicode", True):
            subtitle = ascii_cells(subtitle)
        if self.border_subtitle != subtitle:
            self.border_subtitle = subtitle

    def _settings(self) -> str:
        """Say how the rows are sorted, what their signs mean, and at which steps they are measured."""
        every = self._every
        cadence = [ngettext("every step", "every {count} steps", every)] if every else []
        sorted_by = [] if self.order == "model" else [_("sorted by {column}", column=_(self.order))]
        low, high = (scientific(ratio, 1) for ratio in USUAL_RATIO)
        is_judged = self.size.width >= ROOMY and any(row.judged for row in self._rows)
        signs = [_("● {low} to {high}", low=low, high=high)] if is_judged else []
        return " · ".join((*sorted_by, *signs, *cadence))

    @property
    def on_screen(self) -> tuple[str, ...]:
        """Names of the layers on the screen."""
        height = max(0, self.content_size.height - 1)
        return tuple(row.name for row in self.sorted_rows()[self._first : self._first + height])

    def sorted_rows(self) -> list[LayerRow]:
        """Return the rows: those that are not finite, then the largest, at last those that were not measured."""
        key = _KEYS.get(self.order)
        if key is None:
            return list(self._rows)
        found = {row.name: key(row) for row in self._rows}
        return sorted(self._rows, key=lambda row: (not row.non_finite, -_ranked(found[row.name])))

    @property
    def layer_name(self) -> str | None:
        """The name of the layer under the cursor; None where there is none."""
        rows = [] if self._candidates else self.sorted_rows()
        return rows[min(self._cursor, len(rows) - 1)].name if rows else None

    # --- keys ---

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(self._count - 1, self._cursor + by))
        self.show_lines()
        self.post_message(self.Pointed())

    def action_open(self) -> None:
        if self._candidates:
            chosen = self._candidates[min(self._cursor, self._count - 1)]
            self.post_message(self.MemberPicked(chosen.point.members[0]))
            return
        if self.layer_name is not None:
            self.post_message(self.Opened(self.layer_name))

    def action_sort(self) -> None:
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self._say_order()
        self.show_lines()

    def on_focus(self) -> None:
        self.show_lines()

    def on_blur(self) -> None:
        self.show_lines()

    # --- lines ---

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1 + max(1, self._count)

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self._candidates:
            self._scroll(self._count, height - 1)
            chosen = self._cursor if self.has_focus else None
            head, *drawn = leaderboard(self._candidates, width, chosen)
            return [head, *drawn[self._first : self._first + height - 1]]
        if not self._rows:
            waits = _("the layers are listed when training begins") if self._is_known else ""
            return [(Piece(waits, "quiet"),)]
        rows = self.sorted_rows()
        self._scroll(len(rows), height - 1)
        shown = rows[self._first : self._first + height - 1]
        columns = _fitting(width, max(cell_len(row.name) for row in rows), max(cell_len(row.kind) for row in rows))
        lines = [self._head(columns)]
        grads = align(["NaN" if row.non_finite else short_number(row.grad_norm) for row in shown])
        weights = align([short_number(row.weight_norm) for row in shown])
        for offset, (row, grad, weight) in enumerate(zip(shown, grads, weights, strict=True)):
            line = _line(row, columns, grad, weight, _(row.ratio_sign[1]) if row.ratio_sign[1] else "")
            if self.has_focus and self._first + offset == self._cursor:
                line = tuple(Piece(piece.text, "chosen") for piece in line)
            lines.append(line)
        return lines

    def _scroll(self, count: int, height: int) -> None:
        self._cursor = min(self._cursor, count - 1)
        if self.has_focus:
            self._first = min(self._first, self._cursor)
            self._first = max(self._first, self._cursor - height + 1)
        self._first = max(0, min(self._first, count - height))

    def _head(self, columns: dict[str, int]) -> Line:
        pieces = []
        for column in _COLUMNS:
            if column.title not in columns:
                continue
            chosen = column.title == self.order
            title = "" if column.title in ("", "word") else _(column.title)
            text = fitted(f"▾{title}" if chosen else title, columns[column.title], right=not column.left)
            pieces.append(Piece(text + " ", "strong" if chosen else "head"))
        return tuple(pieces)


def _title(snapshot: Snapshot) -> str:
    """Say whose layers they are."""
    if snapshot.members == 1:
        return _("layers")
    if snapshot.member is not None:
        return _("layers, member {member}", member=snapshot.member_name)
    if snapshot.candidates:
        each = len(snapshot.candidates[0].point.members)
        return _("candidates, mean of {count} seeds", count=each) if each > 1 else _("candidates")
    return _("layers, mean of {count} members", count=snapshot.members)


def _ranked(value: float | None) -> float:
    return float("-inf") if value is None else value


def _fitting(width: int, name: int, kind: int) -> dict[str, int]:
    """Return the columns that have room, with their widths. name, kind: cells of the longest of each."""
    kept = {column.title: column.width for column in _COLUMNS}
    kept["layer"], kept["kind"] = max(5, min(name, 20)), max(4, min(kind, 28))
    kept["dead"] = max(kept["dead"], cell_len(_("dead")))  # wider in some languages
    for column in sorted((c for c in _COLUMNS if c.order), key=lambda c: c.order):
        over = sum(kept.values()) + len(kept) - width
        if over <= 0:
            break
        if column.title == "kind" and kept["kind"] - over >= SHORTEST_KIND:
            kept["kind"] -= over
            break
        del kept[column.title]
    spare = max(0, width - sum(kept.values()) - len(kept))
    kept["layer"] += min(spare, 2)
    if "kind" in kept:
        kept["kind"] += min(max(0, spare - 2), 4)
    return kept


def _line(row: LayerRow, columns: dict[str, int], grad: str, weight: str, word: str) -> Line:
    sign, __, style = row.ratio_sign
    ailing = "trouble" if row.non_finite else ""
    cells: dict[str, tuple[str, str]] = {
        "layer": (row.name, ailing),
        "kind": (row.kind, "quiet"),
        "|grad|": (grad, ailing),
        "|w|": (weight, ""),
        "update/w": (update_ratio(row), ""),
        "": (sign, style),
        "word": (word, style),
        "dead": (percent(row.dead, 0), _dead_style(row.dead)),
        "trend": (_trend(row.trend), "faint"),
    }
    return tuple(
        Piece(
            fitted(cells[column.title][0], columns[column.title], right=not column.left) + " ", cells[column.title][1]
        )
        for column in _COLUMNS
        if column.title in columns
    )


def update_ratio(row: LayerRow) -> str:
    """Return the size of an update relative to its weights, in two digits and a power of ten."""
    value = row.update_ratio
    return scientific(value, 2) if value and math.isfinite(value) else number(value)


def _dead_style(value: float | None) -> str:
    return "" if value is None or value < 0.5 else "warn" if value < 0.9 else "trouble"


def _trend(trend: tuple[float | None, ...]) -> str:
    return "".join(" " if value is None else level(value) for value in trend)
