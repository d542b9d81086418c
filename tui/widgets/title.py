"""Home's top line."""

from collections.abc import Sequence

from tui.widgets.lines import Line, Lines, Piece, spread


class Title(Lines):
    """The top line: the program, and how many runs there are."""

    DEFAULT_CSS = "Title { height: 1; padding: 0 1; }"
    right: tuple[Piece, ...] = ()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return (spread((Piece("Descent", "strong"),), self.right, width),)
