"""Output about studies: the table of a study's points, its curve, JSON and CSV."""

import csv
import io
import math
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from descent.common import numbers, stdio
from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import N_, _, ngettext
from descent.common.numbers import setting
from descent.common.text import clean, short_names, shorten
from descent.run.lock import worker_pid
from descent.run.result_metrics import DECIDING, METRICS, MetricName, best_of, metric_of, names_in
from engine.cli import tables
from engine.cli.study_plot import draw
from engine.preset.overrides import toml
from engine.study import folder as folders
from engine.study.folder import Study, continuing, word_for
from engine.study.results import Outcome, Point, Spread, outcomes, points
from engine.study.vary import label

# The columns that a narrow terminal shows, the most wanted first.
_WANTED: tuple[MetricName, ...] = (
    *DECIDING,
    "train_accuracy",
    "test_r2",
    "test_balanced_accuracy",
    "test_rmse",
    "test_f1",
    "val_r2",
    "val_balanced_accuracy",
    "val_rmse",
    "val_f1",
)
_COLUMN_GAP = 2
_LONGEST_REASON = 200
_FAILURES = 5  # of which the reason is shown
_ORDER = ("finished", "running", "paused", "starting", "stopped", "lost", "failed", N_("damaged"), N_("waiting"))


# --- the table and the curve ---


def show_study(study: Study, *, metric: str | None, by: str | None) -> None:
    """Print the table with one row per point, the failures below it, and the curve."""
    found = outcomes(study)
    here = points(found)
    counts = Counter(one.state for one in found)
    fields = [
        (_("preset"), study.preset.removesuffix(".toml")),
        *([(_("set"), "  ".join(study.overrides))] if study.overrides else []),
        (_("jobs"), f"{len(found):,}: {_counted(counts)}"),
        (_("folder"), str(study.folder)),
    ]
    tables.print_fields(study.name, fields)
    print()
    _print_points(study, here)
    _print_failures(found)
    lines = draw(study, here, metric=metric, by=by)
    if lines is not None:
        print()
        output_text(lines)
    if any(counts[state] for state in ("waiting", "stopped", "lost")) and worker_pid(study.folder) is None:
        stdio.say(_("continue with: {command}", command=continuing(study)))


def output_text(lines: Any) -> None:
    """Print a Rich text in its full width."""
    from rich.console import Console

    Console(width=max(stdio.width(), 20), highlight=False, soft_wrap=True).print(lines)


def _print_points(study: Study, here: Sequence[Point]) -> None:
    names = short_names([axis.key for axis in study.axes])
    several = len({point.parameters for point in here} - {None}) > 1
    head = [name.upper() for name in names.values()]
    rows = [[setting(point.values[key]) for key in names] for point in here]
    right = []
    if several:
        right.append(_("PARAMETERS"))
        head += right
        rows = [
            [*row, f"{point.parameters:,}" if point.parameters else ""] for row, point in zip(rows, here, strict=True)
        ]
    states = [_state(point.states, study.repeats) for point in here]
    there = names_in(point.metrics for point in here)
    cells = {name: [_cell(name, point.metrics.get(name)) for point in here] for name in there}
    best = best_of([{name: spread.mean for name, spread in point.metrics.items()} for point in here])
    if best is not None:
        place, decided = best
        cells[decided] = [cell + ("*" if at == place else " ") for at, cell in enumerate(cells[decided])]
    fitting = _fitting(
        [head, *rows],
        {name: [_(metric_of(name).head).upper(), *cells[name]] for name in there},
        [_("STATE"), *states],
    )
    numbers = [_(metric_of(name).head).upper() for name in fitting]
    head += numbers
    for name in fitting:
        rows = [[*row, cell] for row, cell in zip(rows, cells[name], strict=True)]
    rows = [[*row, state] for row, state in zip(rows, states, strict=True)]
    tables.print_table([*head, _("STATE")], rows, right=[*right, *numbers], whole=head)
    if best is not None:
        print(_("*: the best"))
    left_out = [_(metric_of(name).head) for name in there if name not in fitting]
    if left_out:
        stdio.say(_("(a wider terminal, --csv and --json also show {columns})", columns=", ".join(left_out)))


def _fitting(
    first: Sequence[Sequence[str]], columns: dict[MetricName, list[str]], last: Sequence[str]
) -> list[MetricName]:
    """Return the columns of numbers that the terminal has room for, in their own order."""
    from rich.cells import cell_len

    room = stdio.width() - max(map(cell_len, last))
    room -= sum(max(map(cell_len, cells)) + _COLUMN_GAP for cells in zip(*first, strict=True))
    chosen: list[MetricName] = []
    own = [name for name in columns if name not in METRICS]
    for name in (name for name in (*_WANTED[:2], *own, *_WANTED[2:]) if name in columns):
        room -= max(map(cell_len, columns[name])) + _COLUMN_GAP
        if room < 0:
            break
        chosen.append(name)
    return [name for name in columns if name in chosen]


def _cell(name: MetricName, spread: Spread | None) -> str:
    """Return "0.123 ± 0.0040", or for an accuracy "97.1% ± 0.40%"."""
    if spread is None:
        return ""
    plus_minus = stdio.plain("±", sys.stdout.encoding)
    mean = numbers.metric(name, spread.mean)
    return mean if spread.std is None else f"{mean} {plus_minus} {numbers.spread(name, spread.std)}"


def _state(states: Counter[str], repeats: int) -> str:
    """Return "finished", or "3/5 finished, 1 failed"."""
    if len(states) == 1:
        return _(next(iter(states)))
    finished = _("{number} {state}", number=f"{states['finished']}/{repeats}", state=_("finished"))
    return ", ".join([finished, *(_number_of(states, state) for state in _ORDER[1:] if states[state])])


def _counted(states: Counter[str]) -> str:
    return ", ".join(_number_of(states, state) for state in _ORDER if states[state])


def _number_of(states: Counter[str], state: str) -> str:
    return _("{number} {state}", number=f"{states[state]:,}", state=_(state))


def _print_failures(found: Sequence[Outcome]) -> None:
    failed = [one for one in found if one.state in ("failed", "damaged")]
    for one in failed[:_FAILURES]:
        # Only the first sentence: `descent show` prints the whole reason of one run.
        reason = shorten(clean(one.reason or _("no reason was kept")).split(". ")[0], _LONGEST_REASON)
        stdio.say(f"{clean(one.job.id)} ({label(one.job.values)} seed={one.job.seed}) {_(one.state)}: {reason}")
    if len(failed) > _FAILURES:
        stdio.say(_("… and {number:,} more; --csv and --json list their reasons", number=len(failed) - _FAILURES))


def print_planned(study: Study, *, as_json: bool) -> None:
    """Print what was planned, and the commands that train it."""
    if as_json:
        tables.print_json({"study": study.name, "dir": str(study.folder), "jobs": len(study.jobs)})
        return
    name, folder, count = clean(study.name), clean(str(study.folder)), len(study.jobs)
    stdio.say(
        ngettext(
            "{name}: {count} job, number 0, in {folder}",
            "{name}: {count:,} jobs, 0 to {last}, in {folder}",
            count,
            name=name,
            last=count - 1,
            folder=folder,
        )
    )
    stdio.say(
        _(
            "train all here: descent study run {word}; only one: descent study job {word} 0; by SLURM: "
            "descent study run {word} --on slurm",
            word=clean(shlex.quote(word_for(study.folder))),
        )
    )


# --- for programs ---


def as_json(study: Study) -> dict[str, Any]:
    """Return the object that `descent study run` and `show` print with --json."""
    found = outcomes(study)
    return {
        "study": study.name,
        "dir": str(study.folder),
        "preset": study.preset.removesuffix(".toml"),
        "states": dict(Counter(one.state for one in found)),
        "points": [_point(point) for point in points(found)],
        "jobs": [_job(study, one) for one in found],
    }


def _point(point: Point) -> dict[str, Any]:
    spreads = {name: {"mean": s.mean, "std": s.std, "n": s.n} for name, s in point.metrics.items()}
    return {
        "values": _json_values(point.values),
        "parameters": point.parameters,
        "states": dict(point.states),
        "metrics": spreads,
    }


def _job(study: Study, one: Outcome) -> dict[str, Any]:
    return {
        "job": one.job.index,
        "run": one.job.id,
        "dir": str(study.run(one.job).path),
        "values": _json_values(one.job.values),
        "seed": one.job.seed,
        "state": one.state,
        "reason": one.reason,
        "step": one.step,
        "epoch": one.epoch,
        "seconds": one.seconds,
        "parameters": one.parameters,
        "metrics": one.metrics,
    }


def _json_values(values: dict[str, Any]) -> dict[str, Any]:
    """Write inf and nan as texts: TOML has them, JSON does not."""
    odd = {key: toml(value) for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)}
    return {**values, **odd}


def write_csv(study: Study, target: str) -> None:
    """Write one row per run into a file, or onto stdout for `-`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [axis.key for axis in study.axes]
    own = ("job", "run", "seed", "repeat", "state", "step", "epoch", "seconds", "parameters")
    found = outcomes(study)
    metrics = [*METRICS, *(name for name in names_in(one.metrics for one in found) if name not in METRICS)]
    writer.writerow([*own, *keys, *metrics, "reason", "dir"])
    for one in found:
        job = one.job
        numbers = (job.repeat, one.state, one.step, one.epoch, one.seconds, one.parameters)
        values = [_field(job.values[key]) for key in keys]
        reached = [one.metrics.get(name) for name in metrics]
        writer.writerow([job.index, job.id, job.seed, *numbers, *values, *reached, one.reason, study.run(job).path])
    if target == "-":
        print(text.getvalue(), end="")
        return
    path = Path(target).expanduser()
    try:
        write_atomically(path, text.getvalue().encode(errors="backslashreplace"))
    except OSError as error:
        raise DescentError(
            _("--csv {file}: can't be written: {error}", file=clean(target), error=error.strerror)
        ) from None
    file = clean(os.fspath(path))
    stdio.say(ngettext("{count} run in {file}", "{count:,} runs in {file}", len(study.jobs), file=file), sys.stderr)


def _field(value: Any) -> Any:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else toml(value)


# --- all ---


def list_studies(studies: Path, *, as_json: bool) -> None:
    """Print one line per study, the latest first: those in the folder `studies`, and those made elsewhere."""
    rows: list[tuple[str, ...]] = []
    listed: list[dict[str, Any]] = []
    for place in folders.known(studies):
        try:
            study = folders.load(place)
            states = Counter(one.state for one in outcomes(study))
        except DescentError as error:
            listed.append({"study": place.name, "dir": str(place), "error": str(error)})
            rows.append((place.name, "", "", _("damaged"), ""))
            continue
        planned = time.strftime("%Y-%m-%d %H:%M", time.localtime((place / "study.json").stat().st_mtime))
        entry = {"study": study.name, "dir": str(place), "preset": study.preset.removesuffix(".toml")}
        vary = {axis.key: len(axis.values) for axis in study.axes}
        listed.append({**entry, "vary": vary, "repeats": study.repeats, "states": dict(states)})
        varied = " × ".join(
            [f"{key} {count}" for key, count in vary.items()]
            + [_("{repeats} seeds", repeats=study.repeats)] * (study.repeats > 1)
        )
        rows.append((study.name, entry["preset"], varied, _counted(states), planned))
    if as_json:
        tables.print_json({"studies": listed})
    elif rows:
        tables.print_table((_("STUDY"), _("PRESET"), _("VARIES"), _("JOBS"), _("PLANNED")), rows)
    else:
        command = "descent study run PRESET --vary KEY=[…]"
        print(_("no studies in {folder}; start one: {command}", folder=clean(str(studies)), command=command))
