"""How the cells of a table become a model's inputs and targets: one object, kept with the model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import _
from descent.common.text import did_you_mean, show
from engine.training.data.table_columns import Array, Column, Kind, counted_row, days, number, truth
from engine.training.data.table_text import Options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class InputColumn:
    """How one column becomes inputs.

    number: the number itself. boolean: 0 or 1; `words` are what is read as 0 and as 1, in small letters. date: days
    since 1970-01-01; `format` is "iso" or a pattern of strptime. category: one input for each of `words`, 1 for the
    cell's own and 0 for the others; all are 0 for a word that is not among them.
    fill: what a missing cell becomes, a number for each input; None if a missing cell is an error.
    """

    name: str
    kind: Kind
    words: tuple[str, ...] = ()
    format: str = ""
    fill: tuple[float, ...] | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs: `age`, or `island=Biscoe` for each category."""
        if self.kind == "category":
            return tuple(f"{self.name}={word}" for word in self.words)
        return (self.name,)

    def encode(self, column: Column, row: Callable[[int], str] = counted_row) -> Array:
        """Return the inputs of a column, (N, F) float64. Raises DataError, which names the first bad cell's row."""
        missing = column.is_missing
        values = self._values(column, row)
        if missing.any():
            if self.fill is None:
                raise DataError(
                    _(
                        "{row}: the value of column {name!r} is missing. Fill it in, or leave the row out.",
                        row=row(int(np.argmax(missing))),
                        name=self.name,
                    )
                )
            values[missing] = self.fill
        return values

    def _values(self, column: Column, row: Callable[[int], str]) -> Array:
        match self.kind:
            case "number":
                found = column.as_numbers()
                if found is not None and found.numbers is not None:
                    return found.numbers[:, None].copy()
                return self._mapped(column, number, _("a number"), row)
            case "boolean":
                expected = _("{no} or {yes}", no=self.words[0], yes=self.words[1])
                return self._mapped(column.as_words(), lambda word: truth(word, self.words), expected, row)
            case "date":
                expected = _("a date as in training")
                return self._mapped(column.as_words(), lambda word: days(word, self.format), expected, row)
            case "category":
                return self._one_hot(column.as_words())

    def _mapped(
        self, column: Column, value: Callable[[str], float | None], expected: str, row: Callable[[int], str]
    ) -> Array:
        values = column.mapped(value)
        wrong = np.isnan(values) & ~column.is_missing
        if wrong.any():
            first = int(np.argmax(wrong))
            assert column.codes is not None
            raise DataError(
                _(
                    "{row}: {cell!r} in column {name!r} is not {expected}.",
                    row=row(first),
                    cell=column.words[column.codes[first]][:40],
                    name=self.name,
                    expected=expected,
                )
            )
        return values[:, None]

    def _one_hot(self, column: Column) -> Array:
        places = {word: place for place, word in enumerate(self.words)}
        # A word of no category, and a missing cell (code −1), take the last row, which is all 0.
        of_code = np.array([*(places.get(word, -1) for word in column.words), -1])
        rows = np.vstack([np.eye(len(self.words)), np.zeros((1, len(self.words)))])
        encoded: Array = rows[of_code[column.codes]]
        return encoded


@dataclass(frozen=True)
class TableEncoding:
    """How the cells of a table become inputs and targets: fitted once, on the training split, then only applied.

    inputs: the columns that are inputs, in order. targets: the names of the target columns.
    classes: names of the classes, in the order of the labels; () for regression.
    reading: how the text of the file was read; its `missing` is what counts as a missing cell, in small letters.
    mean, std: of the inputs, one for each of `input_names`: scaled = (x − mean) / std. None without scaling.
    target_mean, target_std: of the targets, one for each of `targets`. None without `data.scale_target`.

    `apply` takes rows as they stand in a file and returns what the model takes. `unscaled` turns what the model
    returns for a regression into the targets' own units; `labels` turns the targets of new rows into labels.
    """

    inputs: tuple[InputColumn, ...]
    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    reading: Options = field(default_factory=Options)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    target_mean: tuple[float, ...] | None = None
    target_std: tuple[float, ...] | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """One name for each input of the model."""
        return tuple(name for column in self.inputs for name in column.input_names)

    @property
    def has_means(self) -> bool:
        """Whether missing cells become means, or targets are scaled."""
        return self.target_mean is not None or any(column.fill is not None for column in self.inputs)

    def apply(
        self, columns: Mapping[str, Iterable[object] | Column], row: Callable[[int], str] = counted_row
    ) -> Array:
        """Return the inputs of the model, scaled, (N, F) float32.

        columns: cells by the column's name, as a file has them: texts, numbers, None; other columns are ignored.
        row: returns what errors call row i. Raises DataError for a column that is not there and for a cell that can't
        be used, such as a missing one where training had no fill for it. A category that training has not seen
        becomes 0 in all of its column's inputs.
        """
        encoded = self.encode(columns, row)
        if self.mean is not None:
            encoded = (encoded - np.array(self.mean)) / np.array(self.std)
        return encoded.astype(np.float32)

    def encode(self, columns: Mapping[str, Iterable[object] | Column], row: Callable[[int], str]) -> Array:
        """Return the inputs before scaling, (N, F) float64. Raises the errors of `apply`."""
        parts = [column.encode(self.column(column.name, columns), row) for column in self.inputs]
        return np.concatenate(parts, axis=1)

    def labels(
        self, columns: Mapping[str, Iterable[object] | Column], row: Callable[[int], str] = counted_row
    ) -> Array:
        """Return the labels of the target column, (N,) int64. Raises DataError for a word that is no class."""
        column = self.column(self.targets[0], columns).as_words()
        places = {name: label for label, name in enumerate(self.classes)}
        labels = column.mapped(places.get)
        if np.isnan(labels).any():
            first = int(np.argmax(np.isnan(labels)))
            assert column.codes is not None
            code = column.codes[first]
            raise DataError(
                _(
                    "{row}: {cell!r} in column {name!r} is no class; the classes are {names}.",
                    row=row(first),
                    cell="" if code < 0 else column.words[code][:40],
                    name=self.targets[0],
                    names=show(self.classes),
                )
            )
        return labels.astype(np.int64)

    def unscaled(self, outputs: Array) -> Array:
        """Return targets, (N, T), in their own units."""
        if self.target_mean is None:
            return outputs
        unscaled: Array = outputs * np.array(self.target_std) + np.array(self.target_mean)
        return unscaled

    def with_scaling(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> "TableEncoding":
        """Return the encoding with the scaling of the inputs, in float64."""
        if mean is None or std is None:
            return replace(self, mean=None, std=None)
        return replace(self, mean=tuple(map(float, mean)), std=tuple(map(float, std)))

    def column(self, name: str, columns: Mapping[str, Iterable[object] | Column]) -> Column:
        """Return the column of that name, read as training read it. Raises DataError if there is none."""
        if name not in columns:
            missing = _("there is no column {name!r}; there are {names}", name=name, names=show(list(columns)))
            raise DataError(missing + did_you_mean(name, columns))
        column = columns[name]
        return column if isinstance(column, Column) else Column.of(name, column, self.reading.missing)

    def to_json(self) -> dict[str, Any]:
        """Return the encoding as plain dicts, lists, texts and numbers. Floats keep all their digits in JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TableEncoding":
        """Return the encoding that `to_json` was made of. Keys of later versions are ignored."""
        inputs = tuple(InputColumn(**_known(InputColumn, column)) for column in content["inputs"])
        reading = Options(**_known(Options, content.get("reading", {})))
        return cls(**{**_known(cls, content), "inputs": inputs, "reading": reading})


def _known(made: "type[DataclassInstance]", content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the dataclass `made` that `content` has, its lists as tuples."""
    found = {each.name: content[each.name] for each in fields(made) if each.name in content}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def fit(
    column: Callable[[str], Column], planned: Sequence[InputColumn], rows: Array, *, fill: bool
) -> tuple[InputColumn, ...]:
    """Return the planned inputs with categories and fills by the training rows alone.

    column: returns a whole column by its name. fill: whether missing cells become the mean of the training rows; for
    a category's inputs that is the share of each category.
    """
    return tuple(
        _fit(column(plan.name).pick(rows), plan, fill) if fill or plan.kind == "category" else plan
        for plan in planned
    )


def _fit(train: Column, plan: InputColumn, fill: bool) -> InputColumn:
    if plan.kind == "category":
        train = train.as_words()
        plan = replace(plan, words=tuple(train.present()))
    if not fill:
        return plan
    there = train.pick(np.flatnonzero(~train.is_missing))
    means = plan.encode(there).mean(axis=0) if len(there) else np.zeros(len(plan.input_names))
    return replace(plan, fill=tuple(means.tolist()))
