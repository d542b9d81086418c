"""The list of runs, labs and presets, one line each. Only lines in sight are drawn."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from descent.common.glyphs import ascii_cells
from descent.common.i18n import N_
from tui.base import ConsoleApp
from tui.data.runs import RunStatus
from tui.screens.home import rows
from tui.screens.home.rows import Item
from tui.widgets.lines import Piece
from tui.widgets.run_line import Look


def marked_in(text: str, words: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the text in parts, and of each whether it is one of the words that were typed."""
    if not words:
        return [(text, False)]
    parts = re.split(
        "(" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")", text, flags=re.IGNORECASE
    )
    return [(part, place % 2 == 1) for place, part in enumerate(parts) if part]


class Listing(ScrollView, can_focus=True):
    """Keeps its cursor on the same entry when the entries are listed anew. Posts Highlighted and Chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", N_("up"), show=False, id="list.up"),
        Binding("down,j", "move(1)", N_("down"), show=False, id="list.down"),
        Binding("pageup", "page(-1)", N_("page up"), show=False, id="list.page-up"),
        Binding("pagedown", "page(1)", N_("page down"), show=False, id="list.page-down"),
        Binding("home,g", "end(-1)", N_("first"), show=False, id="list.first"),
        Binding("end,G", "end(1)", N_("last"), show=False, id="list.last"),
    ]
    SCOPED_CSS = False  # its rules begin with classes of the app
    DEFAULT_CSS = """
    Listing { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    .-ascii Listing { scrollbar-size-vertical: 0; }
    """
    app: ConsoleApp

    class Highlighted(Message):
        """The cursor is on another entry, or its entry has changed."""

    class Chosen(Message):
        """The entry under the cursor was clicked on twice."""

    def __init__(self) -> None:
        super().__init__()
        self._items: Sequence[Item] = ()
        self.look = Look()
        self.typed = ""  # whose words are marked
        self._cursor = -1
        self.marked: set[Path] = set()  # folders of runs that are to be compared
        self._moved = False  # by the user: from then on the cursor stays with its entry

    @property
    def chosen(self) -> Item:
        """The entry under the cursor."""
        return self._items[self._cursor] if 0 <= self._cursor < len(self._items) else None

    def show(self, items: Sequence[Item], *, go_to: int | None = None) -> None:
        """List these. The cursor stays with its entry if that is still listed, or goes to line `go_to`."""
        before, old = self.chosen, self._items
        self._items = items
        if go_to is not None:
            self._moved = True
        key = rows.key_of(before) if self._moved else ""
        choices = [y for y, item in enumerate(items) if rows.is_choice(item)]
        same = [y for y in choices if key and rows.key_of(items[y]) == key]
        near = [y for y in choices if y >= self._cursor] if self._moved else choices
        self._cursor = go_to if go_to is not None else (same or near or choices[-1:] or [-1])[0]
        size = Size(0, len(items))
        if self.virtual_size != size:
            self.virtual_size = size
        if len(old) != len(items):
            self.refresh()
        else:
            self._refresh_lines(y for y, (a, b) in enumerate(zip(old, items, strict=True)) if a != b)
        if go_to is not None:
            self._see(go_to)
        if self.chosen != before:
            self._refresh_lines((self._cursor,))
            self.post_message(self.Highlighted())

    def mark(self) -> None:
        """Mark the run under the cursor or take its mark away, and go to the next."""
        if isinstance(self.chosen, RunStatus):
            self.marked ^= {self.chosen.folder.path}
            self._refresh_lines((self._cursor,))
            self.move(1)

    def move(self, by: int) -> None:
        """Move the cursor by so many entries, as far as there are any."""
        choices = [y for y, item in enumerate(self._items) if rows.is_choice(item)]
        if not choices:
            return
        at = choices.index(self._cursor) if self._cursor in choices else 0
        self._go(choices[min(len(choices) - 1, max(0, at + by))])

    def _go(self, y: int) -> None:
        self._moved = True
        if y == self._cursor:
            return
        before, self._cursor = self._cursor, y
        self._refresh_lines((before, y))
        self._see(y)
        self.post_message(self.Highlighted())

    def _see(self, y: int) -> None:
        """Scroll a line into view, with the heading above it where that is the line before."""
        top = y
        while top > 0 and not rows.is_choice(self._items[top - 1]):
            top -= 1
        self.scroll_to_region(Region(0, max(0, top), 1, max(0, y) - top + 1), animate=False, force=True)

    def on_resize(self) -> None:
        """Keep the entry under the cursor in sight: Enter acts on it."""
        if self._moved and self._cursor >= 0:
            self.call_after_refresh(self._see, self._cursor)

    def action_move(self, by: int) -> None:
        self.move(by)

    def action_page(self, direction: int) -> None:
        self.move(direction * max(1, self.scrollable_content_region.height - 2))

    def action_end(self, direction: int) -> None:
        self.move(direction * len(self._items))

    def on_click(self, event: events.Click) -> None:
        y = event.y + self.scroll_offset.y
        if not (0 <= y < len(self._items) and rows.is_choice(self._items[y])):
            return
        if y == self._cursor and event.chain == 2:
            self.post_message(self.Chosen())
        else:
            self._go(y)

    # --- drawing ---

    def _refresh_lines(self, lines: Iterable[int]) -> None:
        top, width = self.scroll_offset.y, self.size.width
        for y in lines:
            if 0 <= y - top < self.size.height:
                self.refresh(Region(0, y - top, width, 1))

    def render_line(self, y: int) -> Strip:
        width, at = self.scrollable_content_region.width, y + self.scroll_offset.y
        own = self.rich_style
        if not 0 <= at < len(self._items) or not width:
            return Strip.blank(width, own)
        ground = own + self.app.cursor_style() if at == self._cursor else own
        unicode = self.app.terminal.unicode
        segments = []
        item = self._items[at]
        marked = isinstance(item, RunStatus) and item.folder.path in self.marked
        pieces = rows.line(item, width - 1, now=self.app.clock(), look=self.look)
        if marked:
            first, *rest = pieces
            pieces = (Piece(f"◆{first.text[1:]}", first.style), *rest)
        words = self.typed.split() if rows.is_choice(item) else []
        for text, name in pieces:
            style = ground if ground.reverse else ground + self._style(name)
            for part, is_found in marked_in(text, words):
                shown = style + Style(bold=True, underline=True) if is_found else style
                segments.append(Segment(part if unicode else ascii_cells(part), shown))
        return Strip(segments).adjust_cell_length(width, ground)

    # Not by component classes: a dozen of them would cost a tenth of the time that the first frame has.

    def _style(self, name: str) -> Style:
        return Style(bold=True) if name == "strong" else self.app.colour(name) if name else Style()
