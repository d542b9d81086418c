"""Without this, a model would be given other inputs for new rows than it was trained on."""

import json

import numpy as np
import pytest

from descent.common.errors import DataError
from engine.training.data.table_columns import Column, boolean_words, date_formats, days
from engine.training.data.table_encoding import InputColumn, TableEncoding, fit

COLUMNS = {
    "age": ["1", "3", "NA", "5"],
    "sex": ["male", "female", "male", ""],
    "member": ["yes", "No", "yes", "no"],
    "since": ["1970-01-02", "1970-01-03", "1970-01-04", "1970-01-05"],
}
PLANNED = (
    InputColumn("age", "number"),
    InputColumn("sex", "category"),
    InputColumn("member", "boolean", words=("no", "yes")),
    InputColumn("since", "date", format="iso"),
)


def fitted(rows=(0, 1, 2, 3), fill=True):
    def column(name):
        return Column.of(name, COLUMNS[name])

    return TableEncoding(fit(column, PLANNED, np.array(rows), fill=fill), ("y",))


def test_apply():
    """A number, a category, a truth value or a date would become another input than its own."""
    encoding = fitted()
    assert encoding.input_names == ("age", "sex=female", "sex=male", "member", "since")
    third = 2 / 3
    assert encoding.apply(COLUMNS) == pytest.approx(
        np.array([[1, 0, 1, 1, 1], [3, 1, 0, 0, 2], [3, 0, 1, 1, 3], [5, 1 - third, third, 0, 4]])
    )


def test_training_rows_alone():
    """A category or a mean of the test rows would be known in training."""
    encoding = fitted(rows=(0, 2))
    assert encoding.input_names == ("age", "sex=male", "member", "since")
    assert encoding.apply(COLUMNS)[:, 0].tolist() == [1, 3, 1, 5]  # the mean of the training rows is 1
    assert encoding.apply(COLUMNS)[1].tolist() == [3, 0, 0, 2]  # female was not seen


def test_json():
    """A model would read new rows otherwise once it was saved."""
    encoding = fitted().with_scaling(np.full(5, 0.1), np.full(5, 3.0))
    again = TableEncoding.from_json(json.loads(json.dumps(encoding.to_json())) | {"later": 1})
    assert again == encoding
    assert (again.apply(COLUMNS) == encoding.apply(COLUMNS)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": ["1", "x", "2", "3"]}, r"row 1 .*'x' in column 'age' is not a number"),
        ({"age": ["1", "2", "2", ""]}, r"row 3 .*column 'age' is missing"),
        ({"member": ["yes", "maybe", "no", "no"]}, "'maybe' in column 'member' is not no or yes"),
        ({"since": ["1970-01-02", "yesterday", "", ""]}, "'yesterday' in column 'since' is not a date"),
    ],
)
def test_unusable_cells(change, message):
    """A new file's bad cell would become a number without a word."""
    whole = {"age": ["1"] * 4, "sex": ["male"] * 4}
    with pytest.raises(DataError, match=message):
        fitted(fill=False, rows=(0, 1)).apply({**COLUMNS, **whole, **change})


def test_missing_column():
    """A new file without a column would not be told which one it lacks."""
    with pytest.raises(DataError, match=r'no column .age.; there are ."sex"'):
        fitted().apply({name: cells for name, cells in COLUMNS.items() if name != "age"})


def test_labels():
    """The targets of new rows would be compared with other classes."""
    encoding = TableEncoding((), ("y",), classes=("1", "2"))
    assert encoding.labels({"y": ["2", "1"]}).tolist() == [1, 0]
    assert encoding.labels({"y": np.array([2.0, 1.0])}).tolist() == [1, 0]
    with pytest.raises(DataError, match=r'is no class; the classes are ."1", "2"'):
        encoding.labels({"y": ["3"]})


def test_target_scale():
    """A prediction would be told in deviations instead of the target's own unit."""
    encoding = TableEncoding((), ("y",), target_mean=(10.0,), target_std=(2.0,))
    assert encoding.unscaled(np.array([[0.0], [1.5]])).tolist() == [[10], [13]]


def test_words():
    """Truth values and dates would be taken for categories, or dates for other days."""
    assert boolean_words(["TRUE", "False"]) == ("false", "true")
    assert boolean_words(["yes", "maybe"]) is None
    assert date_formats(["03.02.2020"]) == ["%d.%m.%Y"]
    assert len(date_formats(["03/02/2020"])) == 2
    assert date_formats(["03/02/2020", "2020-01-01"]) == []
    assert days("1970-01-02T12:00:00Z", "iso") == 1.5
    assert days("02.01.1970 06:00", "%d.%m.%Y %H:%M") == 1.25
