"""The list of kinds of pictures beside a picture, and the caption above it."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from descent.common import numbers
from descent.common.i18n import _
from engine.pictures import Kind
from tui.widgets.lines import Line, Lines, Piece, cut, fitted, hanging, spread


class Kinds(Lines):
    """The kinds of pictures. Those that the run can't have are below the others. Posts Chosen for a click on one."""

    DEFAULT_CSS = "Kinds { width: 24; height: 1fr; padding: 0 1; }"

    class Chosen(Message):
        """A click on a kind."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    _kinds: Sequence[tuple[Kind, bool]] = ()
    _row = 0
    _rows: Sequence[int | None] = ()  # of each line, the kind it stands for

    def show(self, kinds: Sequence[tuple[Kind, bool]], row: int) -> None:
        """kinds: each with whether it fits the run. row: the chosen one."""
        self._kinds, self._row = kinds, row
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        rows: list[int | None] = []
        drawn: list[Line] = []
        for i, (kind, fits) in enumerate(self._kinds):
            if not fits and (i == 0 or self._kinds[i - 1][1]):
                note = hanging([], Piece(_("not available for this run:"), "quiet"), width)
                drawn += [(), *note] if drawn else note
                rows += [None] * (len(drawn) - len(rows))
            drawn.append(self._line(i, _(kind.title), fits, width))
            rows.append(i)
        top = max(0, rows.index(self._row) + 1 - height) if self._row in rows else 0
        self._rows = rows[top:]
        return drawn[top:]

    def _line(self, i: int, title: str, fits: bool, width: int) -> Line:
        style = "chosen" if i == self._row else "" if fits else "quiet"
        return (Piece(fitted(f"{'▶' if i == self._row else ' '} {title}", width), style),)

    def on_click(self, event: Click) -> None:
        line = event.y - self.gutter.top
        if 0 <= line < len(self._rows) and (row := self._rows[line]) is not None:
            self.post_message(self.Chosen(row))


@dataclass(frozen=True)
class Caption:
    """What is said of a picture.

    title, shows: of the kind. step: of the picture. seconds: what it took to make.
    doing: what is under way. trouble: why there is no newer one. auto: seconds between pictures, or None.
    """

    title: str
    shows: str = ""
    step: int | None = None
    seconds: float | None = None
    doing: str = ""
    trouble: str = ""
    auto: float | None = None


class CaptionLine(Lines):
    """Two lines above a picture."""

    DEFAULT_CSS = "CaptionLine { height: 2; }"

    _caption = Caption("")

    def show(self, caption: Caption) -> None:
        self._caption = caption
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        now = self._caption
        left = [Piece(now.title, "strong")]
        if now.step is not None:
            left.append(Piece(f"  {_('step {step}', step=numbers.count(now.step))}", "quiet"))
        right = []
        if now.doing:
            right.append(Piece(now.doing, "you"))
        elif now.auto is not None:
            right.append(Piece(_("redrawn every {seconds:.0f} s", seconds=now.auto), "train"))
        elif now.seconds is not None:
            right.append(Piece(_("drawn in {time}", time=numbers.time_taken(now.seconds)), "quiet"))
        second = Piece(now.trouble, "trouble") if now.trouble else Piece(now.shows, "quiet")
        return [spread(left, right, width), cut((second,), width)]
