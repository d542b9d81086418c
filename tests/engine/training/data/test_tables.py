"""Without this, a spreadsheet's columns could be mixed up, or its mistakes go unnamed."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import StandardScaler

from descent.common.errors import DataError
from engine.training.data import table_file, table_text, tables
from tests.helpers.full_disk import full_once


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
        ("x,kind\n1,2,3\n", {}, "line 2: 3 values, but 2 columns"),
        ("x,kind\n1,a\n\n2\n", {}, "line 4: 1 value, but 2 columns"),
        ("x,kind\n1,a\nSeoul,b\n", {}, "line 3: 'Seoul' in column 'x' is not a number"),
        (
            "x,kind\n1,a\n,b\nNA,a\n",
            {},
            "line 3: the value of column 'x' is missing. Values that are missing in 3 rows: 'x' 2",
        ),
        ("x,kind\n1,a\n2,\n", {}, "line 3: the value of column 'kind' is missing"),
        ("x,kind\n1,a\n2,NA\n", {}, 'data.missing = "drop" leaves such rows out'),
        ("x,kind\n1,a\n,b\n2,\n", {"missing": "drop"}, "every sample is of the class 'a'"),
        ("x,kind\n1,\n2,\n", {"missing": "drop"}, "missing in each of the 2 rows"),
        ("x,kind\n1,a\n2,a\n", {}, "every sample is of the class 'a'"),
        ("x,kind\n" + "1,2\n" * 61 + "1,two\n", {"task": "regression"}, "line 63: 'two' in column 'kind' is not a"),
        ("x,kind\n" + "".join(f"1,{i}\n" for i in range(60)) + "1,x\n", {}, "line 62: 'x' in column 'kind' is not"),
        ('x,y,kind\n1,2,"a\n1,2,b\n1,2,a\n', {}, "line 2: a quote begins a cell there"),
        ('x,y,kind\n1,2,"a\n1,2,b\n1,2,b"\n1,2,a\n', {}, "line 2: a quote begins a cell there"),
        ('x,y,kind\n1,2,"a"b\n1,2,b\n', {}, "line 2: can't be read as a row"),
        ("x,kind\n1e39,a\n2,b\n", {}, "line 2: the number in column 'x' is infinite, or too large"),
        ("x,kind\n1,1\n2,2\n", {"scale_target": True, "task": "classification"}, "data.scale_target = true, but"),
        ("x,kind\n1,a\n2,b\n", {"exclude": ("y",)}, r"no column 'y' \(data\.exclude\)"),
        ("x,kind\n1,a\n2,b\n", {"exclude": ("x",)}, "no column is left as an input"),
        ("x,kind\n1,a\n2,b\n", {"target": ()}, "data.target names no column"),
        ("x,kind\n" + "".join(f"{i},w{i}\n" for i in range(50)), {}, "50 different words in 50 samples"),
        (b"x,kind\n1,\0a\n2,\xff\n", {}, "is no text: it holds zero bytes"),
        ("x,kind\n1,ä\n".encode("latin-1"), {"encoding": "utf-8"}, r"not text in utf-8 \(data.encoding\)"),
        ("x,kind\n1,0.5\n2,1\n", {"task": "classification"}, "not whole numbers"),
        ("x,kind\n1,a\n2,b\n", {"task": "regression"}, "'a' in column 'kind' is not a number"),
        ("x,kind\n1,0.5\n2,0.5\n", {"task": "regression"}, "column 'kind' is 0.5 in every row"),
        ("a,b,kind\n1,1,p\nx,2,q\n3,y,p\n", {}, "'x' in column 'a'.* such cells in other columns too: 'b'"),
        ("kind\n1\n2\n", {}, "no column except the target"),
        (ROWS, {"target": "kinds"}, r"no column 'kinds' \(data\.target\); it has 'age'.*Did you mean 'kind'"),
        (ROWS, {"features": ("aeg",)}, r"no column 'aeg' \(data\.features\).*Did you mean 'age'"),
        (ROWS, {"features": ("age", "kind")}, "which is data.target too"),
        ("x,kind\n" + "".join(f"{i},{i}\n" for i in range(50)), {}, "50 different ones in 50"),
        ("x,kind\n" + "".join(f"{i},{min(i % 30, i)}\n" for i in range(300)) + "1,30\n", {}, "31 different ones in"),
        ("x,kind\n" + "".join(f"{i},{i % 12}\n" for i in range(20)), {}, "12 different ones in 20"),
        ("5.1,0.2,setosa\n4.9,0.4,setosa\n6.3,1.5,virginica\n", {}, "looks like the rows below it: 'setosa'"),
        ("39,b,m,1\n50,b,f,1\n38,c,m,0\n", {}, "looks like the rows below it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), {}, "is a workbook"),
    ],
)
def test_what_cannot_be(table, text, section, message):
    """A person would see a traceback, or not learn which line and column to look at."""
    with pytest.raises(DataError, match=message):
        table(text, **section)


def penguins(count=60):
    """Rows as they are downloaded: words, truth values, dates and missing cells."""
    lines = ["species,island,mass,tagged,seen"]
    for i in range(count):
        mass = "NA" if i % 20 == 3 else str(3000 + 10 * i)
        island = "" if i == 7 else ("Biscoe", "Dream")[i % 2]
        kind, tagged = ("Adelie", "Gentoo")[i % 3 == 0], ("no", "yes")[i % 4 == 0]
        lines.append(f"{kind},{island},{mass},{tagged},2007-11-{i % 28 + 1:02}")
    return "\n".join(lines) + "\n"


def test_downloaded(table):
    """A table with words, dates and missing cells could not be trained on as it is."""
    data = table(penguins(), target="species", missing="mean", validation=0.2, scaling="standard")
    assert data.classes == ("Adelie", "Gentoo")
    assert data.input_names == ("island=Biscoe", "island=Dream", "mass", "tagged", "seen")
    assert data.rows_left_out == 0
    assert data.train.inputs.isfinite().all()
    assert data.summary == "2 classes: Adelie, Gentoo; 5 inputs: island=Biscoe, island=Dream, mass, tagged, seen"
    notes = " ".join(data.notes)
    assert "one input for each category: 'island'" in notes
    assert "0 for no and 1 for yes: 'tagged'" in notes
    assert "days since 1970-01-01: 'seen'" in notes


def test_rows_left_out(table):
    """Rows that lack a value would be left out without a word, or a test of the wrong rows be made."""
    data = table(penguins(), target="species", missing="drop")
    assert data.rows_left_out == 4
    assert len(data.train.inputs) == 56
    assert data.summary.endswith("; 4 rows left out")
    assert "4 of 60 rows are left out, because a value is missing" in data.notes


def test_no_missing_target_is_a_class(table):
    """NA would be a class, or a regression would become a classification because of one."""
    rows = "".join(f"{i},{word}\n" for i, word in enumerate(("a", "b", "NA", "?", "nan", "None", " ", "#N/A", "b")))
    for missing in ("drop", "mean"):
        data = table("x,kind\n" + rows, missing=missing, features=("x",))
        assert data.classes == ("a", "b")
        assert data.rows_left_out == 6
    numbers = "".join(f"{i},{i / 2}\n" for i in range(60)) + "60,NA\n"
    assert table("x,kind\n" + numbers, missing="drop").task == "regression"
    assert table("x,kind\n1,a\n2,NA\n3,b\n", missing_words=("-999",), features=("x",)).classes == ("NA", "a", "b")


def test_encoding_of_the_training_rows(table):
    """The inputs of new rows would differ from those that the model was trained on; a mean would know the test."""
    data = table(penguins(), target="species", missing="mean", validation=0.2, test=0.2, scaling="standard")
    cells = [line.split(",") for line in penguins().splitlines()]
    columns = {name: [row[at] for row in cells[1:]] for at, name in enumerate(cells[0])}
    again = data.encoding.apply(columns)
    everything = np.concatenate([split.inputs.numpy() for split in (data.train, data.validation, data.test)])
    assert {tuple(row) for row in again.tolist()} == {tuple(row) for row in everything.tolist()}
    raw = table(penguins(), target="species", missing="mean", validation=0.2, test=0.2)
    masses = raw.train.inputs[:, 2].double().numpy()
    fill = raw.encoding.inputs[1].fill[0]
    there = masses[np.abs(masses - fill) > 1e-3]
    assert fill == pytest.approx(there.mean())
    assert sorted(raw.encoding.labels(columns).tolist()).count(1) == 20


def test_scaled_target(table):
    """Targets of thousands would take thousands of steps, or the scale would be of the test rows too."""
    text = "x,y,z\n" + "".join(f"{i},{1000 + 7 * i},{i / 2}\n" for i in range(50))
    data = table(text, target=("y", "z"), scale_target=True, validation=0.2)
    targets = data.train.targets
    assert targets.mean(0).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert targets.std(0, correction=0).tolist() == pytest.approx([1, 1])
    own = data.encoding.unscaled(targets.numpy())
    assert own[:, 0] == pytest.approx(1000 + 7 * data.train.inputs[:, 0].numpy(), rel=1e-5)
    assert data.summary.startswith("2 targets: y, z; 1 input: x")
    assert table(text, target="y", scale_target=True).task == "regression"


def test_nameless_first_column(table):
    """The row numbers of pandas and R would be an input: a table sorted by class would be learned by heart."""
    for text in (
        ",x,kind\n" + "".join(f"{i},{i % 3}.5,{'ab'[i // 5]}\n" for i in range(10)),
        '"x","kind"\n' + "".join(f'"{i + 1}",{i % 3}.5,"{"ab"[i // 5]}"\n' for i in range(10)),
        ",x,kind\n" + "".join(f"Mazda {i},{i % 3}.5,{'ab'[i // 5]}\n" for i in range(10)),
    ):
        data = table(text)
        assert data.input_names == ("x",)
        assert any("left out: ''" in note for note in data.notes)


def test_row_numbers_are_noted(table):
    """A column of row numbers would be an input without a word."""
    data = table("id,x,kind\n" + "".join(f"{i + 1},{i % 3}.5,{'ab'[i // 5]}\n" for i in range(10)))
    assert data.input_names == ("id", "x")
    assert any("data.exclude = ['id']" in note for note in data.notes)
    assert table("id,x,kind\n1,2,a\n2,3,b\n3,3,b\n", exclude=("id",)).input_names == ("x",)


def test_names_and_texts_are_left_out(table):
    """A name in each row would become an input each, or refuse the file."""
    rows = "".join(f"Mr {i},{i % 7},{'ab'[i % 2]}\n" for i in range(100))
    data = table("name,x,kind\n" + rows)
    assert data.input_names == ("x",)
    assert any(note.startswith("left out: 'name'") for note in data.notes)
    assert table("name,x,kind\n" + rows, categories=("name",)).input_shape == (101,)


def test_numbers_as_categories(table):
    """A column that numbers its categories would be taken for a quantity."""
    data = table("code,kind\n1,a\n2,b\n9,a\n", categories=("code",))
    assert data.input_names == ("code=1", "code=2", "code=9")
    assert data.train.inputs.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("target", ["3", 3])
def test_no_header(table, target):
    """A file without names would lose its first row, or be refused without a way out."""
    data = table("1,2,a\n3,4,b\n", header=False, target=target)
    assert data.input_names == ("1", "2")
    assert data.train.inputs.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("1990,1991,kind\n1,2,a\n3,4,b\n1,4,b\n", "kind"),
        ("400.5,401,sample\n0.1,0.2,a\n0.3,0.4,b\n", "sample"),
        ("a,b,kind\na,1,x\nb,2,y\n", "kind"),
    ],
)
def test_names_that_might_be_cells(table, text, target):
    """A table whose columns are years, wavelengths or letters would be refused as one without a header."""
    assert len(table(text, target=target).train.inputs) == text.count("\n") - 1


def test_doubtful_columns_are_told(table):
    """A count, an id or a column without values would be trained on as if it were something else, without a word."""
    rows = "".join(f"{9 * i % 397},{i % 3},{'' if i % 4 else 7},{(1, 2, 7)[i % 3]}\n" for i in range(40))
    notes = "\n".join(table("user_id,x,speed,kind\n" + rows, missing="mean").notes)
    assert "column 'user_id' gives each sample a number of its own" in notes
    assert "most of the values are missing, and become the mean: 'speed'" in notes
    assert "('kind') are whole numbers, and are taken as classes. If they are quantities, set" in notes
    notes = "\n".join(table("user_id,x,speed,kind\n" + rows, missing="mean", task="classification").notes)
    assert "taken as classes" not in notes


def test_header_twice(table):
    """Two files after one another would make their header a row; two columns of one name would be one."""
    data = table("x,kind\n1,a\nx,kind\n2,b\n")
    assert data.train.inputs.tolist() == [[1], [2]]
    assert any("repeat the names of the columns" in note for note in data.notes)
    assert table("x,x,kind\n1,2,a\n3,4,b\n").input_names == ("x", "x (2)")


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("x;kind\n1,5;a\n2,5;b\n", {}),
        ("x|kind\n1.5|a\n2.5|b\n", {}),
        ("x   kind\n 1.5  a\n2.5 \t b\n", {}),
        ("x , kind\n 1.5 , a\n 2.5, b \n   \n", {}),
        ("x,kind\r1.5,a\r2.5,b\r", {}),
        ('"x","kind"\n"1.5","a"\n"2.5","b"\n', {}),
        ('x, kind\n1.5, "a"\n2.5, "b"\n', {}),
        ("made by a machine\n\nx,kind\n1.5,a\n2.5,b\n", {"skip_lines": 1}),
        ("x\tkind\n1.5\ta\n2.5\tb\n", {"delimiter": "\t"}),
    ],
)
def test_texts(table, text, section):
    """A file with other separators, blanks or line ends would be refused or read wrongly."""
    data = table(text, **section)
    assert data.train.inputs.tolist() == [[1.5], [2.5]]
    assert data.classes == ("a", "b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp949"])
def test_encodings(table, encoding):
    """A table of Excel or of a Korean office would be refused."""
    data = table("길이,kind\n1,개\n2,고양이\n".encode(encoding))
    assert data.input_names == ("길이",)
    assert data.classes == ("개", "고양이")
    assert any("read as cp949" in note for note in data.notes) == (encoding == "cp949")


def test_western_letters(table):
    """A table with accents in Latin-1 would be refused or be taken for Korean."""
    data = table("größe,kind\n1,chat\n2,éléphant\n".encode("latin-1"))
    assert data.classes == ("chat", "éléphant")
    assert any("line 1: byte 0xf6), so read as latin-1" in note for note in data.notes)


def test_first_byte_that_is_no_utf8(table, monkeypatch):
    """The line of a wrong byte far down would be wrong, or a letter between two reads be taken for one."""
    monkeypatch.setattr(table_text, "CHUNK", 7)
    text = "x,kind\n" + "1,가\n2,나\n" * 9
    assert table(text).classes == ("가", "나")
    for end, place in ((b"3,\xff\n", "byte 0xff in line 20"), ("3,가".encode()[:-1], "byte 0xea in line 20")):
        with pytest.raises(DataError, match=place):
            table(text.encode() + end, encoding="utf-8")


def test_placed_by_column(table, monkeypatch):
    """A large table would need its size in float64 beside the float32 that is trained on."""
    text = "a,b,kind\n" + "".join(f"{i},{'xyz'[i % 3]},{i / 7}\n" for i in range(60))
    raw = table(text, validation=0.2, test=0.2)
    monkeypatch.setattr(tables.TableInputs, "__getitem__", lambda *_rows: pytest.fail("all columns at once"))
    data = table(text, scaling="standard", validation=0.2, test=0.2)
    scaler = StandardScaler().fit(raw.train.inputs.double())
    for split in ("train", "validation", "test"):
        expected = scaler.transform(raw.split(split).inputs.double())
        assert np.allclose(data.split(split).inputs, expected, atol=1e-6)
    assert data.mean.tolist() == pytest.approx(scaler.mean_.tolist())


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("__MACOSX/._t.csv", b"x")
        archive.writestr("t.csv", content)
    return file.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped])
def test_packed(table, pack):
    """A packed table would have to be unpacked by hand."""
    assert table(pack(ROWS.encode())).input_names == ("age", "height")


def test_packed_wrongly(table):
    """A zip of several files, a workbook or half a download would be a traceback."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a\x1b[31m.csv", ROWS)
        archive.writestr("b.csv", ROWS)
    with pytest.raises(DataError, match="holds 2 files") as found:
        table(file.getvalue())
    assert "\x1b" not in str(found.value)
    with pytest.raises(DataError, match="can't be read"):
        table(gzip.compress(ROWS.encode() * 100)[:-20])


def test_parquet(tmp_path, read):
    """A parquet file would be refused, or its truth values and dates be lost."""
    cells = {"x": [1.5, None, 3.5], "ok": [True, False, True], "kind": ["a", "b", "a"], "l": [[1], [2], []]}
    pl.DataFrame(cells).write_parquet(tmp_path / "t.parquet")
    how = {"name": "csv", "path": str(tmp_path / "t.parquet"), "target": "kind", "validation": 0.0, "test": 0.0}
    data = read(**how, missing="mean")
    assert data.input_names == ("x", "ok")
    assert data.train.inputs.tolist() == [[1.5, 1], [2.5, 0], [3.5, 1]]
    assert any("left out: l" in note for note in data.notes)
    with pytest.raises(DataError, match="row 2: the value of column 'x' is missing"):
        read(**how)


def test_one_name_in_two_forms(table):
    """Two classes would look equal: macOS writes é as two characters, others as one."""
    data = table("x,kind\n1,caf\u00e9\n2,cafe\u0301\n3,tea\n")
    assert data.classes == ("caf\u00e9", "tea")
    assert table("e\u0301,kind\n1,a\n2,b\n", features=("\u00e9",)).input_names == ("\u00e9",)


def test_control_characters(table):
    """A cell or a header could write on the user's terminal."""
    data = table("x\x1b]0;pwned\x07,kind\n1,a\x1b[31m\n2,b\n")
    assert data.classes == ("a[31m", "b")
    assert "\x1b" not in data.summary
    assert all("\x1b" not in name for name in data.input_names)
    with pytest.raises(DataError) as found:
        table("x,kind\n1,a\n\x1b[2J2,b\n3,b\n")
    assert "\x1b" not in str(found.value)


@pytest.mark.slow
def test_later_rows_show_another_kind(table):
    """A word far down in a column of numbers would go unnoticed, or its line not be told."""
    text = "x,c,kind\n" + "".join(f"{i}.25,{'7' if i < 499_000 else 'n'},{'ab'[i % 2]}\n" for i in range(500_000))
    assert len(text) > 4 << 20
    with pytest.raises(DataError, match="line 499002: 'n' in column 'c' is not a number, like 1000 of its 500000"):
        table(text)
    assert table(text, categories=("c",)).input_names == ("x", "c=7", "c=n")
    with pytest.raises(DataError, match="line 500002: 'far' in column 'x' is not a number"):
        table(text + "far,7,a\n", categories=("c",))
    with pytest.raises(DataError, match="line 500002: 2 values, but 3 columns"):
        table(text + "far,7\n")


@pytest.mark.parametrize("rows", [60, 3_000])
def test_a_word_among_numbers_with_decimal_commas(table, rows):
    """The best column of a European table would be left out as a text, whatever its word for a missing cell is."""
    cells = ["k.A." if row % 20 == 7 else f"{row},5" for row in range(rows)]
    text = "x;kind\n" + "".join(f"{cell};{'ab'[row % 2]}\n" for row, cell in enumerate(cells))
    why = f"line 9: 'k.A.' in column 'x' is not a number, like {rows // 20} of its {rows} cells"
    with pytest.raises(DataError, match=why):
        table(text)
    inputs = table(text, missing_words=("k.A.",), missing="drop").train.inputs
    assert len(inputs) == rows - rows // 20
    assert inputs[1].tolist() == [1.5]


def test_decimal_commas_beside_points(table):
    """A column of prices would be left out as a text because another column has points; thousands stay thousands."""
    text = "price;count;rooms;kind\n" + "".join(f"{r},25;1,{r:03};{r}.5;{'ab'[r % 2]}\n" for r in range(60))
    data = table(text)
    assert data.train.inputs[7].tolist() == [7.25, 1007, 7.5]
    assert "column 'price': '0,25' is read as 0.25" in data.notes


def test_cache(table, monkeypatch):
    """A table would be parsed at every start, or an old one be trained on after it has changed."""
    table(ROWS)
    with monkeypatch.context() as patch:
        patch.setattr("engine.training.data.table_file._parse_text", None)
        assert table(ROWS).input_names == ("age", "height")
    assert table(ROWS.replace("10.5", "11.5")).train.inputs[0].tolist() == [1, 11.5]
    assert table(ROWS, missing_words=("1",), missing="drop").rows_left_out == 1


def test_a_full_cache_stops_no_training(table, monkeypatch):
    """A small home would end each run of a table with "can't write the run's metrics"."""
    full_once(monkeypatch, table_file, "_write_facts")
    assert table(ROWS).input_names == ("age", "height")
    assert not list(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.table"))
    assert not list(Path(os.environ["XDG_CACHE_HOME"]).rglob(".*.part"))
    table(ROWS)
    assert list(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.table"))


def test_numbers_as_python_reads_them(table):
    """A number would be rounded otherwise than before, so that a run would not go on bit-equal."""
    words = ["0.1", "1e-5", "123456789.123456789", "2.2250738585072014e-308", "-0", "+7", ".5", "5.", "1E3", "17"]
    data = table("x,kind\n" + "".join(f"{word},{'ab'[i % 2]}\n" for i, word in enumerate(words)))
    assert data.train.inputs[:, 0].tolist() == np.array(words, dtype=float).astype(np.float32).tolist()


def test_separated_thousands(table):
    """Prices such as 1,234.50, and 1.234,50 elsewhere, would be texts and left out, or read wrong."""
    data = table('price,note,kind\n"1,234.5",7,a\n999,8,b\n"-12,345,678","1,250",a\n')
    assert data.train.inputs.tolist() == [[1234.5, 7], [999, 8], [-12345678, 1250]]
    assert "column 'price': '1,234.5' is read as 1234.5" in data.notes
    data = table("price;kind\n1.234,5;a\n999,5;b\n12.000;a\n")
    assert data.train.inputs.tolist() == [[1234.5], [999.5], [12000]]
    # Spreadsheets of many countries write such numbers, in quotes, between commas; three parts are no number.
    assert table('price,kind\n"1,23",a\n"4,56",b\n').train.inputs.tolist() == [[np.float32(1.23)], [np.float32(4.56)]]
    assert "price=" in table('price,kind\n"0,1,2",a\n"1,2,3",b\n').input_names[0]


def test_dates_written_as_numbers(table):
    """20240229 and 20240301 would be 72 apart instead of a day, without a word."""
    rows = "day,size,kind\n20240229,20240232,a\n20240301,20240300,b\n"
    data = table(rows)
    assert data.train.inputs.tolist() == [[19782, 20240232], [19783, 20240300]]
    assert "days since 1970-01-01: 'day'" in data.notes
    assert "days since 1970-01-01: 'day'" in table(rows.replace("20240229", ""), missing="mean").notes
    assert table(rows, categories=("day",)).input_names[0] == "day=20240229"
    assert table(
        rows.replace("0229", "0228").replace("0301", "0300"), target="day", task="regression"
    ).train.targets.tolist() == [[20240228], [20240300]]


def test_months_by_name(table):
    """May is the same month in short and in full, and would be left out as a date that can't be told."""
    data = table("day,month,kind\nMay 5 2020,May 2020,a\nMay 6 2020,June 2020,b\n")
    assert np.diff(data.train.inputs, axis=0).tolist() == [[1, 31]]


def test_names_of_rows_in_a_table_of_blanks(table):
    """What R writes by write.table would be refused: quoted names, one less than there are columns."""
    data = table('"x" "kind"\n"first row" 1 "a"\n"second row" 2.5 "b"\n')
    assert data.train.inputs.tolist() == [[1], [2.5]]


def test_large_targets_are_pointed_out(table):
    """A price would be trained on for hours from 0 up, with an R² below 0 and no hint."""
    rows = "x,kind\n1,250000.5\n2,300000\n"
    assert any("data.scale_target = true" in note for note in table(rows).notes)
    assert not any("data.scale_target" in note for note in table(rows, scale_target=True).notes)


@pytest.mark.parametrize(
    ("cell", "unit"),
    [("${}.50", "$"), ("{} %", "%"), ("{}kg", "kg"), ("1,{:03} €", "€"), ("₩{},000", "₩"), ("-{}.5°C", "°C")],
)
def test_numbers_with_a_unit_are_told(table, cell, unit):
    """A price would be left out, or refused as a target, and nobody would know why."""
    cells = [cell.format(i) for i in range(100, 140)]
    rows = "".join(f'{i},"{cells[i]}",{"ab"[i % 2]}\n' for i in range(40))
    data = table(f"x,price,kind\n{rows}")
    assert data.input_names == ("x",)
    assert any(f"column 'price' holds numbers with the unit {unit!r}, such as {cells[0]!r}" in n for n in data.notes)
    for section in ({}, {"scale_target": True}):
        with pytest.raises(
            DataError, match=r"\. Column 'price' holds numbers with the unit .*, and they are quantit"
        ):
            table(f"x,price,kind\n{rows}", target="price", **section)


@pytest.mark.parametrize("cell", ["X{}", "room {}", "{}-1", "{} a 7"])
def test_names_with_numbers_are_no_quantities(table, cell):
    """Advice to take the letters out of ids would make a quantity of them."""
    rows = "".join(f"{i},{cell.format(i)},{'ab'[i % 2]}\n" for i in range(40))
    assert not [note for note in table(f"x,id,kind\n{rows}").notes if "unit" in note]


def test_quarters_are_told(table):
    """A column of quarters would be left out as texts without a hint."""
    rows = "".join(f"{i},{1970 + i // 4}Q{i % 4 + 1},{'ab'[i % 2]}\n" for i in range(40))
    assert any("column 'when' holds quarters, such as '1970Q1'" in n for n in table(f"x,when,kind\n{rows}").notes)


def test_names_in_apostrophes_are_found_without_them(table):
    """A column that a program wrote as 'kind' would have to be named with its apostrophes, in a shell's quotes."""
    data = table("'age'\t'kind'\t'no'\n1\tcat\t1\n2\tdog\t2\n3\tcat\t3\n4\tdog\t4\n", exclude=("no",))
    assert data.classes == ("cat", "dog")
    assert data.input_names == ("'age'",)


def _leaks(samples):
    return [note.split("'")[1] for note in samples.notes if "almost exactly" in note]


def test_columns_that_give_the_target_away_are_told(table):
    """Somebody would be proud of 100 %, reached with a column that is the target in other words."""
    draw = np.random.default_rng(0)
    kind = draw.integers(0, 3, 300)
    rows = [
        f"{('yes', 'no', 'maybe')[k]},{k + 0.9 * draw.random():.4f},{k + 1.2 * draw.random():.4f},{'abc'[k]}"
        for k in kind
    ]
    assert _leaks(table("word,range,noisy,kind\n" + "\n".join(rows) + "\n")) == ["word", "range"]

    price = np.round(1000 * draw.random(300), 1)
    rows = [
        f"{2 * p + 3 + draw.normal():.3f},{np.exp(p / 100):.4f},{p + 100 * draw.normal():.3f},{int(p) // 50},{p}"
        for p in price
    ]
    text = "double,exp,noisy,class,price\n" + "\n".join(rows) + "\n"
    assert _leaks(table(text, target="price")) == ["double", "exp", "class"]


def test_honest_columns_are_not_called_leaks(table):
    """A note at each table would be read by nobody."""
    draw = np.random.default_rng(0)
    rows = [f"{i},{draw.random():.3f},{draw.random():.3f},{'ab'[int(draw.random() < 0.005)]}" for i in range(400)]
    assert _leaks(table("id,x,z,kind\n" + "\n".join(rows) + "\n")) == []
    alone = [f"{i / 10},{i / 10}" for i in range(100)]
    assert _leaks(table("x,y\n" + "\n".join(alone) + "\n", target="y")) == []
    few = [f"{i},{i},{'ab'[i % 2]}" for i in range(10)]
    assert _leaks(table("x,z,kind\n" + "\n".join(few) + "\n")) == []
