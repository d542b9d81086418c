"""Samples from tables, as .csv and .parquet files have them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import _
from engine.preset import schema
from engine.training.data.array_files import listed
from engine.training.data.dataset import Array, Rows, Samples
from engine.training.data.table_columns import Column
from engine.training.data.table_encoding import InputColumn, TableEncoding, fit
from engine.training.data.table_file import TableFile, open_table
from engine.training.data.table_leaks import notes_on_leaks
from engine.training.data.table_roles import Table, look, options, refuse_columns
from engine.training.data.table_targets import targets_of, whole_rows
from engine.training.data.table_text import Options

_UNLIKE = 100.0  # times the deviation of one input is that of another, from which on scaling is advised
_LARGE = 10.0  # an input that is larger slows training down, too


def read(section: schema.CsvData) -> Samples:
    """Read the columns that the section names. Raises DataError for a table that can't be trained on."""
    table = look(section)
    if not table.targets:
        names = listed(table.file.facts.names)
        raise DataError(_("data.target names no column; {file} has {names}.", file=table.path, names=names))
    refuse_columns(table)
    if not table.inputs:
        raise DataError(_no_input(table))
    rows, left_out = whole_rows(table)
    target = targets_of(table, rows)
    inputs = TableInputs(table.file, [column.plan for column in table.inputs if column.plan is not None], rows)
    leaks = notes_on_leaks(table.file, inputs.planned, table.targets, rows, target.values)
    notes = (*table.notes, *target.notes, *leaks)
    encoding = TableEncoding(inputs.planned, table.targets, target.classes, options(section))

    def row(index: int) -> str:
        return table.file.row(int(rows[index]))

    samples = Samples(
        where=str(table.path),
        inputs=inputs,
        targets=target.values,
        classes=target.classes,
        input_names=tuple(column.name for column in table.inputs),
        notes=notes,
        row=row,
        rows_left_out=left_out,
    )
    return replace(samples, fit=lambda train: _fitted(samples, inputs, encoding, section, train))


def _fitted(
    samples: Samples, inputs: "TableInputs", encoding: TableEncoding, section: schema.CsvData, train: Rows
) -> Samples:
    """Return the samples with categories, means and the targets' scale of the training rows."""
    encoded = inputs.fitted(train, fill=section.missing == "mean")
    encoding = replace(encoding, inputs=encoded.planned)
    targets, notes = samples.targets, samples.notes
    if section.scale_target:
        own = samples.targets[train]
        mean, std = own.mean(axis=0), own.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        targets = (targets - mean) / std
        encoding = replace(encoding, target_mean=tuple(mean.tolist()), target_std=tuple(std.tolist()))
    elif not samples.classes:
        notes = (*notes, *_advise_scaled_target(targets[train]))
    if section.scaling == "none":
        notes = (*notes, *_advise_scaling(encoded, train))
    return replace(
        samples,
        inputs=encoded,
        targets=targets,
        input_names=encoding.input_names,
        notes=notes,
        encoding=encoding,
        fit=None,
    )


def read_new(path: Path, reading: Options | None) -> tuple[dict[str, Column], list[int]]:
    """Return the columns of another file by their names, and the line on which each row ends; none for .parquet.

    reading: as the file that was trained on was read. Columns of texts, which can't be inputs, are left out.
    """
    file = open_table(path, reading or Options())
    return {name: file.column(name) for name in file.facts.names if not file.is_text(name)}, file.lines()


class TableInputs:
    """The inputs of a table, (N, F) float64, encoded when rows are picked; before `fitted`, F counts columns."""

    def __init__(self, file: TableFile, planned: Sequence[InputColumn], rows: Rows, *, ready: bool = False) -> None:
        self.planned = tuple(planned)
        self._file = file
        self._rows = rows
        self._is_ready = ready

    @property
    def shape(self) -> tuple[int, ...]:
        names = [name for plan in self.planned for name in plan.input_names] if self._is_ready else self.planned
        return (len(self._rows), len(names))

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    def identity(self) -> str:
        """Return a checksum of the cells that are used, as they stand in the file."""
        found = 0
        for plan in self.planned:
            column = self._file.column(plan.name).pick(self._rows)
            values = column.codes if column.numbers is None else column.numbers
            found = zlib.crc32(repr((plan.name, column.words)).encode(), found)
            found = zlib.crc32(np.ascontiguousarray(values).data.cast("B"), found)
        return f"{found:08x}"

    def __getitem__(self, rows: Rows) -> Array:
        encoded = np.empty((len(rows), self.shape[1]))
        at = 0
        for part in self.by_column(rows):
            encoded[:, at : at + part.shape[1]] = part
            at += part.shape[1]
        return encoded

    def by_column(self, rows: Rows) -> Iterator[Array]:
        """Yield the inputs that each column becomes, (n, f) float64."""
        picked = self._rows[rows]
        for plan in self.planned:
            yield plan.encode(self._file.column(plan.name).pick(picked), lambda i: self._file.row(int(picked[i])))

    def fitted(self, train: Rows, *, fill: bool) -> "TableInputs":
        """Return the inputs as the training rows show how to encode them."""
        planned = fit(self._file.column, self.planned, self._rows[train], fill=fill)
        return TableInputs(self._file, planned, self._rows, ready=True)


def _no_input(table: Table) -> str:
    if len(table.file.facts.names) == len(table.targets):
        return _("{file} has no column except the target {name!r}.", file=table.path, name=table.targets[0])
    reasons = ", ".join(f"{column.name!r} ({column.reason})" for column in table.columns if column.reason)
    return _("{file}: no column is left as an input. Left out: {reasons}.", file=table.path, reasons=reasons or "–")


def _advise_scaled_target(targets: Array) -> list[str]:
    """Return a note if the quantities are so large that training begins far from them."""
    low, high = float(targets.min()), float(targets.max())
    if max(-low, high) <= _UNLIKE:
        return []
    return [
        _(
            "the targets are from {low:g} to {high:g}: data.scale_target = true trains them at mean 0 and "
            "deviation 1, which is easier",
            low=low,
            high=high,
        )
    ]


def _advise_scaling(inputs: TableInputs, train: Rows) -> list[str]:
    """Return a note if the numbers of some inputs are far larger than those of others."""
    numbers = [plan.name for plan in inputs.planned if plan.kind in ("number", "date")]
    if not numbers:
        return []
    some = inputs[train[:10_000]]
    spread = some.std(axis=0)
    spread = spread[spread > 0]
    if not len(spread) or (spread.max() <= _UNLIKE * spread.min() and np.abs(some).max() <= _LARGE):
        return []
    return [
        _(
            'the inputs have very different sizes, from {low:g} to {high:g}: data.scaling = "standard" makes them '
            "alike, and training easier",
            low=float(some.min()),
            high=float(some.max()),
        )
    ]
