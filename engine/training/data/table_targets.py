"""The rows of a table that are used, where cells are missing, and its targets: labels of classes, or quantities."""

from collections.abc import Sequence

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import _, ngettext
from engine.training.data import arrays
from engine.training.data.array_files import listed
from engine.training.data.dataset import Array, Rows
from engine.training.data.table_roles import ColumnFacts, Table, about_words, check_finite, refuse_mostly_numbers


def whole_rows(table: Table) -> tuple[Rows, int]:
    """Return the rows to use, and how many are left out. Raises DataError for missing cells that are refused."""
    policy, count = table.section.missing, len(table.file)
    targets = [column for column in table.columns if column.role == "target" and column.missing]
    inputs = [column for column in table.inputs if column.missing]
    if not targets and not inputs:
        return np.arange(count, dtype=np.int64), 0
    if policy == "refuse":
        raise DataError(_missing(table, [*targets, *inputs]))
    scarce = [column.name for column in inputs if policy == "mean" and 2 * column.missing > count]
    if scarce:
        table.notes.append(
            _(
                "most of the values are missing, and become the mean: {columns}. data.exclude leaves columns out",
                columns=listed(scarce),
            )
        )
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


def targets_of(table: Table, rows: Rows) -> arrays.Targets:
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
        refuse_mostly_numbers(
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
            many = _(
                "{where} are {distinct} different words in {count} samples: are they classes? If so, set "
                'data.task = "classification"; else name another column in data.target.',
                where=where,
                distinct=len(words),
                count=len(rows),
            )
            raise DataError(many + _hint(table, name))
        labels = column.mapped({word: label for label, word in enumerate(words)}.get)
        return arrays.Targets(labels.astype(np.int64), tuple(words))
    values = column.numbers
    if not np.isfinite(values).all() or (values != np.round(values)).any():
        if task == "classification" and np.isfinite(values).all():
            raise DataError(arrays.not_labels(where))
        return arrays.Targets(_quantities(table, name, rows)[:, None], ())
    numbers, counts = np.unique(values, return_counts=True)
    notes: tuple[str, ...] = ()
    if task == "auto":
        arrays.refuse_many_values(where, counts)
        if len(numbers) > 10 or (len(numbers) > 2 and (np.diff(numbers) != 1).any()):
            note = _(
                "{where} are whole numbers, and are taken as classes. If they are quantities, set "
                'data.task = "regression"',
                where=where,
            )
            notes = (note,)
    return arrays.Targets(np.searchsorted(numbers, values), tuple(f"{value:.0f}" for value in numbers), notes)


def _quantities(table: Table, name: str, rows: Rows) -> Array:
    """Return a target as numbers, (N,) float64."""
    refuse_mostly_numbers(table, name, _("Mend it, or name it in data.missing_words."))
    if not table.file.is_text(name):
        whole = table.file.column(name)
        column = whole.as_numbers()
        if column is not None and column.numbers is not None:
            facts = next(facts for facts in table.columns if facts.name == name)
            check_finite(facts, table.file)
            values = column.numbers[rows]
            if len(values) > 1 and (values == values[0]).all():
                raise DataError(
                    _(
                        "{file}: column {name!r} is {value:g} in every row, so there is nothing to learn.",
                        file=table.path,
                        name=name,
                        value=values[0],
                    )
                )
            return values
        cell = whole.words[0][:40]
    else:
        cell = _("a text")
    wrong = _(
        "{file}: {cell!r} in column {name!r} is not a number, but quantities are.",
        file=table.path,
        cell=cell,
        name=name,
    )
    raise DataError(wrong + _hint(table, name))


def _hint(table: Table, name: str) -> str:
    """Return a sentence on a target whose words are meant as numbers or as dates, with a blank before it, or ""."""
    hint = about_words(table, next(facts for facts in table.columns if facts.name == name))
    return "" if hint is None else f" {hint[0].upper()}{hint[1:]}."
