"""The rows and evaluations of a run as the columns of one table, for data frames and files."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.arrays import Rows
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.run.events import evaluation_of, member_end_of, valid_events
from descent.run.layout import Layout
from descent.run.scalars import read

Columns = dict[str, NDArray[Any]]
_SHORT = {"validation": "val"}
_LONGEST_NAME = 80


def columns_of(run: Path, layout: Layout, rows: Rows) -> Columns:
    """Return the columns of a table with a row for each step and member, sorted by both.

    rows: (steps, M, columns), as Metrics reads them. `step` is the number of updates done: the row of step i is
    measured on the next batch, before its update, and an evaluation of step i is of the same weights. One after the
    last update has a row of its own. `step` and `member` are int64, the run's columns float32; those of evaluations,
    such as `val_loss`, and of scalars that a loop gave by name, float64. NaN is what was not measured; in `loss`
    it is a loss that is not finite. A member that ended before the others has no later rows.
    """
    count, members, _width = rows.shape
    evaluated, ends = _evaluated(run)
    named = read(run) if members == 1 else {}  # the loops that give them have one member
    for name, series in named.items():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            if step >= count:  # beside a row that is not written yet
                evaluated.setdefault((step, 0), {})[_free(name, layout)] = value
    steps, numbers = np.repeat(np.arange(count), members), np.tile(np.arange(members), count)
    there = steps < np.array([ends.get(member, count) for member in range(members)], np.int64)[numbers]
    at = np.cumsum(there) - 1  # the table's row of each step and member
    places = {
        (step, member): int(at[step * members + member])
        for step, member in evaluated
        if step < count and member < members and there[step * members + member]
    }
    later = sorted(place for place in evaluated if place not in places)
    found: Columns = {
        "step": np.concatenate([steps[there], np.array([step for step, _m in later], np.int64)]),
        "member": np.concatenate([numbers[there], np.array([member for _s, member in later], np.int64)]),
    }
    flat = rows.reshape(count * members, rows.shape[2])[there]
    for index, name in enumerate(layout.columns):
        if name not in found:
            found[name] = np.concatenate([flat[:, index], np.full(len(later), np.nan, np.float32)])
    for name, series in named.items():
        of_rows = series.steps < len(flat)
        column = found[_free(name, layout)] = np.full(len(flat) + len(later), np.nan)
        column[at[series.steps[of_rows]]] = series.values[of_rows]
    places |= {place: len(flat) + row for row, place in enumerate(later)}
    for place, values in evaluated.items():
        for name, value in values.items():
            if name not in found:
                found[name] = np.full(len(flat) + len(later), np.nan)
            found[name][places[place]] = np.nan if value is None else value
    order = np.lexsort((found["member"], found["step"]))
    return {name: column[order] for name, column in found.items()}


def _free(name: str, layout: Layout) -> str:
    """Return the column of a scalar, which a loop may have named as one of the rows' columns is."""
    return f"scalar.{name}" if name in (*layout.columns, "step", "member") else name


def _evaluated(run: Path) -> tuple[dict[tuple[int, int], dict[str, float | None]], dict[int, int]]:
    """Return the values of all evaluations by step and member, and the last step of members that ended early."""
    evaluated: dict[tuple[int, int], dict[str, float | None]] = {}
    ends: dict[int, int] = {}
    for _at, event in valid_events(run):
        if event["event"] == "evaluation":
            found = evaluation_of(event)
            split = _SHORT.get(found.split, found.split)
            named = {shorten(clean(f"{split}_{name}"), _LONGEST_NAME): value for name, value in found.values.items()}
            evaluated.setdefault((found.step, found.member), {}).update(
                {name: value for name, value in named.items() if value is None or isinstance(value, int | float)}
            )
        elif event["event"] == "member":
            end = member_end_of(event)
            ends[end.member] = end.step
    return evaluated, ends


def to_pandas(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Return a pandas.DataFrame, in which what was not measured is NaN. Raises DescentError without pandas."""
    return package("pandas").DataFrame(dict(columns))


def to_polars(columns: Mapping[str, NDArray[Any]]) -> Any:
    """Return a polars.DataFrame, in which what was not measured is null. Raises DescentError without Polars."""
    polars = package("polars")
    frame = polars.DataFrame(dict(columns)).with_columns(polars.selectors.float().exclude("loss").fill_nan(None))
    if "loss" not in frame.columns:
        return frame  # of a run that has not begun
    has_row = polars.col("time").is_not_null()  # every step has its time, and an evaluation alone has none
    return frame.with_columns(polars.when(has_row).then("loss").alias("loss"))


def package(name: str) -> ModuleType:
    """Import a package that not everybody has. Raises DescentError, with how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise DescentError(
            _("this needs the package {package}; install it: pip install {package}", package=error.name)
        ) from None
