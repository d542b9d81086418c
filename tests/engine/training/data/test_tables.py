"""Without this, a spreadsheet's columns could be mixed up, or its mistakes go unnamed."""

import pytest

from descent.common.errors import DataError


@pytest.fixture
def table(tmp_path, read):
    """table(text, …) writes and loads a .csv file."""

    def load(text, **section):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(name="csv", path=str(path), **{"target": "kind", "validation": 0.0, "test": 0.0, **section})

    return load


ROWS = "age,kind,height\n1,cat,10.5\n2,dog,20\n3,cat,30\n4,dog,-4e1\n"


def test_words(table):
    """Names of classes would be refused, or columns swapped."""
    data = table(ROWS)
    assert data.classes == ("cat", "dog")
    assert data.input_names == ("age", "height")
    assert data.train.inputs.tolist() == [[1, 10.5], [2, 20], [3, 30], [4, -40]]
    assert data.train.targets.tolist() == [0, 1, 0, 1]


def test_features(table):
    """data.features would not choose columns, in its order."""
    data = table(ROWS, features=("height", "age"))
    assert data.input_names == ("height", "age")
    assert data.train.inputs[0].tolist() == [10.5, 1]
    assert table(ROWS, features=("age",)).input_shape == (1,)


def test_whole_numbers(table):
    """Classes numbered from 1, or with gaps, would be refused; their names would be lost."""
    data = table("x,kind\n1,3\n2,7\n3,3\n4,7\n")
    assert data.classes == ("3", "7")
    assert data.train.targets.tolist() == [0, 1, 0, 1]


def test_quantities(table):
    """A target with fractions would be taken for classes."""
    data = table("x,kind\n1,0.5\n2,1\n")
    assert data.task == "regression"
    assert data.train.targets.tolist() == [[0.5], [1]]
    assert table("x,kind\n1,3\n2,7\n", task="regression").task == "regression"


@pytest.mark.parametrize("change", [lambda t: t.replace(",", ";"), lambda t: t.replace(",", "\t")])
def test_separators(table, change):
    """A file of a spreadsheet with other separators would be refused."""
    assert table(change(ROWS)).input_names == ("age", "height")


def test_excel(table):
    """Excel's byte order mark would become part of the first name; its line ends, of the last."""
    data = table(b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode())
    assert data.input_names == ("age", "height")


def test_quotes(table):
    """A comma inside quotes would make a column."""
    assert table('x,kind\n1,"a,b"\n2,c\n').classes == ("a,b", "c")


@pytest.mark.parametrize(
    ("text", "section", "message"),
    [
        ("", {}, "is empty"),
        ("x,kind\n", {}, "holds no samples"),
        ("1,2\n3,4\n", {}, "first line must name the columns"),
        ("x,x,kind\n1,2,3\n", {}, "two columns called 'x'"),
        ("x,kind\n1,2,3\n", {}, "line 2: 3 values, but 2 columns"),
        ("x,kind\n1,a\n\n2\n", {}, "line 4: 1 values, but 2 columns"),
        ("x,kind\n1,a\nSeoul,b\n", {}, "line 3: 'Seoul' in column 'x' is not a number"),
        ("x,kind\n1,a\n,b\nNA,a\n", {}, r"2 of the inputs can't be used.*NaN, in line 3, column 'x'"),
        ("x,kind\n1,a\n2,\n", {}, "line 3 has no value"),
        ("x,kind\n1,0.5\n2,1\n", {"task": "classification"}, "not whole numbers"),
        ("x,kind\n1,a\n2,b\n", {"task": "regression"}, "'a' in column 'kind' is not a number"),
        ("kind\n1\n2\n", {}, "no column except the target"),
        (ROWS, {"target": "kinds"}, r"no column 'kinds' \(data\.target\); it has 'age'.*Did you mean 'kind'"),
        (ROWS, {"features": ("aeg",)}, r"no column 'aeg' \(data\.features\).*Did you mean 'age'"),
        (ROWS, {"features": ("age", "kind")}, "which is data.target too"),
        (b"x,kind\n1,\xff\n", {}, "not text in UTF-8"),
        ("x,kind\n" + "".join(f"{i},{i}\n" for i in range(50)), {}, "50 different ones in 50"),
    ],
)
def test_what_cannot_be(table, text, section, message):
    """A person would see a traceback, or not learn which line and column to look at."""
    with pytest.raises(DataError, match=message):
        table(text, **section)
