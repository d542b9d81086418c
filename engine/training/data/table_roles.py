"""What the columns of a table are for: which are inputs, of which kind, which are targets, and which are left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import N_, _, ngettext
from engine.preset import schema
from engine.training.data.array_files import existing, likely, listed
from engine.training.data.table_columns import (
    DATE_NUMBER,
    MISSING,
    are_dates,
    are_quarters,
    boolean_words,
    date_formats,
    days,
    decimal_of,
    number,
    text,
    unit_of,
)
from engine.training.data.table_encoding import InputColumn
from engine.training.data.table_file import TableFile, open_table
from engine.training.data.table_text import Options

_MOST_CATEGORIES = 50  # of a column that nobody named; more words are names or texts
_MOST_NAMED_CATEGORIES = 1000  # of a column that data.features or data.categories names
_FEW_CATEGORIES = 10  # of which each may well be one input, although they are numbers with a unit
_ID = re.compile(r"(?i)(?:id|idx|index|identifier|number|num|no|nr)$")
_LARGEST = float(np.finfo(np.float32).max)
Role = Literal["input", "target", "left out", "refused"]  # refused: it would be an input if its cells were mended
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
    is left out or refused. low, high: of numbers. words: some of the words.
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


def look(section: schema.CsvData) -> Table:
    """Return the table with what its columns are for. Raises DataError for names that it does not have."""
    path = existing(section.path)
    file = open_table(path, options(section))
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
        facts = _facts(file, name, is_category=name in categories, is_target=name in table.targets)
        if name in table.targets:
            facts = replace(facts, role="target")
        elif name in excluded or (chosen is not None and name not in chosen):
            facts = replace(facts, role="left out", reason="")
        else:
            facts = _planned(facts, table, is_named=name in named)
        table.columns.append(facts)
    _tell(table)
    return table


def options(section: schema.CsvData) -> Options:
    given = section.missing_words
    words = MISSING if given is None else ("", *given, *(word.casefold() for word in given))
    return Options(
        header=section.header,
        delimiter=section.delimiter,
        decimal=section.decimal,
        encoding=section.encoding,
        skip_lines=section.skip_lines,
        missing=tuple(dict.fromkeys(words)),
    )


def _find(name: str, names: Sequence[str], key: str, path: Path) -> str:
    """Return the name of the column as the table has it: Unicode may write the same name in several ways.

    Some programs write names in apostrophes, which nobody repeats.
    """
    wanted = text(name)
    for candidate in (wanted, f"'{wanted}'"):
        if candidate in names:
            return candidate
    shown = [known for known in names if known]
    missing = _(
        "{file} has no column {name!r} ({key}); it has {names}.", file=path, name=name, key=key, names=listed(shown)
    )
    raise DataError(f"{missing}{likely(name, shown)}")


def _facts(file: TableFile, name: str, *, is_category: bool, is_target: bool) -> ColumnFacts:
    """Return what the cells of a column show."""
    if file.is_text(name):
        return ColumnFacts(name, "text", "input")
    column = file.column(name)
    column = column.as_words() if is_category else column.as_numbers() or column
    missing = int(column.is_missing.sum())
    if column.numbers is not None:
        if not is_target and not is_category and are_dates(column.numbers):
            words = column.as_words().present()
            dated = InputColumn(name, "date", format=DATE_NUMBER)
            return ColumnFacts(name, "date", "input", missing, len(words), words=tuple(words[:20]), plan=dated)
        there = column.numbers[~column.is_missing] if missing else column.numbers
        low, high = (float(there.min()), float(there.max())) if len(there) else (None, None)
        return ColumnFacts(name, "number", "input", missing, None, low, high)
    words = column.present()
    formats = [] if is_category else date_formats(words)
    words.sort(key=lambda word: days(word, formats[0]) or 0.0 if formats else 0.0)
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
        check_finite(facts, file)
        if not is_named and _holds_ids(file, name):
            table.notes.append(
                _(
                    "column {name!r} gives each sample a number of its own. If it says nothing of the target, "
                    "leave it out: data.exclude = [{name!r}]",
                    name=name,
                )
            )
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
        if found := _strays(table, name):
            return _refused(facts, table, *found)
        reason = _("texts, nearly all of them different")
    elif facts.kind == "date" and facts.plan is None:
        reason = _("dates of which the day and the month can't be told apart: write them as 2024-12-31")
    elif facts.kind == "category":
        return _as_category(facts, table, is_named=is_named)
    return facts if not reason else replace(facts, role="left out", reason=reason)


def _as_category(facts: ColumnFacts, table: Table, *, is_named: bool) -> ColumnFacts:
    categories = {text(name) for name in table.section.categories}
    distinct, rows = facts.distinct or 0, len(table.file) - facts.missing
    if facts.name not in categories and (found := _strays(table, facts.name)):
        return _refused(facts, table, *found)
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
    if not is_named and (distinct > _MOST_CATEGORIES or (distinct > _FEW_CATEGORIES and distinct > rows / 5)):
        reason = _("too many different words; data.categories takes it all the same")
        return replace(facts, kind="text", role="left out", reason=reason)
    if not is_named and distinct == 1:
        return replace(facts, role="left out", reason=_("one word only"))
    return replace(facts, plan=InputColumn(facts.name, "category"))


def _refused(facts: ColumnFacts, table: Table, first: int, cell: str, count: int) -> ColumnFacts:
    reason = ngettext(
        "no number in {row}: {cell!r}",
        "no numbers in {count} cells, first in {row}: {cell!r}",
        count,
        row=table.file.row(first),
        cell=cell,
    )
    return replace(facts, kind="number", role="refused", reason=reason)


def refuse_columns(table: Table) -> None:
    """Raise DataError if there are columns that only mended cells make inputs."""
    names = [column.name for column in table.columns if column.role == "refused"]
    if not names:
        return
    way_out = _(
        "Name it in data.missing_words if it stands for a missing cell. Else mend it, or name the column in "
        "data.exclude, or in data.categories if these are names."
    )
    if names[1:]:
        others = _("There are such cells in other columns too: {names}.", names=listed(names[1:]))
        way_out = f"{way_out} {others}"
    refuse_mostly_numbers(table, names[0], way_out)


def refuse_mostly_numbers(table: Table, name: str, way_out: str) -> None:
    """Raise DataError for a column of numbers of which some cells are none."""
    found = _strays(table, name)
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


def _strays(table: Table, name: str) -> tuple[int, str, int] | None:
    """Return the first row, the cell and the count of what is no number, if most words of the column are numbers."""
    if table.file.is_text(name):
        return table.file.stray(name)
    column = table.file.column(name)
    if column.codes is None:
        return None
    by_sign = [[at for at, word in enumerate(column.words) if number(word, sign) is None] for sign in (".", ",")]
    strange = min(by_sign, key=len)
    if not strange or 2 * len(strange) > len(column.words):
        return None
    wrong = np.isin(column.codes, strange)
    first = int(np.argmax(wrong))
    return first, column.words[column.codes[first]][:40], int(wrong.sum())


def check_finite(facts: ColumnFacts, file: TableFile) -> None:
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


def _holds_ids(file: TableFile, name: str) -> bool:
    """Return whether the column is called a number or an id, and each of its cells is a whole number of its own."""
    column = file.column(name).as_numbers() if _ID.search(name) else None
    if column is None or column.numbers is None or len(column) < 20 or _holds_row_numbers(file, name):
        return False
    values = column.numbers
    return bool((values == np.round(values)).all()) and len(np.unique(values)) == len(values)


def _tell(table: Table) -> None:
    """Add notes on what is left out without having been asked for, and on what is no plain number."""
    reasons: dict[str, list[str]] = {}
    for column in table.columns:
        if column.role == "left out" and column.reason:
            reasons.setdefault(column.reason, []).append(column.name)
    for reason, left in reasons.items():
        table.notes.append(_("left out: {columns} ({reason})", columns=listed(left), reason=reason))
    for column in table.columns:
        is_used = column.role in ("input", "target")
        words = table.file.words(column.name) if is_used and column.kind == "number" else ()
        cell = next((word for word in words if "," in word), None)
        if cell is not None:
            read_as = f"{number(cell, decimal_of(words)):.12g}"
            table.notes.append(
                _("column {name!r}: {cell!r} is read as {number}", name=column.name, cell=cell, number=read_as)
            )
    table.notes += [note for column in table.columns if (note := about_words(table, column)) is not None]
    kinds = {
        "category": N_("one input for each category: {columns}"),
        "boolean": N_("0 for no and 1 for yes: {columns}"),
        "date": N_("days since 1970-01-01: {columns}"),
    }
    for kind, said in kinds.items():
        names = [column.name for column in table.inputs if column.plan is not None and column.plan.kind == kind]
        if names:
            table.notes.append(_(said, columns=listed(names)))


def about_words(table: Table, column: ColumnFacts) -> str | None:
    """Return a note on words that are meant as numbers or as dates, or None."""
    is_left_out = column.role == "left out" and column.reason
    if column.kind not in ("text", "category") or not (
        is_left_out or column.role == "target" or (column.distinct or 0) > _FEW_CATEGORIES
    ):
        return None
    words = table.file.words(column.name)
    unit = unit_of(words)
    if unit is not None:
        return _(
            "column {name!r} holds numbers with the unit {unit!r}, such as {cell!r}, which are words to Descent: "
            "write the numbers alone, and they are quantities",
            name=column.name,
            unit=unit,
            cell=words[0],
        )
    if are_quarters(words):
        return _(
            "column {name!r} holds quarters, such as {cell!r}, which are words to Descent: write the first day of "
            "each, as 2024-04-01, and they are dates",
            name=column.name,
            cell=words[0],
        )
    return None
