"""Tables, as .csv and .parquet files: which columns are inputs, which cells are missing, what the targets are."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import N_, _, ngettext
from engine.preset import schema
from engine.training.data import arrays
from engine.training.data.array_files import existing, likely, listed
from engine.training.data.dataset import Array, Rows, Samples
from engine.training.data.table_columns import MISSING, Column, boolean_words, date_formats, number, text
from engine.training.data.table_encoding import InputColumn, TableEncoding, fit
from engine.training.data.table_file import TableFile, open_table
from engine.training.data.table_text import Options

_MOST_CATEGORIES = 50  # of a column that nobody named; more words are names or texts
_MOST_NAMED_CATEGORIES = 1000  # of a column that data.features or data.categories names
_LARGEST = float(np.finfo(np.float32).max)
_UNLIKE = 100.0  # times the deviation of one input is that of another, from which on scaling is advised

Role = Literal["input", "target", "left out"]
KINDS = {
    "number": N_("number"),
    "boolean": N_("yes or no"),
    "date": N_("date"),
    "category": N_("category"),
    "text": N_("text"),
}


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of one column, and what it is for.

    kind: one of KINDS. missing: how many cells. distinct: how many different words; None for numbers. reason: why it
    is left out. low, high: of numbers. words: some of the words.
    """

    name: str
    kind: str
    role: Role
    missing: int = 0
    distinct: int | None = None
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    reason: str = ""
    plan: InputColumn | None = None


@dataclass
class Table:
    """A table that was looked at: its columns and what they are for, before any row is left out."""

    path: Path
    file: TableFile
    section: schema.CsvData
    targets: tuple[str, ...]
    columns: list[ColumnFacts] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> list[ColumnFacts]:
        """The columns that are inputs, in their order."""
        return [column for column in self.columns if column.role == "input"]


def read(section: schema.CsvData) -> Samples:
    """Read the columns that the section names. Raises DataError for a table that can't be trained on."""
    table = look(section)
    if not table.targets:
        names = listed(table.file.facts.names)
        raise DataError(_("data.target names no column; {file} has {names}.", file=table.path, names=names))
    if not table.inputs:
        raise DataError(_no_input(table))
    rows, left_out = _whole_rows(table)
    target = _targets(table, rows)
    inputs = TableInputs(table.file, [column.plan for column in table.inputs if column.plan is not None], rows)
    notes = (*table.notes, *target.notes)
    encoding = TableEncoding(inputs.planned, table.targets, target.classes, _options(section))

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


def _options(section: schema.CsvData) -> Options:
    words = MISSING if section.missing_words is None else ("", *(w.casefold() for w in section.missing_words))
    return Options(
        header=section.header,
        delimiter=section.delimiter,
        decimal=section.decimal,
        encoding=section.encoding,
        skip_lines=section.skip_lines,
        missing=tuple(dict.fromkeys(words)),
    )


# --- what the columns are for ---


def look(section: schema.CsvData) -> Table:
    """Return the table with what its columns are for. Raises DataError for names that it does not have."""
    path = existing(section.path)
    file = open_table(path, _options(section))
    names = file.facts.names
    given = (section.target,) if isinstance(section.target, str) else section.target
    table = Table(path, file, section, tuple(_find(name, names, "data.target", path) for name in given))
    table.notes += file.facts.notes
    excluded = {_find(name, names, "data.exclude", path) for name in section.exclude}
    categories = {_find(name, names, "data.categories", path) for name in section.categories}
    chosen = None
    if section.features is not None:
        chosen = [_find(name, names, "data.features", path) for name in section.features]
        for name in chosen:
            if name in table.targets:
                raise DataError(_("data.features names {name!r}, which is data.target too.", name=name))
    named = {*(chosen or ()), *categories}
    for name in dict.fromkeys([*(chosen or ()), *names]):
        facts = _facts(file, name, is_category=name in categories)
        if name in table.targets:
            facts = replace(facts, role="target")
        elif name in excluded or (chosen is not None and name not in chosen):
            facts = replace(facts, role="left out", reason="")
        else:
            facts = _planned(facts, table, is_named=name in named)
        table.columns.append(facts)
    _tell(table)
    return table


def _find(name: str, names: Sequence[str], key: str, path: Path) -> str:
    """Return the name of the column as the table has it: Unicode may write the same name in several ways."""
    wanted = text(name)
    if wanted in names:
        return wanted
    shown = [known for known in names if known]
    missing = _(
        "{file} has no column {name!r} ({key}); it has {names}.", file=path, name=name, key=key, names=listed(shown)
    )
    raise DataError(f"{missing}{likely(name, shown)}")


def _facts(file: TableFile, name: str, *, is_category: bool) -> ColumnFacts:
    """Return what the cells of a column show."""
    if file.is_text(name):
        return ColumnFacts(name, "text", "input")
    column = file.column(name)
    column = column.as_words() if is_category else column.as_numbers() or column
    missing = int(column.is_missing.sum())
    if column.numbers is not None:
        there = column.numbers[~column.is_missing] if missing else column.numbers
        low, high = (float(there.min()), float(there.max())) if len(there) else (None, None)
        return ColumnFacts(name, "number", "input", missing, None, low, high)
    words = column.present()
    formats = [] if is_category else date_formats(words)
    pair = None if is_category else boolean_words(words)
    kind = "boolean" if pair and len(words) == 2 else "date" if formats else "category"
    plan = None
    if kind == "boolean":
        plan = InputColumn(name, "boolean", words=pair or ())
    elif kind == "date" and len(formats) == 1:
        plan = InputColumn(name, "date", format=formats[0])
    return ColumnFacts(name, kind, "input", missing, len(words), words=tuple(words[:20]), plan=plan)


def _planned(facts: ColumnFacts, table: Table, *, is_named: bool) -> ColumnFacts:
    """Return the column as an input, or left out with the reason."""
    name, file = facts.name, table.file
    reason = ""
    if name == "" and file.facts.nameless_first:
        reason = _("no name: the names or numbers of the rows")
    elif name.startswith("Unnamed: ") and _holds_row_numbers(file, name):
        reason = _("the numbers of the rows")
    elif facts.missing == len(file):
        reason = _("empty")
    elif facts.kind == "number":
        _check_finite(facts, file)
        if not is_named and _holds_row_numbers(file, name):
            table.notes.append(
                _(
                    "column {name!r} holds the numbers of the rows, in order. If they say nothing of the target, "
                    "leave it out: data.exclude = [{name!r}]",
                    name=name,
                )
            )
        return replace(facts, plan=InputColumn(name, "number"))
    elif facts.kind == "text":
        _refuse_mostly_numbers(table, name, _way_out())
        reason = _("texts, nearly all of them different")
    elif facts.kind == "date" and facts.plan is None:
        reason = _("dates of which the day and the month can't be told apart: write them as 2024-12-31")
    elif facts.kind == "category":
        return _as_category(facts, table, is_named=is_named)
    return facts if not reason else replace(facts, role="left out", reason=reason)


def _as_category(facts: ColumnFacts, table: Table, *, is_named: bool) -> ColumnFacts:
    categories = {text(name) for name in table.section.categories}
    distinct, rows = facts.distinct or 0, len(table.file) - facts.missing
    if facts.name not in categories:
        _refuse_mostly_numbers(table, facts.name, _way_out())
    if is_named and distinct > _MOST_NAMED_CATEGORIES:
        raise DataError(
            _(
                "{file}: column {name!r} holds {count} different words, too many for categories (at most {most}).",
                file=table.path,
                name=facts.name,
                count=distinct,
                most=_MOST_NAMED_CATEGORIES,
            )
        )
    if not is_named and (distinct > _MOST_CATEGORIES or (distinct > 10 and distinct > rows / 5)):
        reason = _("too many different words; data.categories takes it all the same")
        return replace(facts, kind="text", role="left out", reason=reason)
    if not is_named and distinct == 1:
        return replace(facts, role="left out", reason=_("one word only"))
    return replace(facts, plan=InputColumn(facts.name, "category"))


def _way_out() -> str:
    return _("Mend it, or name the column in data.exclude, or in data.categories if these are names.")


def _refuse_mostly_numbers(table: Table, name: str, way_out: str) -> None:
    """Raise DataError for a column of numbers of which some cells are none."""
    found = table.file.stray(name) if table.file.is_text(name) else _stray(table.file.column(name))
    if found is None:
        return
    first, cell, count = found
    message = ngettext(
        "{file}, {row}: {cell!r} in column {name!r} is not a number. {way_out}",
        "{file}, {row}: {cell!r} in column {name!r} is not a number, like {count} of its {total} cells. {way_out}",
        count,
        file=table.path,
        row=table.file.row(first),
        cell=cell,
        name=name,
        total=len(table.file),
        way_out=way_out,
    )
    raise DataError(message)


def _stray(column: Column) -> tuple[int, str, int] | None:
    """Return the first row, the cell and the count of what is no number, if most words of the column are numbers."""
    if column.codes is None:
        return None
    strange = [place for place, word in enumerate(column.words) if number(word) is None]
    if not strange or 2 * len(strange) > len(column.words):
        return None
    wrong = np.isin(column.codes, strange)
    first = int(np.argmax(wrong))
    return first, column.words[column.codes[first]][:40], int(wrong.sum())


def _check_finite(facts: ColumnFacts, file: TableFile) -> None:
    """Raise DataError for a number that is infinite as float32."""
    assert facts.low is not None
    assert facts.high is not None
    if facts.low >= -_LARGEST and facts.high <= _LARGEST:
        return
    values = file.column(facts.name).as_numbers()
    assert values is not None
    assert values.numbers is not None
    first = int(np.argmax(np.abs(np.nan_to_num(values.numbers, nan=0.0)) > _LARGEST))
    raise DataError(
        _(
            "{file}, {row}: the number in column {name!r} is infinite, or too large for float32. Mend it, or leave "
            "the column out with data.exclude.",
            file=file.path,
            row=file.row(first),
            name=facts.name,
        )
    )


def _holds_row_numbers(file: TableFile, name: str) -> bool:
    """Return whether the column counts the rows, from 0 or from 1."""
    column = file.column(name).as_numbers()
    if column is None or column.numbers is None or len(column) < 3 or column.numbers[0] not in (0, 1):
        return False
    return bool((np.diff(column.numbers) == 1).all())


def _tell(table: Table) -> None:
    """Add notes on what is left out without having been asked for, and on what is no plain number."""
    reasons: dict[str, list[str]] = {}
    for column in table.columns:
        if column.role == "left out" and column.reason:
            reasons.setdefault(column.reason, []).append(column.name)
    for reason, left in reasons.items():
        table.notes.append(_("left out: {columns} ({reason})", columns=listed(left), reason=reason))
    kinds = {
        "category": N_("one input for each category: {columns}"),
        "boolean": N_("0 for no and 1 for yes: {columns}"),
        "date": N_("days since 1970-01-01: {columns}"),
    }
    for kind, said in kinds.items():
        names = [column.name for column in table.inputs if column.plan is not None and column.plan.kind == kind]
        if names:
            table.notes.append(_(said, columns=listed(names)))


def _no_input(table: Table) -> str:
    if len(table.file.facts.names) == len(table.targets):
        return _("{file} has no column except the target {name!r}.", file=table.path, name=table.targets[0])
    reasons = ", ".join(f"{column.name!r} ({column.reason})" for column in table.columns if column.reason)
    return _("{file}: no column is left as an input. Left out: {reasons}.", file=table.path, reasons=reasons or "–")


def _advise_scaling(inputs: TableInputs, train: Rows) -> list[str]:
    """Return a note if the numbers of some inputs are far larger than those of others."""
    numbers = [plan.name for plan in inputs.planned if plan.kind in ("number", "date")]
    if not numbers:
        return []
    some = inputs[train[:10_000]]
    spread = some.std(axis=0)
    spread = spread[spread > 0]
    if not len(spread) or (spread.max() <= _UNLIKE * spread.min() and np.abs(some).max() <= _UNLIKE):
        return []
    return [
        _(
            'the inputs have very different sizes, from {low:g} to {high:g}: data.scaling = "standard" makes them '
            "alike, and training easier",
            low=float(some.min()),
            high=float(some.max()),
        )
    ]


# --- rows and targets ---


def _whole_rows(table: Table) -> tuple[Rows, int]:
    """Return the rows to use, and how many are left out. Raises DataError for missing cells that are refused."""
    policy, count = table.section.missing, len(table.file)
    targets = [column for column in table.columns if column.role == "target" and column.missing]
    inputs = [column for column in table.inputs if column.missing]
    if not targets and not inputs:
        return np.arange(count, dtype=np.int64), 0
    if policy == "refuse":
        raise DataError(_missing(table, [*targets, *inputs]))
    bad = np.zeros(count, dtype=bool)
    for column in [*targets, *(inputs if policy == "drop" else [])]:
        bad |= table.file.column(column.name).is_missing
    if bad.all():
        raise DataError(
            _(
                "{file}: a value is missing in each of the {count} rows, so that none is left. Leave the columns out "
                "with data.exclude: {columns}.",
                file=table.path,
                count=count,
                columns=listed(column.name for column in [*targets, *inputs]),
            )
        )
    left = int(bad.sum())
    if left:
        table.notes.append(
            ngettext(
                "{count} of {total} rows is left out, because a value is missing",
                "{count} of {total} rows are left out, because a value is missing",
                left,
                total=count,
            )
        )
    return np.flatnonzero(~bad).astype(np.int64), left


def _missing(table: Table, columns: Sequence[ColumnFacts]) -> str:
    """Return the message for missing cells: which columns have how many, and where the first one is."""
    first = min((int(np.argmax(table.file.column(c.name).is_missing)), i) for i, c in enumerate(columns))
    shown = ", ".join(f"{column.name!r} {column.missing}" for column in columns[:12])
    name = columns[first[1]].name
    return _(
        "{file}, {row}: the value of column {name!r} is missing. Values that are missing in {total} rows: {columns}. "
        'data.missing = "drop" leaves such rows out; "mean" takes the mean of the training samples instead; '
        "data.exclude leaves columns out.",
        file=table.path,
        row=table.file.row(first[0]),
        name=name,
        total=len(table.file),
        columns=shown,
    )


def _targets(table: Table, rows: Rows) -> arrays.Targets:
    """Return the targets. Words and whole numbers are classes, in sorted order, unless the task says otherwise."""
    section, name = table.section, table.targets[0]
    where = _("{file}: the targets ({column!r})", file=table.path, column=name)
    is_scaled = section.scale_target and section.task == "auto"  # quantities alone are scaled
    if section.task == "regression" or is_scaled or len(table.targets) > 1:
        if section.task == "classification":
            raise DataError(_("data.target names {count} columns; classes have one.", count=len(table.targets)))
        found = arrays.Targets(np.stack([_quantities(table, one, rows) for one in table.targets], axis=1), ())
    else:
        found = _classes_or_quantities(table, name, rows, where)
    if section.scale_target and found.classes:
        raise DataError(
            _(
                'data.scale_target = true, but {where} are classes. Leave it out, or set data.task = "regression".',
                where=where,
            )
        )
    return found


def _classes_or_quantities(table: Table, name: str, rows: Rows, where: str) -> arrays.Targets:
    task = table.section.task
    if task != "classification":
        _refuse_mostly_numbers(
            table,
            name,
            _('Mend it, or name it in data.missing_words; if these are classes, set data.task = "classification".'),
        )
    if table.file.is_text(name):
        raise DataError(_("{where} are texts, nearly all of them different, so no classes.", where=where))
    whole = table.file.column(name)
    column = (whole.as_numbers() or whole).pick(rows)
    if column.numbers is None:
        words = column.present()
        if task == "auto" and len(words) > 20 and len(words) > len(rows) / 5:
            raise DataError(
                _(
                    "{where} are {distinct} different words in {count} samples: are they classes? If so, set "
                    'data.task = "classification"; else name another column in data.target.',
                    where=where,
                    distinct=len(words),
                    count=len(rows),
                )
            )
        labels = column.mapped({word: label for label, word in enumerate(words)}.get)
        return arrays.Targets(labels.astype(np.int64), tuple(words))
    values = column.numbers
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        if task == "classification" and np.isfinite(values).all():
            raise DataError(arrays.not_labels(where))
        return arrays.Targets(_quantities(table, name, rows)[:, None], ())
    numbers = np.unique(values)
    if task == "auto":
        arrays.refuse_many_values(where, len(numbers), len(values))
    return arrays.Targets(np.searchsorted(numbers, values), tuple(f"{value:.0f}" for value in numbers))


def _quantities(table: Table, name: str, rows: Rows) -> Array:
    """Return a target as numbers, (N,) float64."""
    _refuse_mostly_numbers(table, name, _("Mend it, or name it in data.missing_words."))
    if not table.file.is_text(name):
        whole = table.file.column(name)
        column = whole.as_numbers()
        if column is not None and column.numbers is not None:
            facts = next(facts for facts in table.columns if facts.name == name)
            _check_finite(facts, table.file)
            return column.numbers[rows]
        cell = whole.words[0][:40]
    else:
        cell = _("a text")
    raise DataError(
        _(
            "{file}: {cell!r} in column {name!r} is not a number, but quantities are.",
            file=table.path,
            cell=cell,
            name=name,
        )
    )
