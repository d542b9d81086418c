"""A study for people and for other programs: the table of its points, its curve, JSON and CSV."""

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
from descent.common.numbers import setting
from descent.common.text import clean, short_names, shorten
from descent.run.lock import worker_pid
from descent.run.metrics import METRICS, MetricName
from engine.cli import tables
from engine.cli.study_plot import draw
from engine.preset.overrides import toml
from engine.study import folder as folders
from engine.study.folder import Study
from engine.study.results import Outcome, Point, Spread, outcomes, points
from engine.study.vary import label

# What a narrow terminal shows of them, most wanted first.
_WANTED: tuple[MetricName, ...] = (
    "test_accuracy",
    "train_loss",
    "test_loss",
    "val_loss",
    "val_accuracy",
    "train_accuracy",
)
_COLUMN_GAP = 2
_LONGEST_REASON = 200
_FAILURES = 5  # of which the reason is shown
_ORDER = ("finished", "running", "paused", "starting", "stopped", "lost", "failed", "damaged", "waiting")


# --- the table and the curve ---


def show_study(study: Study, *, metric: str | None, by: str | None) -> None:
    """The table, one row a point, what went wrong below it, and the curve."""
    found = outcomes(study)
    here = points(found)
    counts = Counter(one.state for one in found)
    fields = [
        ("preset", study.preset.removesuffix(".toml")),
        *([("set", "  ".join(study.overrides))] if study.overrides else []),
        ("jobs", f"{len(found):,}: {_counted(counts)}"),
        ("folder", str(study.folder)),
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
        stdio.say(f"go on with: descent study run {shlex.quote(clean(study.name))}")


def output_text(lines: Any) -> None:
    """A Rich text, as wide as it is."""
    from rich.console import Console

    Console(width=max(stdio.width(), 20), highlight=False, soft_wrap=True).print(lines)


def _print_points(study: Study, here: Sequence[Point]) -> None:
    names = short_names([axis.key for axis in study.axes])
    several = len({point.parameters for point in here} - {None}) > 1
    head = [name.upper() for name in names.values()]
    rows = [[setting(point.values[key]) for key in names] for point in here]
    if several:
        head.append("PARAMETERS")
        rows = [
            [*row, f"{point.parameters:,}" if point.parameters else ""] for row, point in zip(rows, here, strict=True)
        ]
    states = [_state(point.states, study.repeats) for point in here]
    cells = {name: [_cell(name, point.metrics.get(name)) for point in here] for name in METRICS}
    there = [name for name in METRICS if any(cells[name])]
    fitting = _fitting(
        [head, *rows], {name: [METRICS[name].head.upper(), *cells[name]] for name in there}, ["STATE", *states]
    )
    numbers = [METRICS[name].head.upper() for name in fitting]
    head += numbers
    for name in fitting:
        rows = [[*row, cell] for row, cell in zip(rows, cells[name], strict=True)]
    rows = [[*row, state] for row, state in zip(rows, states, strict=True)]
    tables.print_table([*head, "STATE"], rows, right=["PARAMETERS", *numbers], whole=head)
    left_out = [METRICS[name].head for name in there if name not in fitting]
    if left_out:
        stdio.say(f"(a wider terminal, --csv and --json show {', '.join(left_out)} too)")


def _fitting(
    first: Sequence[Sequence[str]], columns: dict[MetricName, list[str]], last: Sequence[str]
) -> list[MetricName]:
    """The columns of numbers that the terminal has room for, in their own order."""
    room = stdio.width() - max(map(len, last))
    room -= sum(max(map(len, cells)) + _COLUMN_GAP for cells in zip(*first, strict=True))
    chosen: list[MetricName] = []
    for name in (name for name in _WANTED if name in columns):
        room -= max(map(len, columns[name])) + _COLUMN_GAP
        if room < 0:
            break
        chosen.append(name)
    return [name for name in columns if name in chosen]


def _cell(name: MetricName, spread: Spread | None) -> str:
    """0.123 ± 0.0040, or of an accuracy 97.1% ± 0.40%."""
    if spread is None:
        return ""
    plus_minus = stdio.plain("±", sys.stdout.encoding)
    mean = numbers.metric(name, spread.mean)
    return mean if spread.std is None else f"{mean} {plus_minus} {numbers.spread(name, spread.std)}"


def _state(states: Counter[str], repeats: int) -> str:
    """finished, or 3/5 finished, 1 failed."""
    if len(states) == 1:
        return next(iter(states))
    others = [f"{states[state]} {state}" for state in _ORDER[1:] if states[state]]
    return ", ".join([f"{states['finished']}/{repeats} finished", *others])


def _counted(states: Counter[str]) -> str:
    return ", ".join(f"{states[state]:,} {state}" for state in _ORDER if states[state])


def _print_failures(found: Sequence[Outcome]) -> None:
    failed = [one for one in found if one.state in ("failed", "damaged")]
    for one in failed[:_FAILURES]:
        # The first sentence says what; what to do about it is for one run, which `descent show` shows.
        reason = shorten(clean(one.reason or "no reason was kept").split(". ")[0], _LONGEST_REASON)
        stdio.say(f"{clean(one.job.id)} ({label(one.job.values)} seed={one.job.seed}) {one.state}: {reason}")
    if len(failed) > _FAILURES:
        stdio.say(f"… and {len(failed) - _FAILURES:,} more, with their reasons in --csv and --json")


def print_planned(study: Study, *, as_json: bool) -> None:
    """What was planned, and what trains it."""
    if as_json:
        tables.print_json({"study": study.name, "dir": str(study.folder), "jobs": len(study.jobs)})
        return
    name = clean(study.name)
    stdio.say(f"{name}: {len(study.jobs):,} jobs, 0 to {len(study.jobs) - 1}, in {clean(str(study.folder))}")
    stdio.say(
        f"train them here: descent study run {name}; one alone: descent study job {name} 0; as a SLURM array: "
        f"descent study slurm {name} | sbatch"
    )


# --- for programs ---


def as_json(study: Study) -> dict[str, Any]:
    """The object that `descent study run` and `show` print with --json."""
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
    """TOML has inf and nan, which JSON has not: as texts."""
    odd = {key: toml(value) for key, value in values.items() if isinstance(value, float) and not math.isfinite(value)}
    return {**values, **odd}


def write_csv(study: Study, target: str) -> None:
    """One row a run, into a file, or onto stdout for `-`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [axis.key for axis in study.axes]
    own = ("job", "run", "seed", "repeat", "state", "step", "epoch", "seconds", "parameters")
    writer.writerow([*own, *keys, *METRICS, "reason", "dir"])
    for one in outcomes(study):
        job = one.job
        numbers = (job.repeat, one.state, one.step, one.epoch, one.seconds, one.parameters)
        values = [_field(job.values[key]) for key in keys]
        reached = [one.metrics.get(name) for name in METRICS]
        writer.writerow([job.index, job.id, job.seed, *numbers, *values, *reached, one.reason, study.run(job).path])
    if target == "-":
        print(text.getvalue(), end="")
        return
    path = Path(target).expanduser()
    try:
        write_atomically(path, text.getvalue().encode(errors="backslashreplace"))
    except OSError as error:
        raise DescentError(f"--csv {clean(target)}: can't be written: {error.strerror}") from None
    stdio.say(f"{len(study.jobs):,} runs in {clean(os.fspath(path))}", sys.stderr)


def _field(value: Any) -> Any:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else toml(value)


# --- all ---


def list_studies(studies: Path, *, as_json: bool) -> None:
    """One line a study, the latest first: those in that folder, and those made elsewhere."""
    rows: list[tuple[str, ...]] = []
    listed: list[dict[str, Any]] = []
    for place in folders.known(studies):
        try:
            study = folders.load(place)
            states = Counter(one.state for one in outcomes(study))
        except DescentError as error:
            listed.append({"study": place.name, "dir": str(place), "error": str(error)})
            rows.append((place.name, "", "", "damaged", ""))
            continue
        planned = time.strftime("%Y-%m-%d %H:%M", time.localtime((place / "study.json").stat().st_mtime))
        entry = {"study": study.name, "dir": str(place), "preset": study.preset.removesuffix(".toml")}
        vary = {axis.key: len(axis.values) for axis in study.axes}
        listed.append({**entry, "vary": vary, "repeats": study.repeats, "states": dict(states)})
        varied = " × ".join(
            [f"{key} {count}" for key, count in vary.items()] + [f"{study.repeats} seeds"] * (study.repeats > 1)
        )
        rows.append((study.name, entry["preset"], varied, _counted(states), planned))
    if as_json:
        tables.print_json({"studies": listed})
    elif rows:
        tables.print_table(("STUDY", "PRESET", "VARIES", "JOBS", "PLANNED"), rows)
    else:
        print(f"no studies in {clean(str(studies))}; begin one: descent study run PRESET --vary KEY=[…]")
