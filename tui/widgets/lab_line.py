"""The top line of a lab's screen, and the line that says what became of a key."""

from collections.abc import Sequence

from engine.texts import clean
from tui.labs.reached import reached
from tui.labs.spoken import spoken
from tui.labs.standing import Standing
from tui.labs.words import word
from tui.widgets.lines import Line, Lines, Piece, cut, spread
from tui.widgets.status_line import Notice


class LabLine(Lines):
    """Which lab it is, and how far it is done."""

    DEFAULT_CSS = """
    LabLine { height: 1; padding: 0 1; margin-bottom: 1; }
    """

    standing: Standing | None = None

    def show(self, standing: Standing) -> None:
        self.standing = standing
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.standing is None:
            return [()]
        standing, language = self.standing, self.standing.language
        left = [Piece("Descent", "strong"), Piece(f"  {word('lab', language)} ", "quiet")]
        left += [Piece(f"{standing.lab.id}  ", "you"), Piece(clean(standing.title))]
        right = []
        if standing.record.passed is not None:
            right = [Piece(f"✓ {word('passed', language)}", "good")]
        elif standing.record.attempts:
            right = [Piece(reached(standing.record, language), "quiet")]
        return [spread(left, right, width)]


class Said(Lines):
    """One line: the last thing that was said, until another is."""

    notice = Notice("")

    def say(self, text: str, style: str = "", *, busy: bool = False) -> None:
        self.notice = Notice(spoken(self, text), style, busy)
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        notice = self.notice
        if not notice.text:
            return [()]
        return [cut([Piece(notice.sign, notice.style), Piece(clean(notice.text), notice.style)], width)]
