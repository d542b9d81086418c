"""The learner's code drawn: its path and gradients on the loss beside the right ones, its graph, or a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.numbers import number
from descent.common.text import clean, unmarked
from engine.labs.messages import line_named
from engine.pictures import Picture
from tui.base import ConsoleApp
from tui.data.labs import draw
from tui.pictures.picture import PictureView
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import fitted

Table = list[tuple[str, ...]]


class Drawn(Screen[int | None]):
    """Draws the learner's code as it is saved. Dismissed with the line that raised, to go there, or with None."""

    app: ConsoleApp
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal")]  # noqa: RUF012 - Textual's own
    CSS = """
    Drawn #drawn-title { height: 1; padding: 0 1; text-style: bold; background: $bar; }
    Drawn PictureView { height: 1fr; min-height: 8; margin: 0 1; display: none; }
    Drawn.-picture PictureView { display: block; }
    Drawn #drawn-tables { height: auto; max-height: 50%; padding: 0 1; scrollbar-size-vertical: 1; }
    Drawn #drawn-rest { height: auto; }
    Drawn #drawn-said { height: auto; max-height: 4; padding: 0 1; }
    Drawn #drawn-said.-trouble { color: $trouble; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,right,tab", "other(1)", N_("the next drawing"), show=False, id="drawn.next"),
        Binding("up,k,left,shift+tab", "other(-1)", N_("the previous drawing"), show=False, id="drawn.before"),
        Binding("u,f5", "again", N_("draw again"), show=False, id="drawn.again"),
        Binding("enter,w", "edit", N_("edit the code, at the line that failed"), show=False, id="drawn.edit"),
        Binding("pageup", "page(-1)", N_("scroll up"), show=False, id="drawn.up"),
        Binding("pagedown", "page(1)", N_("scroll down"), show=False, id="drawn.down"),
        Binding("escape,q", "dismiss(None)", N_("back"), show=False, id="drawn.back"),
    ]

    def __init__(self, lab_id: str, folder: Path) -> None:
        super().__init__()
        self._lab_id, self._folder = lab_id, folder
        self._drawings: Sequence[Mapping[str, Any]] = ()
        self._at = 0

    def compose(self) -> ComposeResult:
        yield Static(id="drawn-title", markup=False)
        yield PictureView()
        with VerticalScroll(id="drawn-tables"):
            yield Static(id="drawn-rest", markup=False)
        yield Static(id="drawn-said", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        hints = [Hint("↑↓", _("other drawings"), "other(1)"), Hint("u", _("draw again"), "again")]
        hints += [Hint("enter", _("edit the code"), "edit"), Hint("?", _("help"), "app.help")]
        self.query_one(KeyLine).show([*hints, Hint("esc", _("back"), "dismiss(None)")])
        self.action_again()

    def action_again(self) -> None:
        self.run_worker(self._draw(), exclusive=True)

    async def _draw(self) -> None:
        self._say(_("your code is being drawn …"))
        try:
            found = await draw(self._lab_id, self._folder)
        except (DescentError, OSError) as error:
            self._say(str(error), trouble=True)
            return
        self._drawings = found["drawings"]
        self._show()

    def _say(self, text: str, *, trouble: bool = False) -> None:
        said = self.query_one("#drawn-said", Static)
        said.set_class(trouble, "-trouble")
        said.update(Text(self.app.terminal.plain(clean(text))))

    # --- one drawing ---

    @property
    def _error(self) -> str:
        """What the code of this drawing raised."""
        shown = self._drawings[self._at] if self._drawings else {}
        rows = [str(row["error"]) for row in shown.get("rows", ())]
        of_picture = shown.get("walk") or shown.get("graph") or {}
        return str(of_picture.get("error", "")) or next(filter(None, rows), "")

    def _show(self) -> None:
        shown = self._drawings[self._at]
        title = Text(unmarked(str(shown["title"])))
        title.append(f"   {self._at + 1}/{len(self._drawings)}", "dim")
        self.query_one("#drawn-title", Static).update(title)
        picture, tables = _laid(shown)
        self.set_class(picture is not None, "-picture")
        self.query_one(PictureView).picture = picture
        self.query_one("#drawn-rest", Static).update(self._laid_out([table for table in tables if len(table) > 1]))
        if self._error:
            self._say(self._error, trouble=True)
        else:
            self._say(_agreement(shown))

    def _laid_out(self, tables: Sequence[Table]) -> Text:
        text = Text()
        for table in tables:
            widths = [max(cell_len(row[column]) for row in table) for column in range(len(table[0]))]
            for at, row in enumerate(table):
                line = "  ".join(fitted(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
                style = "bold" if at == 0 else self.app.colour("trouble") if row[-1].startswith("✗") else ""
                text.append(self.app.terminal.plain(line) + "\n", style)
            text.append("\n")
        text.rstrip()
        return text

    # --- keys ---

    def action_other(self, by: int) -> None:
        if self._drawings:
            self._at = (self._at + by) % len(self._drawings)
            self._show()

    def action_edit(self) -> None:
        self.dismiss(line_named(self._error, f"{self._lab_id}.py") or 0)

    def action_page(self, by: int) -> None:
        tables = self.query_one("#drawn-tables", VerticalScroll)
        (tables.scroll_page_down if by > 0 else tables.scroll_page_up)(animate=False)


def _laid(shown: Mapping[str, Any]) -> tuple[Picture | None, list[Table]]:
    """Return the picture of a drawing and its tables. A graph says all in its boxes."""
    if "walk" in shown:
        return _walk(shown["walk"]), [_gradients(shown["walk"]), _steps(shown["walk"])]
    if "graph" in shown:
        return _graph(shown["graph"]["nodes"]), []
    return None, [_rows(shown["rows"])]


def _graph(nodes: Sequence[Mapping[str, Any]]) -> Picture:
    places = {str(node["name"]): place for place, node in enumerate(nodes)}
    pairs = [(places[str(one)], place) for place, node in enumerate(nodes) for one in dict.fromkeys(node["inputs"])]
    unknown = [float("nan"), float("nan")]
    return Picture("graph", 0, {
        "names": np.array(list(places)),
        "inputs": np.array(pairs, int).reshape(-1, 2),
        "values": np.array([node["value"] for node in nodes], float),
        "gradients": np.array([node["gradient"] for node in nodes], float),
        "right": np.array([node["right"] or unknown for node in nodes], float).reshape(-1, 2),
        "agree": np.array([node["agree"] for node in nodes], bool),
    })  # fmt: skip


def _walk(walk: Mapping[str, Any]) -> Picture:
    gradients = walk["gradients"]
    arrays: dict[str, Any] = {key: np.array(walk[key], float) for key in ("x", "y", "loss", "right", "yours")}
    arrays["at"] = np.array([one["at"] for one in gradients], float).reshape(-1, 2)
    arrays["gradients"] = np.array([one["yours"] for one in gradients], float).reshape(-1, 2)
    arrays["differences"] = np.array([one["right"] for one in gradients], float).reshape(-1, 2)
    arrays["names"] = np.array(walk["names"])
    return Picture("walk", 0, arrays)


def _pair(values: Sequence[float]) -> str:
    return ", ".join(number(value) for value in values)


def _sign(row: Mapping[str, Any]) -> str:
    return f"✓ {_('agrees')}" if row["agree"] else f"✗ {_('does not')}"


def _gradients(walk: Mapping[str, Any]) -> Table:
    names = ", ".join(walk["names"])
    head = (_("gradient at {names}", names=names), _("yours"), _("finite differences"), "")
    return [head, *((_pair(one["at"]), _pair(one["yours"]), _pair(one["right"]), _sign(one))
                    for one in walk["gradients"])]  # fmt: skip


def _steps(walk: Mapping[str, Any]) -> Table:
    names = ", ".join(walk["names"])
    head = (_("step: {names} before", names=names), _("gradient there"), _("yours after"), _("expected"), "")
    return [head, *((f"{one['step']}: {_pair(one['before'])}", _pair(one["gradient"]), _pair(one["after"]),
                     _pair(one["expected"]), _sign(one)) for one in walk["steps"])]  # fmt: skip


def _rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    return [("", _("yours"), _("correct"), ""),
            *((clean(str(row["text"])), str(row["yours"] or "–"), str(row["right"] or "–"), _sign(row))
              for row in rows)]  # fmt: skip


def _agreement(shown: Mapping[str, Any]) -> str:
    """How far the code agrees with what is right, in a sentence."""
    if "graph" in shown:
        nodes = shown["graph"]["nodes"]
        wrong = sum(not node["agree"] for node in nodes)
        if wrong:
            return _("{wrong} of {of} numbers do not agree", wrong=wrong, of=len(nodes))
        return _("all agrees")
    walk = shown.get("walk")
    rows = shown["rows"] if walk is None else [*walk["gradients"], *walk["steps"]]
    wrong = sum(not row["agree"] for row in rows)
    if wrong:
        return _("{wrong} of {of} rows do not agree", wrong=wrong, of=len(rows))
    return _("all agrees")
