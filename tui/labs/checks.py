"""The criteria of a lab, each with what the latest attempt came to."""

from collections.abc import Sequence

from engine.texts import clean
from tui.labs.standing import Standing, shown, threshold
from tui.labs.words import word
from tui.widgets.lines import Line, Lines, Piece, spread, width_of, wrapped

SIGNS = {None: ("·", "quiet"), True: ("✓", "good"), False: ("✗", "trouble")}


class Checks(Lines):
    """A line each: met, not met, not graded yet; the value beside its threshold."""

    DEFAULT_CSS = """
    Checks { height: auto; padding: 0 1; }
    """

    standing: Standing | None = None

    def show(self, standing: Standing) -> None:
        self.standing = standing
        self.styles.height = len(self._all(max(1, self.content_size.width)))
        self.show_lines()

    def on_resize(self) -> None:
        if self.standing is not None:
            self.show(self.standing)  # other breaks, another height

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._all(width)[:height]

    def _all(self, width: int) -> list[Line]:
        if self.standing is None:
            return []
        drawn, errors = [self._head(self.standing, width)], self.standing.errors
        for check in self.standing.lab.model.checks:
            value, passed = self.standing.outcomes.get(check.id, (None, None))
            sign, style = SIGNS[passed]
            text = clean(check.text.of(self.standing.language)).replace("`", "")
            if check.bonus:
                text = f"{word('bonus', self.standing.language)}: {text}"
            numbers = [Piece(f"  {shown(check, value)}", style if passed is not None else "")]
            numbers.append(Piece(f"  {threshold(check)}" if threshold(check) else "", "quiet"))
            first, *more = wrapped(text, width - 2 - width_of(numbers))
            drawn.append(spread([Piece(f"{sign} ", style), Piece(first)], numbers, width))
            drawn += [(Piece(f"  {line}"),) for line in more]
            error = errors.get(check.id)
            if error:
                drawn += [(Piece(f"  {line}", "trouble"),) for line in wrapped(clean(error), width - 2)]
        return drawn

    def _head(self, standing: Standing, width: int) -> Line:
        met, of = standing.met
        language = standing.language
        state = word("checked", language, met=met, of=of) if standing.outcomes else word("not graded", language)
        left = [Piece(word("checks", language), "strong")]
        right = [Piece(state, "good" if standing.outcomes and met == of else "quiet")]
        return spread(left, right, max(width, width_of(left) + width_of(right) + 1))
