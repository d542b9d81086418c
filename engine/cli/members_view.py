"""The members of a run on the terminal: a table of a sweep's candidates, or of each model with their mean below."""

import sys
import textwrap
from collections.abc import Sequence
from typing import Literal, NamedTuple

from descent.common import numbers, stdio
from descent.common.numbers import setting
from descent.common.stdio import plain
from descent.common.text import clean, short_names, shorten
from descent.run.metrics import METRICS, OF_RESULTS, MetricName
from descent.run.results import Candidate, MemberResult, RunResult, Winner

# What a narrow terminal shows of them, most wanted first.
_WANTED: tuple[MetricName, ...] = ("val_loss", "val_accuracy", "test_accuracy", "train_loss", "test_loss")
_GAP = "  "
_MOST_STEERED = 5  # members of whom it is told that they were steered alone
Total = Literal["mean", "std", "stderr"]
_WON, _LOST = "★", "✗"
_LONGEST_LIST = 8  # numbers of diverged members


class Column(NamedTuple):
    """A head and a cell for each row: text, or (mean, spread), which are aligned at their ±. metric: its name."""

    head: str
    cells: Sequence[str | tuple[str, str]]
    align: Literal["left", "right"] = "right"
    metric: MetricName | None = None


def table(result: RunResult, *, most: int) -> list[str]:
    """The candidates of a sweep, or else the members; at most so many rows, for a terminal of stdio.width()."""
    if result.candidates:
        return [*_candidates(result, most), *_conclusions(result)]
    return [*members(result, most=most), *_conclusions(result)]


def headline(result: RunResult) -> str:
    """How many of what: 6 candidates × 5 folds, 1 diverged."""
    count = len(result.members)
    groups = max(1, len(result.candidates))
    kind = "repeats" if result.members[0].fold is None else "folds"
    parts = [f"{groups:,} candidate{'s' if groups > 1 else ''}"] if result.candidates else []
    parts += [f"{count // groups:,} {kind}"] if count > groups else []
    lost = len(result.diverged)
    return " × ".join(parts) + (f", {lost:,} diverged" if lost else "")


def members(result: RunResult, *, most: int) -> list[str]:
    """Each model on a line; of repeats and folds, the mean, standard deviation and standard error below."""
    entries = result.members
    shown = entries[:most]
    keys = short_names(list(entries[0].values))
    # Of candidates, the mean over all says nothing.
    totals: list[tuple[str, Total]] = (
        [] if result.candidates else [("mean", "mean"), ("std", "std"), ("std error", "stderr")]
    )
    below = [""] * len(totals)
    winners = result.winner.members if result.winner is not None else []
    columns = [
        Column("", [_sign(e.member in winners, e.state == "diverged") for e in shown] + below, "left"),
        Column("MEMBER", [str(e.member) for e in shown] + [name for name, _ in totals], "left"),
        *([Column("FOLD", [str(e.fold) for e in shown] + below)] if entries[0].fold is not None else []),
        Column("SEED", [str(e.seed) for e in shown] + below),
        *(Column(keys[key].upper(), [setting(e.values[key]) for e in shown] + below) for key in keys),
    ]
    for name in OF_RESULTS:
        if any(name in e.metrics for e in entries):
            cells = [numbers.metric(name, e.metrics.get(name)) for e in shown]
            columns.append(
                Column(
                    METRICS[name].head.upper(), cells + [_total(result, name, of) for _, of in totals], metric=name
                )
            )
    columns.append(Column("", [_ended(e) for e in shown] + below, "left"))
    return _lines(columns) + _left_out(len(entries), len(shown), result)


def _candidates(result: RunResult, most: int) -> list[str]:
    candidates = result.candidates
    shown = candidates[:most]
    keys = short_names(list(candidates[0].values))
    winners = result.winner.members if result.winner is not None else []
    columns = [
        Column("", [_sign(c.members == winners, bool(c.diverged)) for c in shown], "left"),
        *(Column(keys[key].upper(), [setting(c.values[key]) for c in shown]) for key in keys),
    ]
    measured = [name for name in OF_RESULTS if any(name in c.metrics for c in candidates)]
    columns += [Column(METRICS[name].head.upper(), [_mean(c, name) for c in shown], metric=name) for name in measured]
    columns.append(Column("", [_lost(c, result.members) for c in shown], "left"))
    return _lines(columns) + _left_out(len(candidates), len(shown), result)


def _conclusions(result: RunResult) -> list[str]:
    """Who was steered alone, the winner and the ensemble, a line each, where there are."""
    said = [
        f"member {entry.member} was steered alone: {', '.join(edit.set)} from step {edit.step:,} on"
        for entry in result.members
        for edit in entry.edits[-1:]
    ][:_MOST_STEERED]
    if result.winner is not None:
        winner = result.winner
        keys = short_names(list(winner.values))
        values = ", ".join(f"{keys[key]} = {setting(value)}" for key, value in winner.values.items())
        scores = [_score(winner, name) for name in OF_RESULTS if name in winner.metrics and name != "train_loss"]
        said.append(f"{_WON} {values} wins by validation loss: {', '.join(scores)}")
    if result.ensemble is not None:
        together = result.ensemble.metrics
        scores = [f"{METRICS[n].head} {numbers.metric(n, together[n])}" for n in OF_RESULTS if n in together]
        said.append(f"ensemble, the members' mean prediction: {', '.join(scores)}")
    return [line for text in said for line in _folded(text)]


def _score(found: Winner, name: MetricName) -> str:
    """test acc 97.1% ± 0.4% (std error 0.2%)"""
    mean, std = _mean(found, name)
    error = f" ± {std} (std error {_spread(name, found.spread[name].stderr)})" if std else ""
    return f"{METRICS[name].head} {mean}{error}"


# --- cells -----------------------------------------------------------------------------------------------


def _sign(won: bool, lost: bool) -> str:
    return _WON if won else _LOST if lost else ""


def _ended(entry: MemberResult) -> str:
    """diverged at step 12; nothing of one that trained to the run's end."""
    return f"{entry.state} at step {entry.step:,}" if entry.state in ("diverged", "stopped early") else ""


def _lost(candidate: Candidate, entries: Sequence[MemberResult]) -> str:
    """2/3 diverged, step 12; of a candidate of one model, what _ended says."""
    if len(candidate.members) == 1:
        return _ended(entries[candidate.members[0]])
    steps = [entries[member].step for member in candidate.diverged]
    return f"{len(steps):,}/{len(candidate.members):,} diverged, step {min(steps):,}" if steps else ""


def _spread(name: MetricName, value: float | None) -> str:
    return "" if value is None else numbers.spread(name, value)


def _mean(found: Candidate | Winner, name: MetricName) -> tuple[str, str]:
    spread = found.spread.get(name)
    return numbers.metric(name, found.metrics.get(name)), "" if spread is None else _spread(name, spread.std)


def _total(result: RunResult, name: MetricName, of: Total) -> str:
    if of == "mean":
        return numbers.metric(name, result.metrics.get(name))
    spread = result.spread.get(name)
    if spread is None:
        return ""
    return _spread(name, spread.std if of == "std" else spread.stderr)


# --- lines -----------------------------------------------------------------------------------------------


def _lines(columns: Sequence[Column]) -> list[str]:
    """The columns beside one another under their heads, those of numbers as far as there is room."""
    blocks = [(column.metric, _block(column)) for column in columns if column.metric or any(column.cells)]
    room = stdio.width() - sum(len(block[0]) + len(_GAP) for metric, block in blocks if metric is None) + len(_GAP)
    fitting: list[MetricName] = []
    for name, block in sorted(
        ((metric, block) for metric, block in blocks if metric is not None), key=lambda b: _WANTED.index(b[0])
    ):
        room -= len(block[0]) + len(_GAP)
        if fitting and room < 0:
            break
        fitting.append(name)
    shown = [block for metric, block in blocks if metric is None or metric in fitting]
    lines = [_GAP.join(cells).rstrip() for cells in zip(*shown, strict=True)]
    left_out = [METRICS[metric].head for metric, _ in blocks if metric is not None and metric not in fitting]
    if left_out:
        lines += _folded(f"(a wider terminal and --json show {', '.join(left_out)} too)")
    return lines


def _block(column: Column) -> list[str]:
    """The head and the cells of one column, all as wide."""
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
    width = max(map(len, [column.head, *cells]))
    return [cell.ljust(width) if column.align == "left" else cell.rjust(width) for cell in (column.head, *cells)]


def _folded(text: str) -> list[str]:
    said = plain(clean(text), sys.stdout.encoding)
    return textwrap.wrap(said, max(stdio.width(), 20), subsequent_indent="  ")


def _left_out(count: int, shown: int, result: RunResult) -> list[str]:
    """What a long table does not show."""
    if shown == count:
        return []
    lost = result.diverged
    listed = ", ".join(str(member) for member in lost[:_LONGEST_LIST]) + (", …" if len(lost) > _LONGEST_LIST else "")
    diverged = f"; diverged: {listed}" if lost else ""
    return _folded(f"… {count - shown:,} more, all in `descent show RUN --json`{diverged}")
