"""The criteria of a lab, each with what the latest attempt came to; first those that are not met."""

from collections.abc import Sequence

from textual.css.scalar import Unit
from textual.widget import Widget

from descent.common.i18n import _
from descent.common.text import clean, unmarked
from engine.labs.format import Check
from tui.data.labs import LabStatus, reached, shown, threshold
from tui.widgets.lines import Line, Lines, Piece, hanging, spread, width_of, wrapped

SIGNS = {None: ("·", "quiet"), True: ("✓", "good"), False: ("✗", "trouble")}
UNWRITTEN = ("○", "quiet")  # not met, as the function is still to be written
_ORDER = (False, None, True)


class Checks(Lines):
    """A line each: not met, not graded yet, met; the value beside its threshold.

    Where the box around it has no room for all, those that are met are one line.
    """

    DEFAULT_CSS = """
    Checks { height: auto; padding: 0 1; }
    """

    standing: LabStatus | None = None
    changed: Sequence[str] = ()
    key = "k"  # that grades

    def show(self, standing: LabStatus, changed: Sequence[str] = ()) -> None:
        """changed: the files that were written since the run on the screen began."""
        self.standing, self.changed = standing, changed
        self.show_again()

    def show_again(self) -> None:
        """There may be more room, or less."""
        if self.standing is not None:
            self.styles.height = len(self._all(self.standing, max(1, self.content_size.width)))
            self.show_lines()

    def on_resize(self) -> None:
        self.show_again()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return self._all(self.standing, width)[:height] if self.standing is not None else []

    def _all(self, standing: LabStatus, width: int) -> list[Line]:
        drawn = [self._head(standing, width)]
        if standing.has_to_predict:
            said = _("shown once you have predicted: some of them would tell the answer")
            return [*drawn, *((Piece(f"  {line}", "quiet"),) for line in wrapped(said, width - 2))]
        if standing.is_outdated:
            said = _("graded before you changed your files; {key} grades them as they are now", key=self.key)
            drawn += [(Piece(f"  {line}", "warn"),) for line in wrapped(said, width - 2)]
        if self.changed:
            files = ", ".join(self.changed)
            said = _("the charts are of the run before you changed {files}; g trains it as it is now", files=files)
            drawn += [(Piece(f"  {line}", "warn"),) for line in wrapped(said, width - 2)]
        drawn += [(Piece(f"  {line}", "trouble"),) for line in wrapped(clean(standing.problem), width - 2) if line]
        checks = {passed: _lines(standing, passed, width) for passed in _ORDER}
        for passed in _ORDER:
            drawn += checks[passed]
        if len(drawn) <= self._room() or not checks[False] or not checks[True]:
            return drawn
        met = sum(passed for _, passed in standing.outcomes.values())
        folded = (Piece("✓ ", "good"), Piece(_("{count} met", count=met), "quiet"))
        return [*drawn[: len(drawn) - len(checks[True])], folded]

    def _room(self) -> int:
        """Rows that the box around it can show at once, beside what else is in it."""
        box = self.parent
        assert isinstance(box, Widget)
        limit = box.styles.max_height
        if limit is not None and limit.unit is Unit.CELLS:
            return int(limit.value)
        others = (child for child in box.children if child is not self and child.display)
        return box.content_size.height - sum(child.outer_size.height for child in others)

    def _head(self, standing: LabStatus, width: int) -> Line:
        met, of = standing.met
        left = [Piece(_("criteria"), "strong")]
        right = [
            Piece(
                reached(standing.record) or _("not graded yet"),
                "good" if standing.outcomes and met == of else "quiet",
            )
        ]
        return spread(left, right, max(width, width_of(left) + width_of(right) + 1))


class NextCheck(Lines):
    """One line: the first criterion that is not met, for a screen that has no room for all."""

    DEFAULT_CSS = """
    NextCheck { height: 1; padding: 0 1; display: none; }
    """

    standing: LabStatus | None = None

    def show(self, standing: LabStatus) -> None:
        self.standing = standing
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.standing is None:
            return []
        met, of = self.standing.met
        left = [Piece(f"{_('goal')} {met}/{of}  ", "quiet")]
        if self.standing.is_outdated:
            left.append(Piece(_("(before your change)") + "  ", "warn"))
        wanted = [check for check in self.standing.lab.model.checks if not check.bonus]
        open_ones = [check for check in wanted if not self.standing.outcomes.get(check.id, (None, False))[1]]
        if not open_ones:
            return [(*left, Piece(_("all {of} criteria met", of=of), "good"))]
        check = open_ones[0]
        value, _passed = self.standing.outcomes.get(check.id, (None, None))
        numbers = "  ".join(filter(None, [shown(check, value), threshold(check)]))
        text = unmarked(str(check.text))
        return [spread([*left, Piece(text)], [Piece(f"  {numbers}" if numbers else "", "quiet")], width)]


def _lines(standing: LabStatus, passed: bool | None, width: int) -> list[Line]:
    """Of all criteria that came out so."""
    drawn: list[Line] = []
    for check in standing.lab.model.checks:
        if standing.outcomes.get(check.id, (None, None))[1] is passed:
            drawn += _of_one(check, standing, width)
    return drawn


def _of_one(check: Check, standing: LabStatus, width: int) -> list[Line]:
    """A criterion, and below it what went wrong, or what was reached instead of what is wanted.

    What went wrong in files that have changed since is not told: its line is another by now.
    """
    value, passed = standing.outcomes.get(check.id, (None, None))
    is_unwritten = check.id in standing.unwritten
    sign, style = UNWRITTEN if is_unwritten else SIGNS[passed]
    text = unmarked(str(check.text))
    if check.bonus:
        text = f"{_('bonus')}: {text}"
    numbers = [Piece(f"  {shown(check, value)}", style if passed is not None else "")]
    numbers.append(Piece(f"  {threshold(check)}" if threshold(check) else "", "quiet"))
    # The numbers stand behind the last line of the text, which has all of the width.
    *above, last = [[Piece("  "), Piece(line)] for line in wrapped(text, width - 2)]
    if width_of(last) + width_of(numbers) > width:
        above, last = [*above, last], [Piece("  ")]
    drawn = [*map(tuple, above), spread(last, numbers, width)]
    drawn[0] = (Piece(f"{sign} ", style), *drawn[0][1:])
    if standing.is_outdated:
        return drawn
    below = standing.errors.get(check.id, "") or standing.instead.get(check.id, "")
    drawn += [(Piece(f"  {line}", style),) for line in wrapped(clean(below), width - 2) if line]
    why = standing.explanations.get(check.id, "")
    return drawn + (hanging([Piece("  → ", "you")], Piece(clean(why)), width) if why else [])
