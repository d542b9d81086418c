"""A run as one line of a list: its state, its name, how far it is, and the latest number worth comparing."""

from rich.cells import cell_len

from descent.common.glyphs import STATES, sparkline
from descent.common.numbers import percent, short_number
from tui.data.runs import RunStatus
from tui.widgets.lines import STATE_STYLES, Line, Piece, fitted

_STATUS, _METRIC, _AGE = 11, 13, 11  # cells of the columns, the space before them included


def run_line(run: RunStatus, width: int, *, now: float) -> Line:
    """The run in exactly `width` cells. now: the time, for how long ago it has ended."""
    curve = 0 if width < 50 else 8 if width < 70 else 16
    wide = width >= 76
    gap = 2 if wide else 1  # before the metric, whose label would seem to belong to the age
    room = width - 3 - _STATUS - (_METRIC - 1 + gap) - (curve + 2 if curve else 0) - (_AGE if wide else 0)
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
    pieces += [Piece(f"{label:>{gap + 4}}", "quiet"), Piece(fitted(number, _METRIC - 5, right=True))]
    if curve:
        drawn = sparkline(run.loss, curve)
        pieces.append(Piece(f"  {fitted(drawn, curve)}", "train" if run.alive else "quiet"))
    return tuple(pieces)


def status(run: RunStatus) -> str:
    """How far it is, or how it ended."""
    match run.state:
        case "running" | "paused":
            return percent(run.share, 0) if run.total else run.state
        case "finished":
            return "done"
        case _:
            return run.state


def metric(run: RunStatus) -> tuple[str, str]:
    """The latest number worth comparing: of the test split, else the validation split, else the training loss."""
    if run.failed_at_start:
        return "", "at start"
    for split, short in (("test", "test"), ("validation", "val")):
        reached = run.last(split)
        if reached is not None:
            loss, accuracy = reached
            return short, percent(accuracy) if accuracy is not None else short_number(loss)
    return ("loss", short_number(run.last_loss)) if run.last_loss is not None else ("", "")


def ago(seconds: float) -> str:
    """How long ago, in one unit: "3 h ago"."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"
