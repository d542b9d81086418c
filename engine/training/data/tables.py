"""Numbers in columns: .csv files."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from descent.common.errors import DataError
from engine.preset import schema
from engine.training.data import arrays
from engine.training.data.array_files import existing, likely, listed
from engine.training.data.dataset import Array, Samples

_MISSING = ("", "na", "n/a", "null", "none")


def read(section: schema.CsvData) -> Samples:
    """The columns that the section names; separated by commas, semicolons or tabs, under a header line."""
    path = existing(section.path)
    header, rows, lines = _rows(path)
    target = _find(section.target, header, "data.target", path)
    names = section.features
    if names is None:
        names = tuple(name for name in header if name != section.target)
    if section.target in names:
        raise DataError(f"data.features names {section.target!r}, which is data.target too.")
    if not names:
        raise DataError(f"{path} has no column but the target {section.target!r}.")
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
        row=lambda i: f"line {lines[i]}",
    )


def _rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows, and the line on which each row ends."""
    rows, lines = [], []
    try:
        # utf-8-sig: Excel begins a file with a byte order mark, which would become part of the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first))
            header = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(f"{path}, line {reader.line_num}: {len(row)} values under {len(header)} columns.")
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8: byte {error.start} is {error.object[error.start]:#x}."
        ) from error
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file that can be read: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    _check_header(header, path)
    if not rows:
        raise DataError(f"{path} holds no samples, only the names of the columns.")
    return header, rows, lines


def _delimiter(first: str) -> str:
    return max(",;\t", key=first.count)


def _check_header(header: list[str], path: Path) -> None:
    if not header:
        raise DataError(f"{path} is empty.")
    if all(_is_number(name) for name in header):
        raise DataError(f"{path}: the first line must name the columns; it holds numbers.")
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise DataError(f"{path} has two columns called {min(twice)!r}: names must differ.")


def _find(name: str, header: list[str], key: str, path: Path) -> int:
    if name not in header:
        raise DataError(f"{path} has no column {name!r} ({key}); it has {listed(header)}.{likely(name, header)}")
    return header.index(name)


def _targets(cells: Sequence[str], section: schema.CsvData, lines: list[int], path: Path) -> arrays.Targets:
    """Words and whole numbers become classes in sorted order, unless the task says otherwise."""
    where = f"{path}: the targets ({section.target!r})"
    words = np.array([cell.strip() for cell in cells])
    for word, line in zip(words, lines, strict=True):
        if not word:
            raise DataError(f"{where}: line {line} has none.")
    if section.task == "regression":
        return arrays.Targets(_numbers(cells, section.target, lines, path)[:, None], ())
    try:
        values = words.astype(np.float64)
    except ValueError:
        return arrays.name_classes(words)
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        if section.task == "classification" and np.isfinite(values).all():
            raise DataError(f'{where} are not whole numbers, so not labels: set data.task = "regression".')
        return arrays.Targets(values[:, None], ())
    numbers = np.unique(values)
    if section.task == "auto":
        arrays.refuse_many_values(where, len(numbers), len(values))
    return arrays.Targets(np.searchsorted(numbers, values), tuple(f"{number:.0f}" for number in numbers))


def _numbers(cells: Sequence[str], name: str, lines: list[int], path: Path) -> Array:
    """float64; an empty cell is NaN, which the checks report."""
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
                f"{path}, line {lines[i]}: {text[:40]!r} in column {name!r} is not a number. "
                "Name the columns to use in data.features."
            )
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
