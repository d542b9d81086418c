"""Tables of a run's members on the terminal: a sweep's candidates, or each model with the mean below."""

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from descent.common import numbers, stdio
from descent.common.glyphs import sparkline
from descent.common.i18n import N_, _, ngettext
from descent.common.numbers import setting
from descent.common.stdio import plain
from descent.common.text import clean, short_names, shorten
from descent.run.result_metrics import MetricName, metric_of, names_in
from descent.run.results import Candidate, MemberResult, RunResult, Winner

# The columns that a narrow terminal shows, the most wanted first.
_WANTED: tuple[MetricName, ...] = (
    "val_loss",
    "val_accuracy",
    "val_r2",
    "val_balanced_accuracy",
    "test_accuracy",
    "test_r2",
    "test_balanced_accuracy",
    "train_loss",
    "test_loss",
    "val_rmse",
    "test_rmse",
    "val_f1",
    "test_f1",
)
_GAP = "  "
_MOST_STEERED = 5  # lines about members that were steered alone
Total = Literal["mean", "std", "stderr"]
_WON, _LOST = "★", "✗"
_CURVE = 16  # cells
_LONGEST_LIST = 8  # numbers of diverged members
_ENDS = {"diverged": N_("diverged at step {step:,}"), "stopped early": N_("stopped early at step {step:,}")}


class Column(NamedTuple):
    """A head, and a cell for each row: text, or (mean, spread), aligned at ±. metric: the name of its metric."""

    head: str
    cells: Sequence[str | tuple[str, str]]
    align: Literal["left", "right"] = "right"
    metric: MetricName | None = None


def table(result: RunResult, *, most: int, curves: Mapping[str, Sequence[float]] = MappingProxyType({})) -> list[str]:
    """Return the lines of a sweep's candidates, else of the members: at most `most` rows, in the terminal's width.

    curves: the validation losses of candidates, by their names.
    """
    if result.candidates:
        return [*_candidates(result, most, curves), *_conclusions(result)]
    return [*members(result, most=most), *_conclusions(result)]


def headline(result: RunResult) -> str:
    """Return how many models there are: 6 candidates × 5 folds, 1 diverged."""
    count = len(result.members)
    groups = max(1, len(result.candidates))
    each = count // groups
    parts = [ngettext("{count} candidate", "{count:,} candidates", groups)] if result.candidates else []
    if count > groups:
        repeats = result.members[0].fold is None
        parts.append(_("{number:,} repeats", number=each) if repeats else _("{number:,} folds", number=each))
    lost = len(result.diverged)
    return " × ".join(parts) + (f", {_('{number:,} diverged', number=lost)}" if lost else "")


def members(result: RunResult, *, most: int) -> list[str]:
    """Return a line for each model. Repeats and folds have mean, standard deviation and standard error below."""
    entries = result.members
    shown = entries[:most]
    keys = short_names(list(entries[0].values))
    # The mean over different candidates says nothing.
    totals: list[tuple[str, Total]] = (
        [] if result.candidates else [(_("mean"), "mean"), (_("std"), "std"), (_("std error"), "stderr")]
    )
    below = [""] * len(totals)
    winners = result.winner.members if result.winner is not None else []
    columns = [
        Column("", [_sign(e.member in winners, e.state == "diverged") for e in shown] + below, "left"),
        Column(_("MEMBER"), [str(e.member) for e in shown] + [name for name, _total in totals], "left"),
        *([Column(_("FOLD"), [str(e.fold) for e in shown] + below)] if entries[0].fold is not None else []),
        Column(_("SEED"), [str(e.seed) for e in shown] + below),
        *(Column(keys[key].upper(), [setting(e.values[key]) for e in shown] + below) for key in keys),
    ]
    for name in names_in(e.metrics for e in entries):
        cells = [numbers.metric(name, e.metrics.get(name)) for e in shown]
        columns.append(
            Column(
                _(metric_of(name).head).upper(),
                cells + [_of_all(result, name, of) for _name, of in totals],
                metric=name,
            )
        )
    columns.append(Column("", [_ended(e) for e in shown] + below, "left"))
    return _lines(columns) + _left_out(len(entries), len(shown), result)


def _candidates(result: RunResult, most: int, curves: Mapping[str, Sequence[float]]) -> list[str]:
    candidates = result.candidates
    shown = candidates[:most]
    keys = short_names(list(candidates[0].values))
    winners = result.winner.members if result.winner is not None else []
    columns = [
        Column("", [_sign(c.members == winners, bool(c.diverged)) for c in shown], "left"),
        *(Column(keys[key].upper(), [setting(c.values[key]) for c in shown]) for key in keys),
    ]
    measured = names_in(c.metrics for c in candidates)
    columns += [
        Column(_(metric_of(name).head).upper(), [_mean(c, name) for c in shown], metric=name) for name in measured
    ]
    columns.append(Column("", [_lost(c, result.members) for c in shown], "left"))
    lines = _lines(columns)
    return _beside(lines, [curves.get(c.name, ()) for c in shown]) + _left_out(len(candidates), len(shown), result)


def _beside(lines: list[str], curves: Sequence[Sequence[float]]) -> list[str]:
    """Return the lines of a table with a curve at the end of each row, all of one scale, if there is room for it."""
    from rich.cells import cell_len

    from engine.cli.tables import padded

    together = [value for curve in curves for value in curve]
    drawn = [sparkline(curve, _CURVE, together) if len(curve) > 1 else "" for curve in curves]
    rows, below = lines[: len(curves) + 1], lines[len(curves) + 1 :]
    wide = max(map(cell_len, rows))
    if not any(drawn) or wide + len(_GAP) + _CURVE > stdio.width():
        return lines
    texts = [_("VAL LOSS SO FAR"), *(plain(each, sys.stdout.encoding) for each in drawn)]
    return [f"{padded(row, wide)}{_GAP}{text}".rstrip() for row, text in zip(rows, texts, strict=True)] + below


def _conclusions(result: RunResult) -> list[str]:
    """Return a line for each member that was steered alone, for the winner, and for the ensemble."""
    said = [
        _(
            "only member {member} was changed: {edits} from step {step:,} on",
            member=entry.member,
            edits=", ".join(edit.set),
            step=edit.step,
        )
        for entry in result.members
        for edit in entry.edits[-1:]
    ][:_MOST_STEERED]
    if result.winner is not None:
        winner = result.winner
        keys = short_names(list(winner.values))
        values = ", ".join(f"{keys[key]} = {setting(value)}" for key, value in winner.values.items())
        scores = [_score(winner, name) for name in names_in([winner.metrics]) if name != "train_loss"]
        best = (
            _("best validation loss: {values}", values=values)
            if winner.by == "val_loss"
            else _("best {metric}: {values}", metric=_(metric_of(winner.by).head), values=values)
        )
        said.append(f"{_WON} {best} ({', '.join(scores)})")
    if result.ensemble is not None:
        together = result.ensemble.metrics
        scores = [f"{_(metric_of(n).head)} {numbers.metric(n, together[n])}" for n in names_in([together])]
        said.append(_("ensemble (mean prediction of the members): {scores}", scores=", ".join(scores)))
    return [line for text in said for line in _folded(text)]


def _score(found: Winner, name: MetricName) -> str:
    """Return "test acc 97.1% ± 0.4% (std error 0.2%)"."""
    mean, std = _mean(found, name)
    spread = f" ± {std} ({_('std error')} {_spread(name, found.spread[name].stderr)})" if std else ""
    return f"{_(metric_of(name).head)} {mean}{spread}"


# --- cells -----------------------------------------------------------------------------------------------


def _sign(won: bool, lost: bool) -> str:
    return _WON if won else _LOST if lost else ""


def _ended(entry: MemberResult) -> str:
    """Return "diverged at step 12", or nothing for a model that trained to the run's end."""
    return _(_ENDS[entry.state], step=entry.step) if entry.state in _ENDS else ""


def _lost(candidate: Candidate, entries: Sequence[MemberResult]) -> str:
    """Return "2/3 diverged, step 12", or the result of _ended for a candidate of one model."""
    if len(candidate.members) == 1:
        return _ended(entries[candidate.members[0]])
    steps = [entries[member].step for member in candidate.diverged]
    if not steps:
        return ""
    return _(
        "{number}/{total} diverged, step {step:,}", number=len(steps), total=len(candidate.members), step=min(steps)
    )


def _spread(name: MetricName, value: float | None) -> str:
    return "" if value is None else numbers.spread(name, value)


def _mean(found: Candidate | Winner, name: MetricName) -> tuple[str, str]:
    spread = found.spread.get(name)
    return numbers.metric(name, found.metrics.get(name)), "" if spread is None else _spread(name, spread.std)


def _of_all(result: RunResult, name: MetricName, of: Total) -> str:
    if of == "mean":
        return numbers.metric(name, result.metrics.get(name))
    spread = result.spread.get(name)
    if spread is None:
        return ""
    return _spread(name, spread.std if of == "std" else spread.stderr)


# --- lines -----------------------------------------------------------------------------------------------


def _lines(columns: Sequence[Column]) -> list[str]:
    """Return the columns next to each other under their heads, those of numbers as far as there is room."""
    from rich.cells import cell_len

    blocks = [(column.metric, _padded(column)) for column in columns if column.metric or any(column.cells)]
    room = (
        stdio.width() - sum(cell_len(block[0]) + len(_GAP) for metric, block in blocks if metric is None) + len(_GAP)
    )
    fitting: list[MetricName] = []
    for name, block in sorted(
        ((metric, block) for metric, block in blocks if metric is not None), key=lambda b: _rank(b[0])
    ):
        room -= cell_len(block[0]) + len(_GAP)
        if fitting and room < 0:
            break
        fitting.append(name)
    shown = [block for metric, block in blocks if metric is None or metric in fitting]
    lines = [_GAP.join(cells).rstrip() for cells in zip(*shown, strict=True)]
    left_out = [
        _(metric_of(metric).head) for metric, _block in blocks if metric is not None and metric not in fitting
    ]
    if left_out:
        lines += _folded(_("(a wider terminal and --json also show {columns})", columns=", ".join(left_out)))
    return lines


def _rank(name: MetricName) -> int:
    """Return how much a column is wanted, from 0 on. Metrics of the user's own come after the first two."""
    return _WANTED.index(name) if name in _WANTED[:2] else 2 + _WANTED.index(name) if name in _WANTED else 2


def _padded(column: Column) -> list[str]:
    """Return the head and the cells of one column, all of one width."""
    from rich.cells import cell_len

    encoding = sys.stdout.encoding
    sign = plain(" ± ", encoding)
    pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in column.cells]
    left, right = (max((len(plain(pair[side], encoding)) for pair in pairs), default=0) for side in (0, 1))
    cells = []
    for mean, spread in pairs:
        if right:
            tail = f"{sign}{spread:<{right}}" if spread else " " * (len(sign) + right)
            cells.append(f"{plain(mean, encoding):>{left}}{tail}")
        else:
            cells.append(plain(shorten(clean(mean)), encoding))
    texts = [column.head, *cells]
    width = max(map(cell_len, texts))
    blanks = [" " * (width - cell_len(text)) for text in texts]
    rows = zip(texts, blanks, strict=True)
    return [text + blank if column.align == "left" else blank + text for text, blank in rows]


def _folded(text: str) -> list[str]:
    """Wrap a text to the terminal's width in cells, with an indent from the second line on."""
    from rich.cells import cell_len

    first, *words = plain(clean(text), sys.stdout.encoding).split(" ")
    lines = [first]
    for word in words:
        if cell_len(f"{lines[-1]} {word}") <= max(stdio.width(), 20):
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return lines


def _left_out(count: int, shown: int, result: RunResult) -> list[str]:
    """Return the line about the rows that a long table does not show."""
    if shown == count:
        return []
    lost = result.diverged
    listed = ", ".join(str(member) for member in lost[:_LONGEST_LIST]) + (", …" if len(lost) > _LONGEST_LIST else "")
    more = _("… {number:,} more; `descent show RUN --json` has all", number=count - shown)
    return _folded(f"{more}; {_('diverged: {members}', members=listed)}" if lost else more)
