"""The top lines of a run, of a lab's screen, and of Home."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from descent.common.glyphs import STATES, progress_bar
from descent.common.i18n import _
from descent.common.numbers import duration, percent, rate, short_count
from descent.common.text import clean
from tui.base import Notice
from tui.data.snapshot import Snapshot, short_id
from tui.data.words import stage_words, state_words
from tui.widgets.lines import STATE_STYLES, Line, Lines, Piece, cut, fitted, spread, width_of

if TYPE_CHECKING:
    from tui.data.labs import LabStatus

LONGEST_STATE = 8  # cells; no state is longer in any language
SHORTEST_BAR = 5
LONGEST_NAME = 20


class LabLine(Lines):
    """The lab, and how many of its criteria are met."""

    DEFAULT_CSS = """
    LabLine { height: 1; padding: 0 1; margin-bottom: 1; }
    """

    standing: "LabStatus | None" = None

    def show(self, standing: "LabStatus") -> None:
        self.standing = standing
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.standing is None:
            return [()]
        standing = self.standing
        left = [Piece("Descent", "strong"), Piece(f"  {_('lab')} ", "quiet")]
        left += [Piece(f"{standing.lab.id}  ", "you"), Piece(clean(standing.title))]
        right = []
        if standing.record.passed is not None:
            right = [Piece(f"✓ {_('passed')}", "good")]
        elif standing.record.attempts:
            right = [Piece(standing.reached, "quiet")]
        return [spread(left, right, width)]


class NoticeLine(Lines):
    """One line: the last notice."""

    notice = Notice("")

    def say(self, notice: Notice) -> None:
        self.notice = notice
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        notice = self.notice
        if not notice.text:
            return [()]
        return [cut([Piece(notice.sign, notice.style), Piece(clean(notice.text), notice.style)], width)]


class Title(Lines):
    """The top line: the program, and how many runs there are."""

    DEFAULT_CSS = "Title { height: 1; padding: 0 1; }"
    right: tuple[Piece, ...] = ()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        return (spread((Piece("Descent", "strong"),), self.right, width),)


class TopLine(Lines):
    """One line, empty until the run is known."""

    DEFAULT_CSS = """
    TopLine { height: 1; padding: 0 1; background: $bar; }
    """

    snapshot: Snapshot | None = None

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.snapshot is None:
            return []
        return [top_line(self.snapshot, width)]


def top_line(now: Snapshot, width: int) -> Line:
    """Return the name and state on the left, the numbers on the right, and the bar between them."""
    wide = width >= 108
    gap = "   " if wide else " "
    word, style = STATES.get(now.state, "?"), STATE_STYLES[now.state]
    if now.anomaly is not None and not now.is_alive:
        word, style = "✗", "trouble"  # it has come to its end, and is broken
    state = f"{word} {fitted(state_words(now.state), LONGEST_STATE)}" if wide else word
    which = "" if now.short_id == now.preset else f" {now.short_id}"  # its preset is not known yet
    # A long name of the user's leaves room for the numbers.
    longest = max(LONGEST_NAME, width // 4)
    named = [*cut([Piece(now.preset, "strong")], longest), *cut([Piece(which, "quiet")], longest)]
    name = [*named, Piece(gap), Piece(state, style)]
    if now.state == "starting" and not now.step:
        return cut([*name, Piece(f"{gap}{stage_words(now.stage)}…", "quiet")], width)
    counted = _count(_("epoch"), _epoch(now), f"{_whole(now.epochs):,}" if now.epochs else None)
    epoch = [Piece(gap), *counted] if now.per_epoch else []  # a loop of one's own may have none that is known
    step = [Piece(gap), *_step(now, _("step"))]
    short = [Piece(gap), *_short_step(now, _("step"))]
    share = now.step / now.total_steps if now.total_steps else 0.0
    right = [Piece(percent(share, width=6) if now.total_steps else "", "strong")]
    if now.is_alive and now.state != "paused":
        right += [Piece(f"{gap}{_('ETA')} ", "quiet"), Piece(f"{duration(now.eta):>5}")]
    if now.speed is not None:
        right += [Piece(f"{gap}{rate(now.speed):>5}"), Piece(f" {_('step/s')}" if wide else _("/s"), "quiet")]
    # Large numbers give way, then the epoch, before anything is cut in two.
    origin = _origin(now) if wide else []
    choices = (
        *([[*name, *origin, *epoch, *step], [*name, *origin, *epoch, *short]] if origin else []),
        [*name, *epoch, *step],
        [*name, *epoch, *short],
        [*name, *short],
    )
    if width_of(right) > width // 2:  # the rest would leave no room for the name
        right = right[:1]
    told = _exactness(now)
    least = width_of(told[-1]) if told else 0
    taken = least + width_of(right) + len(gap)
    bar = SHORTEST_BAR + 1 if now.total_steps else 0
    fitting = [choice for choice in choices if width_of(choice) + taken <= width] or [choices[-1]]
    # Large numbers give way to the bar too, the epoch does not.
    left = next((c for c in fitting if c is not choices[-1] and width_of(c) + taken + bar <= width), fitting[0])
    room = width - width_of(left) - width_of(right) - len(gap) - 1
    for words in told:
        # The reasons leave room for the bar, the short form takes it.
        if width_of(words) <= room - (SHORTEST_BAR if words is not told[-1] else -1):
            left, room = [*left, *words], room - width_of(words)
            break
    if room < SHORTEST_BAR or not now.total_steps:
        return cut(spread(left, right, width), width)
    done, rest = progress_bar(share, room)
    return (*left, Piece(gap), Piece(done, style), Piece(rest, "quiet"), Piece(" "), *right)


def _exactness(now: Snapshot) -> list[list[Piece]]:
    """Return whether a resumed run of a loop of one's own ends the same: in full, in short, and not at all."""
    if now.is_exact is None:
        return []
    if now.is_exact:
        return [[Piece(f"  {_('exact ✓')}", "good")]]
    why = _("not exact: {reasons}", reasons=now.why_not_exact)
    return [[Piece(f"  {why}", "warn")], [Piece(f"  {_('not exact')}", "warn")]]


def _origin(now: Snapshot) -> list[Piece]:
    if now.parent is None:
        return []
    run, step = now.parent
    return [Piece(f"  {_('fork of {run} at step {step:,}', run=short_id(run), step=step)}", "quiet")]


def _step(now: Snapshot, word: str) -> list[Piece]:
    total = now.total_steps
    step = f"{now.step:,}" if total is None else f"{now.step:>{len(f'{total:,}')},}"
    return _count(word, step, f"{total:,}" if total is not None else None)


def _short_step(now: Snapshot, word: str) -> list[Piece]:
    total = now.total_steps
    return _count(word, f"{short_count(now.step):>5}", short_count(total) if total is not None else None)


def _count(what: str, value: str, of: str | None) -> list[Piece]:
    pieces = [Piece(f"{what} ", "quiet"), Piece(value)]
    return [*pieces, Piece(f"/{of}", "quiet")] if of is not None else pieces


def _epoch(now: Snapshot) -> str:
    """Return the number of the current epoch, from 1, padded to the width of the last one."""
    last = _whole(now.epochs) if now.epochs else None
    current = math.floor(now.epoch + 1e-9) + 1
    if last is None:
        return f"{current:,}"
    return f"{min(current, last):>{len(f'{last:,}')},}"


def _whole(epochs: float) -> int:
    return max(1, math.ceil(epochs - 1e-6))
