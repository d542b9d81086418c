"""A run as one line of a list: state, name, progress, and the latest number worth comparing."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from rich.cells import cell_len

from descent.common.glyphs import sparkline
from descent.common.i18n import _, ngettext
from descent.common.numbers import ago, percent, short_number
from descent.run.health import state_sign
from descent.run.result_metrics import best_of
from tui.data.runs import RunStatus
from tui.data.words import split_words, state_words
from tui.widgets.lines import STATE_STYLES, Line, Piece, fitted

_STATUS, _NUMBER, _AGE = 11, 8, 11  # cells of the columns, the space before them included
_LEAST_NAME, _MOST_NAME = 12, 30
_LEAST_CHANGED = 10  # cells
_CURVE = 8


@dataclass(frozen=True)
class Look:
    """What the lines of a list have in common.

    name: cells of the longest name. best: the best run of each preset. scales: by preset, the least and the greatest
    loss of its curves. changed: what differs from a run's preset.
    """

    name: int = _MOST_NAME
    best: Set[Path] = frozenset()
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    changed: Callable[[RunStatus], str] = lambda run: ""


def look_at(
    runs: Sequence[RunStatus], changed: Callable[[RunStatus], str], listed: Sequence[RunStatus] | None = None
) -> Look:
    """Return what the lines of these runs have in common. listed: those that have a line, by default all of them."""
    names = [cell_len(_named(run)) for run in (runs if listed is None else listed)]
    curves: dict[str, list[float]] = {}
    for run in runs:
        # The losses of a broken model are so large that the others would all be one flat line.
        finite = [loss for loss in run.val_curve if math.isfinite(loss)] if run.broken is None else []
        if finite:
            curves.setdefault(run.preset, []).extend((min(finite), max(finite)))
    scales = {preset: (min(losses), max(losses)) for preset, losses in curves.items()}
    return Look(max(_LEAST_NAME, min(_MOST_NAME, max(names, default=0))), _best(runs), scales, changed)


def _best(runs: Sequence[RunStatus]) -> frozenset[Path]:
    """Return the best of the ended runs of each preset that has several. One with a broken model is never it."""
    groups: dict[str, list[RunStatus]] = {}
    for run in runs:
        if not run.alive and run.preset and run.broken is None:
            groups.setdefault(run.preset, []).append(run)
    found = ((own, best_of([run.results for run in own])) for own in groups.values())
    return frozenset(own[best[0]].folder.path for own, best in found if best is not None)


def _named(run: RunStatus) -> str:
    return f"{run.name} {run.letters}".rstrip()


def heads(width: int, look: Look) -> Line:
    """Return the heads of the columns, for a line of that width; nothing where there are no columns."""
    name, middle, curve = _columns(width, look)
    labels = _labels()
    pieces = [Piece(" " * (3 + name))]
    pieces.append(Piece(fitted(f"  {_('what changed')}" if middle >= 16 else "", middle), "quiet"))
    pieces.append(Piece(fitted(_("result"), 2 + labels + _NUMBER, right=True), "quiet"))
    if curve:
        pieces.append(Piece(f"  {fitted(_('val loss'), curve)}", "quiet"))
    return tuple(pieces)


def _labels() -> int:
    return 1 + max(cell_len(word) for word in (split_words("test"), split_words("validation"), _("loss")))


def _columns(width: int, look: Look) -> tuple[int, int, int]:
    """Return the cells of the name, of what changed or how it ended, and of the curve."""
    least = max(_CURVE, cell_len(_("val loss")))  # its head
    curve = 0 if width < 50 else least if width < 96 else 2 * _CURVE
    rest = width - 3 - 2 - _labels() - _NUMBER - (curve + 2 if curve else 0)
    name = max(8, min(look.name, rest - _STATUS))
    return name, max(0, rest - name), curve


def run_line(run: RunStatus, width: int, *, now: float, look: Look | None = None) -> Line:
    """Return the run in exactly `width` cells. now: the time, for how long ago it has ended."""
    look = look or Look(cell_len(_named(run)))
    wide, middle, curve = _columns(width, look)
    name = fitted(run.name, min(cell_len(run.name), wide - (len(run.letters) + 1 if run.letters else 0)))
    style = state_style(run)
    pieces = [
        Piece(f" {state_sign(run.state, run.broken)} ", style),
        Piece(name),
        Piece(fitted(f" {run.letters}" if run.letters else "", wide - cell_len(name)), "quiet"),
        *_middle(run, middle, style, now, look),
    ]
    is_best = run.folder.path in look.best
    label, number = metric(run)
    pieces += [
        Piece(" ★" if is_best else "  ", "good"),
        Piece(fitted(label, _labels(), right=True), "quiet"),
        Piece(fitted(number, _NUMBER, right=True), "strong" if is_best else ""),
    ]
    if curve:
        if run.val_curve[1:]:
            drawn = sparkline(run.val_curve, curve, look.scales.get(run.preset, ()))
            pieces.append(Piece(f"  {fitted(drawn, curve)}", "validation"))
        else:
            pieces.append(Piece(f"  {fitted(sparkline(run.loss, curve), curve)}", "train" if run.alive else "quiet"))
    return tuple(pieces)


def state_style(run: RunStatus) -> str:
    """Return the style of a run's state."""
    return "trouble" if run.broken is not None else STATE_STYLES.get(run.state, "")


def _middle(run: RunStatus, width: int, style: str, now: float, look: Look) -> list[Piece]:
    """Return how far it is or how it ended, and what was changed, noted or how long ago it was, as there is room."""
    state = "" if run.state == "finished" and run.broken is None else status(run)
    age = "" if run.alive else ago(now - run.changed)
    pinned = "▾ " if run.note.pinned else ""
    changed = look.changed(run) if width >= _LEAST_CHANGED else ""
    if run.candidates and not changed:
        changed = ngettext("{count} candidate", "{count} candidates", run.candidates)
    told = [text for text in (changed, run.note.text if width >= _LEAST_CHANGED else "") if text]
    right = state or age
    text = "  ".join(told) or (age if state and width >= _STATUS + _AGE else "")
    room = width - cell_len(right) - 1
    if told and not state:  # what it is of says more than how long ago it was
        right = age if room - cell_len(pinned + text) >= 2 else ""
        room = width - cell_len(right) - (1 if right else 0)
    left = fitted(f"  {pinned}{text}" if text or pinned else "", max(0, room))
    tail = f"{' ' if right or not told else ''}{right}"
    return [
        Piece(left, "quiet"),
        Piece(
            fitted(tail, width - cell_len(left), right=True), style if run.alive or style == "trouble" else "quiet"
        ),
    ]


def status(run: RunStatus) -> str:
    """Return its progress, or how it ended, or that its model is broken."""
    if run.broken is not None:
        return run.broken.words
    match run.state:
        case "running" | "paused":
            return percent(run.share, 0) if run.total else state_words(run.state)
        case "finished":
            return _("done")
        case _:
            return state_words(run.state)


def metric(run: RunStatus) -> tuple[str, str]:
    """Return the number that runs are compared by: of the validation, else of the test, else the training loss."""
    if run.failed_at_start:
        return "", _("at start")
    for split in ("validation", "test"):
        reached = run.last(split)
        if reached is not None:
            loss, accuracy = reached
            return split_words(split), percent(accuracy) if accuracy is not None else short_number(loss)
    return (_("loss"), short_number(run.last_loss)) if run.last_loss is not None else ("", "")
