"""Tables of numbers: .csv files."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import _
from engine.preset import schema
from engine.training.data import arrays
from engine.training.data.array_files import existing, likely, listed
from engine.training.data.dataset import Array, Samples

_MISSING = ("", "na", "n/a", "null", "none")


def read(section: schema.CsvData) -> Samples:
    """Read the columns that the section names.

    They are separated by commas, semicolons or tabs, under a header line.
    """
    path = existing(section.path)
    header, rows, lines = read_rows(path)
    target = _find(section.target, header, "data.target", path)
    names = section.features
    if names is None:
        names = tuple(name for name in header if name != section.target)
    if section.target in names:
        raise DataError(_("data.features names {name!r}, which is data.target too.", name=section.target))
    if not names:
        raise DataError(_("{file} has no column except the target {name!r}.", file=path, name=section.target))
    places = [_find(name, header, "data.features", path) for name in names]
    columns = list(zip(*rows, strict=True))
    inputs = np.stack([_numbers(columns[at], header[at], lines, path) for at in places], axis=1)
    found = _targets(columns[target], section, lines, path)
    return Samples(
        where=str(path),
        inputs=inputs,
        targets=found.values,
        classes=found.classes,
        input_names=tuple(names),
        row=lambda i: _("line {line}", line=lines[i]),
    )


def read_rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header, the rows, and the line on which each row ends."""
    rows, lines = [], []
    try:
        # utf-8-sig drops the byte order mark of Excel's files, which would become part of the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first))
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(
                        _(
                            "{file}, line {line}: {values} values, but {columns} columns.",
                            file=path,
                            line=reader.line_num,
                            values=len(row),
                            columns=len(header),
                        )
                    )
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise DataError(
            _(
                "{file} is not text in UTF-8: byte {at} is {byte:#x}.",
                file=path,
                at=error.start,
                byte=error.object[error.start],
            )
        ) from error
    except csv.Error as error:
        raise DataError(_("{file} can't be read as a CSV file: {error}.", file=path, error=error)) from error
    except OSError as error:
        raise DataError(_("{file} can't be read: {error}.", file=path, error=error.strerror)) from error
    _check_header(header, path)
    if not rows:
        raise DataError(_("{file} holds no samples, only the names of the columns.", file=path))
    return header, rows, lines


def _delimiter(first: str) -> str:
    return max(",;\t", key=first.count)


def _check_header(header: list[str], path: Path) -> None:
    if not header:
        raise DataError(_("{file} is empty.", file=path))
    if all(_is_number(name) for name in header):
        raise DataError(_("{file}: the first line must name the columns, but it holds numbers.", file=path))
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise DataError(_("{file} has two columns called {name!r}: names must differ.", file=path, name=min(twice)))


def _find(name: str, header: list[str], key: str, path: Path) -> int:
    if name not in header:
        missing = _(
            "{file} has no column {name!r} ({key}); it has {names}.",
            file=path,
            name=name,
            key=key,
            names=listed(header),
        )
        raise DataError(f"{missing}{likely(name, header)}")
    return header.index(name)


def _targets(cells: Sequence[str], section: schema.CsvData, lines: list[int], path: Path) -> arrays.Targets:
    """Return the targets. Words and whole numbers are classes, in sorted order, unless the task says otherwise."""
    where = _("{file}: the targets ({column!r})", file=path, column=section.target)
    words = np.array([cell.strip() for cell in cells])
    for word, line in zip(words, lines, strict=True):
        if not word:
            raise DataError(_("{where}: line {line} has no value.", where=where, line=line))
    if section.task == "regression":
        return arrays.Targets(_numbers(cells, section.target, lines, path)[:, None], ())
    try:
        values = words.astype(np.float64)
    except ValueError:
        return arrays.name_classes(words)
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        if section.task == "classification" and np.isfinite(values).all():
            raise DataError(arrays.not_labels(where))
        return arrays.Targets(values[:, None], ())
    numbers = np.unique(values)
    if section.task == "auto":
        arrays.refuse_many_values(where, len(numbers), len(values))
    return arrays.Targets(np.searchsorted(numbers, values), tuple(f"{number:.0f}" for number in numbers))


def _numbers(cells: Sequence[str], name: str, lines: list[int], path: Path) -> Array:
    """Return the cells as float64. An empty cell is NaN, which a later check reports."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        text = cell.strip()
        if text.lower() in _MISSING:
            values[i] = np.nan
        elif _is_number(text):
            values[i] = float(text)
        else:
            raise DataError(
                _(
                    "{file}, line {line}: {cell!r} in column {column!r} is not a number. "
                    "Name the columns to use in data.features.",
                    file=path,
                    line=lines[i],
                    cell=text[:40],
                    column=name,
                )
            )
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
