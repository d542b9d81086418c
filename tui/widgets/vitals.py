"""The second line of a console: the losses and accuracies now, and what is going on; of an ended run, its receipt."""

from collections.abc import Sequence

from descent.common.glyphs import STATES
from descent.common.i18n import _, pgettext
from descent.common.numbers import count, number, percent, time_taken
from descent.run import verdict as verdicts
from descent.run.verdict import Kind, Verdict
from tui.data.snapshot import BestEvaluation, Snapshot
from tui.data.words import split_words
from tui.widgets.lines import Line, Lines, Piece, cut, width_of

SIGNS: dict[Kind, tuple[str, str]] = {
    "broken": ("✗", "trouble"),
    "collapsed": ("✗", "trouble"),
    "rate": ("▲", "warn"),
    "vanishing": ("▼", "warn"),
    "overfitting": ("▲", "warn"),
    "plateau": ("▬", "warn"),
    "learning": ("●", "good"),
}  # a sign and a style of each verdict
TREND = 0.01  # of a loss; a smaller change is none
GAP = "   "


class VitalsLine(Lines):
    """One line, empty until something is measured."""

    DEFAULT_CSS = "VitalsLine { height: 1; padding: 0 1; }"

    snapshot: Snapshot | None = None
    offers_help = True  # whether keys can change the run

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.snapshot is None:
            return [()]
        return [vitals(self.snapshot, width, offers_help=self.offers_help)]


def vitals(now: Snapshot, width: int, *, offers_help: bool = True) -> Line:
    """Return the line in `width` cells. Numbers give way to the verdict, the best evaluation first."""
    if now.past is not None:
        return _past(now, width)
    if not now.is_alive and now.state != "starting" and now.step:
        return receipt(now, width)
    told = _told(now.verdict, now, offers_help=offers_help) if now.verdict is not None else [()]
    numbers = _numbers(now)
    for said in told:
        for parts in (numbers, [part for part in numbers if part[0] != "best"], numbers[:3], numbers[:2]):
            pieces = _joined([pieces for _, pieces in parts])
            if width_of(pieces) + width_of(said) + (len(GAP) if said else 0) <= width:
                return (*pieces, Piece(GAP), *said) if said and pieces else (*pieces, *said)
    return cut(told[-1], width)


def _past(now: Snapshot, width: int) -> Line:
    """Return the step in the past that is shown, what was known then, and the key back to now."""
    assert now.past is not None
    step = Piece(f"◀ {_('step {step}', step=count(now.past))}", "chosen")
    epoch = "" if now.past_epoch is None else _("epoch {epoch}", epoch=f"{now.past_epoch:,.1f}")
    back = [Piece("esc", "key"), Piece(f" {pgettext('time', 'now')}", "quiet")]
    numbers = _numbers(now)
    for parts in (numbers, [part for part in numbers if part[0] != "best"], numbers[:2], []):
        pieces = [step, *([Piece(f"  {epoch}", "quiet")] if epoch else []), Piece(GAP)]
        pieces += [*_joined([each for _, each in parts]), Piece(GAP), *back]
        if width_of(pieces) <= width:
            return tuple(pieces)
    return cut([step, Piece(GAP), *back], width)


def _joined(parts: Sequence[Sequence[Piece]]) -> list[Piece]:
    pieces: list[Piece] = []
    for part in parts:
        pieces += [*([Piece(GAP)] if pieces else []), *part]
    return pieces


def _numbers(now: Snapshot) -> list[tuple[str, list[Piece]]]:
    """The numbers with their names, each as wide whatever it is, the most wanted first."""
    found: list[tuple[str, list[Piece]]] = []
    if now.loss is not None:
        found.append(("train", _loss("train", now.loss, now.loss_trend)))
    if now.val_loss is not None:
        found.append(("val", _loss("validation", now.val_loss, now.val_trend)))
    if now.accuracy is not None:
        both = [percent(now.accuracy).removesuffix("%")]
        pieces = [Piece(f"{_('acc')} ", "quiet"), Piece(f"{both[0]:>4}", "train")]
        if now.val_accuracy is not None:
            pieces += [Piece(" / ", "quiet"), Piece(percent(now.val_accuracy).removesuffix("%"), "validation")]
        found.append(("accuracy", [*pieces, Piece(" %", "quiet")]))
    if now.val_balanced_accuracy is not None:
        balanced = percent(now.val_balanced_accuracy)
        found.append(("balanced", [Piece(f"{_('bal')} ", "quiet"), Piece(balanced, "validation")]))
    if now.val_r2 is not None:
        found.append(("r2", [Piece(f"{_('R²')} ", "quiet"), Piece(number(now.val_r2), "validation")]))
    if now.best is not None:
        text = _("best {value} {when}", value=_score(now.best), when=_when(now.best))
        found.insert(min(2, len(found)), ("best", [Piece("★ ", "validation"), Piece(text, "quiet")]))
    return found


def _loss(split: str, value: float, change: float) -> list[Piece]:
    sign = "→" if abs(change) < TREND else "↓" if change < 0 else "↑"
    return [Piece(f"{split_words(split)} ", "quiet"), Piece(f"{number(value):<7}", split), Piece(sign, "quiet")]


def _score(best: BestEvaluation) -> str:
    return percent(best.value) if best.is_share else number(best.value)


def _when(best: BestEvaluation) -> str:
    if best.epoch is not None:
        return _("epoch {epoch}", epoch=count(best.epoch))
    return _("step {step}", step=count(best.step))


def _told(verdict: Verdict, now: Snapshot, *, offers_help: bool) -> list[list[Piece]]:
    """The verdict, with the key that helps where there is room, and without."""
    sign, style = SIGNS[verdict.kind]
    said = [Piece(f"{sign} ", style), Piece(verdicts.words(verdict), style if style != "good" else "")]
    help_of: dict[Kind, tuple[str, str]] = {
        "broken": ("a", _("options")),
        "collapsed": ("a", _("options")),
        "rate": ("-", _("lower the rate")),
        "plateau": ("-", _("lower the rate")),
        "vanishing": ("6", _("layers")),
    }
    if now.best_checkpoint is not None:
        help_of["overfitting"] = ("b", _("back to the best"))
    if not offers_help or verdict.kind not in help_of:
        return [said]
    key, label = help_of[verdict.kind]
    return [[*said, Piece(GAP), Piece(key, "key"), Piece(f" {label}", "quiet")], said]


def receipt(now: Snapshot, width: int) -> Line:
    """What came out of a run that has ended: results and the best of them, the time, the last checkpoint.

    The last ones are left out where there is no room for them.
    """
    is_broken = now.anomaly is not None or now.state in ("failed", "lost")
    sign = "✗" if is_broken else STATES.get(now.state, "")
    parts: list[list[Piece]] = []
    if now.anomaly is not None:
        what = verdicts.Verdict("collapsed" if now.anomaly.collapse else "broken", now.anomaly.step)
        parts.append([Piece(verdicts.words(what), "trouble")])
    for split, loss, accuracy in (
        ("test", now.test_loss, now.test_accuracy),
        ("validation", now.val_loss, now.val_accuracy),
        ("train", now.loss, None),
    ):
        if loss is None and accuracy is None:
            continue
        value = percent(accuracy) if accuracy is not None else number(loss)
        pieces = [
            Piece(f"{split_words(split)} ", "quiet"),
            Piece(value, split if split != "test" else "" if is_broken else "good"),
        ]
        if split == "validation" and now.best is not None and now.best.step != now.step and not is_broken:
            at_best = now.best.accuracy if accuracy is not None else None
            by_loss = at_best is not None and not now.best.is_share
            value = percent(at_best) if at_best is not None else _score(now.best)
            # A lower loss may have a lower accuracy: as "the best" it would look wrong.
            text = _("at the lowest loss, {when}: {value}") if by_loss else _("at the best, {when}: {value}")
            pieces.append(Piece(f" ({text.format(value=value, when=_when(now.best))})", "quiet"))
        parts.append(pieces)
    if now.seconds:
        parts.append([Piece(time_taken(now.seconds))])
    if now.checkpoints:
        parts.append([Piece(f"{_('checkpoint')} ", "quiet"), Piece(f"step-{now.checkpoints[-1]}")])
    else:
        parts.append([Piece(_("no checkpoint"), "quiet")])
    first = Piece(f"{sign} ", "trouble" if is_broken else "good")
    while len(parts) > 1 and width_of((first, *_joined(parts))) > width:
        parts.pop()
    return cut((first, *_joined(parts)), width)
