"""A widget of whole lines: given as styled pieces, drawn by render_line, and only those that changed."""

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size, split_text
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from descent.common.glyphs import ascii_cells
from tui.base import ConsoleApp

STYLES = (
    "quiet", "strong", "train", "validation", "trouble", "planned", "good", "warn", "you", "faint", "chosen", "key",
    "head",
)  # fmt: skip
LEAST_TEXT = 16  # cells; narrower, a text is cut instead of folded
STATE_STYLES = {
    "starting": "train",
    "running": "train",
    "paused": "planned",
    "finished": "good",
    "stopped": "quiet",
    "failed": "trouble",
    "lost": "trouble",
    "damaged": "trouble",
}  # of a run's state


class Piece(NamedTuple):
    """Some text on a line, and one of STYLES, or "" for the widget's own."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


def numbered(number: int | None, title: str) -> str:
    """A panel's title behind the key that shows it alone, if it has one."""
    return title if number is None else f"{number} {title}"


def width_of(line: Sequence[Piece]) -> int:
    """Cells."""
    return sum(cell_len(piece.text) for piece in line)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells; what is too long ends in an ellipsis."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)


def spread(left: Sequence[Piece], right: Sequence[Piece], width: int) -> Line:
    """A line with pieces at both its ends; the left ones give way where there is no room for both."""
    room = width - width_of(right)
    used = width_of(left)
    if used <= room:
        return (*left, Piece(" " * (room - used)), *right)
    return (*cut(left, room - 1), Piece(" "), *right)


def cut(line: Sequence[Piece], width: int) -> Line:
    """The line in at most `width` cells; what is too long ends in an ellipsis."""
    kept: list[Piece] = []
    for piece in line:
        length = cell_len(piece.text)
        if length > width:
            kept.append(Piece(fitted(piece.text, width), piece.style))
            break
        kept.append(piece)
        width -= length
    return tuple(kept)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` cells, broken between words where that can be; at least one line.

    A "±" stays with the number after it.
    """
    found = [""]
    for word in re.findall(r"(?:± )?\S+", text):
        longer = f"{found[-1]} {word}" if found[-1] else word
        if cell_len(longer) <= width:
            found[-1] = longer
            continue
        found += [word] if found[-1] else []
        found[-1:] = chunks(word, width)
    return found


def chunks(text: str, width: int) -> list[str]:
    """The text in pieces of at most `width` cells, wherever that breaks it; at least one piece."""
    found = [text]
    while cell_len(found[-1]) > width > 1:
        head, tail = split_text(found[-1], width)
        if not tail:
            break
        found[-1:] = [head, tail]
    return found


def hanging(head: Sequence[Piece], text: Piece, width: int) -> list[Line]:
    """The text beside its head, in as many lines as it takes, those below indented as far; cut where it is narrow."""
    indent = width_of(head)
    if width_of((text,)) <= width - indent or width - indent < LEAST_TEXT:
        return [cut((*head, text), width)]
    first, *rest = wrapped(text.text, width - indent)
    return [(*head, Piece(first, text.style)), *((Piece(" " * indent), Piece(more, text.style)) for more in rest)]


class Lines(Widget):
    """Shows lines that its subclass makes for the width there is; a line that is as before is not drawn again."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{style}" for style in STYLES}
    DEFAULT_CSS = """
    Lines {
        & > .lines--quiet { color: $quiet; }
        & > .lines--strong { text-style: bold; }
        & > .lines--train { color: $train; }
        & > .lines--validation { color: $validation; }
        & > .lines--trouble { color: $trouble; text-style: bold; }
        & > .lines--planned { color: $planned; }
        & > .lines--good { color: $good; }
        & > .lines--warn { color: $warning; }
        & > .lines--faint { color: $train 60%; }
        & > .lines--you { color: $primary; text-style: bold; }
        & > .lines--key { color: $train; text-style: bold; }
        & > .lines--head { color: $quiet; }
    }
    """

    app: ConsoleApp
    _drawn: tuple[Line, ...] = ()
    _drawn_for: Size | None = None  # the size that they were made for
    _rich: dict[str, Style] | None = None  # of each name, as far as it was looked up

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """What to show in so many cells; for the subclass."""
        raise NotImplementedError

    def show_lines(self) -> None:
        """Ask for the lines anew, and draw those that differ."""
        width, height = self._drawn_for = self.content_size
        if not width or not height:
            self._drawn = ()
            return
        before, self._drawn = self._drawn, tuple(self.lines(width, height))
        if len(before) != len(self._drawn):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._drawn, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))  # counted from the content's corner

    def on_resize(self) -> None:
        self.show_lines()

    def on_show(self) -> None:
        self.show_lines()

    def render_line(self, y: int) -> Strip:
        size = self.content_size
        if self._drawn_for not in (None, size):  # laid out anew with no Resize; see Drawing
            self._drawn_for = size
            self.call_later(self.show_lines)
        width = size.width
        line = self._drawn[y] if y < len(self._drawn) else ()
        own = self._style("")
        unicode = self.app.terminal.unicode
        segments = []
        for text, name in line:
            segments.append(Segment(text if unicode else ascii_cells(text), self._style(name)))
        return Strip(segments).adjust_cell_length(width, own)

    def _style(self, name: str) -> Style:
        self._rich = self._rich or {}
        if name not in self._rich:
            self._rich[name] = self._made(name)
        return self._rich[name]

    def _made(self, name: str) -> Style:
        if name == "chosen":
            return self.rich_style + self.app.cursor_style()
        return self.get_component_rich_style(f"lines--{name}") if name else self.rich_style

    def notify_style_update(self) -> None:
        self._rich = None
        super().notify_style_update()
