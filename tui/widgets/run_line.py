"""A run as one line of a list: state, name, progress, and the latest number worth comparing."""

from rich.cells import cell_len

from descent.common.glyphs import STATES, sparkline
from descent.common.i18n import N_, _
from descent.common.numbers import percent, short_number
from tui.data.runs import RunStatus
from tui.data.words import split_words, state_words
from tui.widgets.lines import STATE_STYLES, Line, Piece, fitted

_STATUS, _NUMBER, _AGE = 11, 8, 11  # cells of the columns, the space before them included


def run_line(run: RunStatus, width: int, *, now: float) -> Line:
    """Return the run in exactly `width` cells. now: the time, for how long ago it has ended."""
    curve = 0 if width < 50 else 8 if width < 70 else 16
    wide = width >= 76
    gap = 2 if wide else 1  # before the metric, whose label would seem to belong to the age
    labels = gap + max(cell_len(word) for word in (split_words("test"), split_words("validation"), _("loss")))
    room = width - 3 - _STATUS - labels - _NUMBER - (curve + 2 if curve else 0) - (_AGE if wide else 0)
    name = fitted(run.name, min(cell_len(run.name), room - (len(run.letters) + 1 if run.letters else 0)))
    style = STATE_STYLES.get(run.state, "")
    age = "" if run.alive else ago(now - run.changed)
    # Where there is no room for both, the time is worth more than a word that says what the sign says already.
    state = age if run.state == "finished" and not wide else status(run)
    pieces = [
        Piece(f" {STATES.get(run.state, '?')} ", style),
        Piece(name),
        Piece(fitted(f" {run.letters}" if run.letters else "", room - cell_len(name)), "quiet"),
        Piece(fitted(state, _STATUS, right=True), style if run.alive or style == "trouble" else "quiet"),
    ]
    if wide:
        pieces.append(Piece(fitted(age, _AGE, right=True), "quiet"))
    label, number = metric(run)
    pieces += [Piece(fitted(label, labels, right=True), "quiet"), Piece(fitted(number, _NUMBER, right=True))]
    if curve:
        drawn = sparkline(run.loss, curve)
        pieces.append(Piece(f"  {fitted(drawn, curve)}", "train" if run.alive else "quiet"))
    return tuple(pieces)


def status(run: RunStatus) -> str:
    """Return its progress, or how it ended."""
    match run.state:
        case "running" | "paused":
            return percent(run.share, 0) if run.total else state_words(run.state)
        case "finished":
            return _("done")
        case _:
            return state_words(run.state)


def metric(run: RunStatus) -> tuple[str, str]:
    """Return the latest number worth comparing: of the test split, else of validation, else the training loss."""
    if run.failed_at_start:
        return "", _("at start")
    for split in ("test", "validation"):
        reached = run.last(split)
        if reached is not None:
            loss, accuracy = reached
            return split_words(split), percent(accuracy) if accuracy is not None else short_number(loss)
    return (_("loss"), short_number(run.last_loss)) if run.last_loss is not None else ("", "")


def ago(seconds: float) -> str:
    """Say how long ago it was, in one unit: "3 h ago"."""
    units = ((N_("{count} d ago"), 86400), (N_("{count} h ago"), 3600), (N_("{count} min ago"), 60))
    for text, length in units:
        if seconds >= length:
            return _(text, count=int(seconds // length))
    return _("just now")
