"""The list of kinds of pictures beside the picture, and the line that says what one is looking at."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from descent.common import numbers
from engine.pictures import Kind
from tui.data.translation import spoken
from tui.widgets.lines import Line, Lines, Piece, cut, fitted, spread


class Kinds(Lines):
    """The kinds of pictures; those that the run can't have are quiet. Posts Chosen for a click on one."""

    DEFAULT_CSS = "Kinds { width: 24; height: 1fr; padding: 0 1; }"

    class Chosen(Message):
        """A click on a kind."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    _kinds: Sequence[tuple[Kind, bool]] = ()
    _row = 0

    def show(self, kinds: Sequence[tuple[Kind, bool]], row: int) -> None:
        """kinds: each with whether it fits the run. row: the chosen one."""
        self._kinds, self._row = kinds, row
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        drawn = [self._line(i, spoken(kind.title), fits, width) for i, (kind, fits) in enumerate(self._kinds)]
        if not all(fits for _, fits in self._kinds) and len(drawn) + 2 <= height:
            drawn += [(), (Piece(fitted(spoken("× not of this run"), width), "quiet"),)]
        return drawn

    def _line(self, i: int, title: str, fits: bool, width: int) -> Line:
        sign = "▶ " if i == self._row else "  " if fits else "× "
        style = "chosen" if i == self._row else "" if fits else "quiet"
        return (Piece(fitted(f"{sign}{title}", width), style),)

    def on_click(self, event: Click) -> None:
        row = event.y - self.gutter.top
        if 0 <= row < len(self._kinds):
            self.post_message(self.Chosen(row))


@dataclass(frozen=True)
class Caption:
    """title, shows: of the kind. step: of the picture, with what it took to make. doing: what is under way.
    trouble: why there is no newer one. auto: seconds between pictures, or None."""

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
        left = [Piece(spoken(now.title), "strong")]
        if now.step is not None:
            left.append(Piece(spoken(f"  step {now.step:,}"), "quiet"))
        right = []
        if now.doing:
            right.append(Piece(spoken(now.doing), "you"))
        elif now.auto is not None:
            right.append(Piece(spoken(f"a new one every {now.auto:.0f} s"), "train"))
        elif now.seconds is not None:
            right.append(Piece(spoken(f"made in {numbers.time_taken(now.seconds)}"), "quiet"))
        second = Piece(now.trouble, "trouble") if now.trouble else Piece(spoken(now.shows), "quiet")
        return [spread(left, right, width), cut((second,), width)]
