"""What happened to the run, in words; or, at the press of a key, what the worker printed."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from tui.data.log import LogLine
from tui.data.snapshot import Snapshot
from tui.data.translation import Say, spoken
from tui.widgets.lines import Line, Lines, Piece, chunks, hanging, width_of

NARROW = 40  # cells; below, a line that has no room for its clock does without


class RunLog(Lines, can_focus=True):
    """The latest lines, at the bottom; scrolls with the cursor keys while it has the focus."""

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
        ("up", "scroll_by(1)"),
        ("down", "scroll_by(-1)"),
        ("pageup", "scroll_by(10)"),
        ("pagedown", "scroll_by(-10)"),
        ("end", "scroll_by(-100000)"),
        ("home", "scroll_by(100000)"),
    ]

    snapshot: Snapshot | None = None
    shows_output = False
    back = 0  # lines scrolled back from the latest

    def on_mount(self) -> None:
        self.border_title = spoken("log")

    def show(self, snapshot: Snapshot) -> None:
        before, self.snapshot = self.snapshot, snapshot
        if self.back and before is not None:  # what is being read stays where it is
            self.back += max(0, len(self._all(snapshot)) - len(self._all(before)))
        self.show_lines()

    def toggle_output(self) -> bool:
        """Whether it shows the worker's output from now on, instead of the events."""
        self.shows_output = not self.shows_output
        self.back = 0
        self.border_title = "output.log" if self.shows_output else spoken("log")
        self.show_lines()
        return self.shows_output

    def action_scroll_by(self, lines: int) -> None:
        height = self.content_size.height
        most = max(0, len(self._all(self.snapshot)) - height) if self.snapshot is not None else 0
        self.back = min(most, max(0, self.back + lines))
        self.border_subtitle = spoken(f"{self.back} newer below") if self.back else ""
        self.show_lines()

    def on_mouse_scroll_up(self) -> None:
        self.action_scroll_by(2)

    def on_mouse_scroll_down(self) -> None:
        self.action_scroll_by(-2)

    def _all(self, snapshot: Snapshot) -> Sequence[LogLine] | Sequence[str]:
        return snapshot.output if self.shows_output else snapshot.log

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.snapshot is None:
            return []
        entries = self._all(self.snapshot)
        end = max(0, len(entries) - self.back)
        if not end and self.shows_output:
            return [(Piece(spoken("the worker has printed nothing"), "quiet"),)]
        say = spoken
        shown = [line for entry in entries[max(0, end - height) : end] for line in folded(entry, width, say)]
        return shown[max(0, len(shown) - height) :]


def folded(entry: LogLine | str, width: int, say: Say = str) -> list[Line]:
    """The entry in as many lines as it takes: the end of a long one is often what it is about."""
    if isinstance(entry, str):
        return [(Piece(part),) for part in chunks(entry, width)]
    clock, *head, text = entry_line(entry, say)
    if width < NARROW and width_of((clock, *head, text)) > width:
        return hanging(head, text, width)  # the clock gives way to what happened
    return hanging([clock, *head], text, width)


def entry_line(entry: LogLine | str, say: Say = str) -> Line:
    """13:15:28 step 702  you: rate × 0.5; in the words of `say`."""
    if isinstance(entry, str):
        return (Piece(entry),)
    step = "" if entry.step is None or entry.text.startswith("epoch ") else f"step {entry.step:,}  "
    return (Piece(f"{entry.clock} ", "quiet"), Piece(say(step), "quiet"), Piece(say(entry.text), entry.style))
