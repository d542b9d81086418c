"""The events of the run in words, or, after a key, what the worker printed."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from descent.common.i18n import N_, _
from descent.common.numbers import count
from tui.data.log import EpochRow, LogLine
from tui.data.snapshot import Snapshot
from tui.data.words import split_words
from tui.widgets.lines import Line, Lines, Piece, chunks, fitted, hanging, numbered, width_of

TALL = 4  # rows from which on a table has a head
NARROW = 40  # cells; below, a line that has no room for its clock does without


class RunLog(Lines, can_focus=True):
    """Shows the latest lines at the bottom. Keys scroll it while it has the focus."""

    SCOPED_CSS = False  # its rules begin with classes of the app and the screen
    DEFAULT_CSS = """
    RunLog {
        border: round $border-blurred; padding: 0 1;
        border-title-color: $foreground; border-subtitle-color: $quiet;
    }
    RunLog:focus { border: round $border; }
    .-ascii RunLog { border: ascii $border-blurred; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_by(1)", N_("older lines"), show=False, id="log.up"),
        Binding("down", "scroll_by(-1)", N_("newer lines"), show=False, id="log.down"),
        Binding("pageup", "scroll_by(10)", N_("older lines"), show=False, id="log.page_up"),
        Binding("pagedown", "scroll_by(-10)", N_("newer lines"), show=False, id="log.page_down"),
        Binding("home", "scroll_by(100000)", N_("the first lines"), show=False, id="log.first"),
        Binding("end", "scroll_by(-100000)", N_("the last lines"), show=False, id="log.last"),
    ]

    snapshot: Snapshot | None = None
    shows_output = False
    back = 0  # lines scrolled back from the latest

    def __init__(self, *, id: str | None = None, number: int | None = None) -> None:  # noqa: A002 - Textual's name
        """number: the key that shows it alone, before its title."""
        super().__init__(id=id)
        self._number = number

    def on_mount(self) -> None:
        self.border_title = numbered(self._number, _("log"))

    def show(self, snapshot: Snapshot) -> None:
        before, self.snapshot = self.snapshot, snapshot
        if self.back and before is not None:  # what is being read stays where it is
            self.back += max(0, len(self._all(snapshot)) - len(self._all(before)))
        self.show_lines()

    def toggle_output(self) -> bool:
        """Show the worker's output instead of the events, or the events again. Return whether it is the output."""
        self.shows_output = not self.shows_output
        self.back = 0
        self.border_title = numbered(self._number, "output.log" if self.shows_output else _("log"))
        self.show_lines()
        return self.shows_output

    def action_scroll_by(self, lines: int) -> None:
        entries = self._all(self.snapshot) if self.snapshot is not None else ()
        most = len(entries) - _count_that_fit(entries, *self.content_size)
        self.back = min(most, max(0, self.back + lines))
        self.border_subtitle = _("{count} newer below", count=self.back) if self.back else ""
        self.show_lines()

    def on_mouse_scroll_up(self) -> None:
        self.action_scroll_by(2)

    def on_mouse_scroll_down(self) -> None:
        self.action_scroll_by(-2)

    def _all(self, snapshot: Snapshot) -> Sequence[LogLine | str]:
        return snapshot.output if self.shows_output else snapshot.log

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.snapshot is None:
            return []
        entries = self._all(self.snapshot)
        end = max(0, len(entries) - self.back)
        if not end and self.shows_output:
            return [(Piece(_("the worker has printed nothing"), "quiet"),)]
        shown = [line for entry in entries[max(0, end - height) : end] for line in folded(entry, width)]
        shown = shown[max(0, len(shown) - height) :]
        is_table = width >= NARROW and any(isinstance(entry, LogLine) and entry.row for entry in entries[:end])
        return [table_head(), *shown[1:]] if is_table and len(shown) == height > TALL else shown


def _count_that_fit(entries: Sequence[LogLine | str], width: int, height: int) -> int:
    """Return how many of the first entries have room, each folded into as many lines as it takes."""
    used = 0
    for at, entry in enumerate(entries):
        used += len(folded(entry, width))
        if used > height:
            return max(at, 1)
    return len(entries)


def folded(entry: LogLine | str, width: int) -> list[Line]:
    """Return the entry in as many lines as it takes. The end of a long one is often what it is about."""
    if isinstance(entry, str):
        return [(Piece(part),) for part in chunks(entry, width)]
    if entry.row is not None and width >= NARROW:
        return [epoch_row(entry.row)]
    clock, *head, text = entry_line(entry)
    if width < NARROW and width_of((clock, *head, text)) > width:
        return hanging(head, text, width)  # the clock gives way to what happened
    return hanging([clock, *head], text, width)


def epoch_row(row: EpochRow) -> Line:
    """Return an epoch as a row: its number, losses, accuracy, and a star for the best."""
    return (
        Piece(f"{row.epoch:>6} ", "quiet"),
        Piece(f"{row.train:>9} ", "train"),
        Piece(f"{row.val:>9} ", "validation"),
        Piece(f"{row.accuracy:>7}", "validation"),
        *((Piece("  ★ ", "validation"), Piece(_("best"), "quiet")) if row.is_best else ()),
    )


def table_head() -> Line:
    """Return what stands above the rows of epochs."""
    names = ((_("epoch"), 6), (split_words("train"), 9), (split_words("validation"), 9), (_("acc"), 7))
    return tuple(Piece(fitted(name, width, right=True) + " ", "head") for name, width in names)


def entry_line(entry: LogLine | str) -> Line:
    """Return the entry as one line: 13:15:28 step 702  you: rate × 0.5."""
    if isinstance(entry, str):
        return (Piece(entry),)
    is_named = entry.step is None or entry.names_epoch
    step = "" if is_named else f"{_('step {step}', step=count(entry.step))}  "
    return (Piece(f"{entry.clock} ", "quiet"), Piece(step, "quiet"), Piece(entry.text, entry.style))
