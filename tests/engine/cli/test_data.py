"""`descent data look` is where a person finds out, before anything trains, what their table will be to a model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from descent.common.errors import PresetError
from engine import cli
from engine.cli import data_view
from engine.preset import schema
from engine.preset.loading import load_preset
from engine.training.data import splits, tables
from tests.helpers.processes import Done

Look = Callable[..., Done]
TABLE = """,island,mass,sex,species
1,Biscoe,3750,male,Adelie
2,Dream,3800,NA,Adelie
3,Biscoe,5000,female,Gentoo
4,Dream,5100,male,Gentoo
5,Biscoe,3900,female,Adelie
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "penguins.csv").write_text(TABLE)
    return tmp_path / "penguins.csv"


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Look:
    """`descent data look` in this process: in a fork of it Polars would wait for threads that are not there."""
    monkeypatch.chdir(tmp_path)

    def done(*words: str) -> Done:
        code = cli.main(["data", "look", *words])
        return Done(code, *capsys.readouterr())

    return done


def test_a_table_is_shown_as_a_model_will_see_it(table: Path, look: Look) -> None:
    """Somebody would train on the row numbers, or on other classes than they think, and not know it."""
    done = look("penguins.csv", "--target", "species")
    assert done.code == 0, done
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.split()}
    (nameless,) = (line for line in done.out.splitlines() if line.startswith("–"))
    assert "category" in rows["island"]
    assert "number" in rows["mass"]
    assert "left out" in nameless  # the row numbers that pandas writes
    assert "target" in rows["species"]
    assert "Adelie" in done.out
    assert "line 3" in done.out  # where a value is missing, and what to do
    assert 'data.missing = "drop"' in done.out


def test_the_preset_that_is_shown_trains(look: Look, tmp_path: Path) -> None:
    """Whoever has a table and no preset yet would have to put one together from the documentation."""
    rows = "".join(f'{i},"{i * 1234:,}",{20200101 + i % 28}\n' for i in range(40))
    (tmp_path / "houses.csv").write_text("rooms,price,sold\n" + rows)
    done = look("houses.csv", "--target", "price", "--set", "data.task=regression", "--set", "data.test=0.25")
    assert done.code == 0, done
    (tmp_path / "houses.toml").write_text(done.out[done.out.index("[data]") :])
    preset = load_preset(str(tmp_path / "houses.toml"))
    assert isinstance(preset.data, schema.CsvData)
    assert (preset.data.target, preset.data.task, preset.data.test) == ("price", "regression", 0.25)
    assert preset.data.scale_target
    assert preset.loss.name == "mse"


def test_a_table_that_needs_a_setting_is_shown_with_a_preset_that_has_it(look: Look, tmp_path: Path) -> None:
    """A person would get a data section that trains nothing, and two messages one after the other."""
    rows = "".join(f"{'' if i % 7 == 0 else i % 9},{(i * 7919) % 1000}\n" for i in range(60))
    (tmp_path / "houses.csv").write_text("rooms,price\n" + rows)
    done = look("houses.csv", "--target", "price")
    assert "It can't be trained on as it is: " in done.out
    (tmp_path / "houses.toml").write_text(done.out[done.out.index("[data]") :])
    preset = load_preset(str(tmp_path / "houses.toml"))
    assert isinstance(preset.data, schema.CsvData)
    assert (preset.data.missing, preset.data.task, preset.loss.name) == ("mean", "regression", "mse")
    (tmp_path / "houses.csv").write_text("rooms,price\n" + rows.replace("919", "dear"))
    stray = look("houses.csv", "--target", "price").out
    assert "[model]" not in stray, "no setting mends a stray word"


def test_a_table_too_small_for_the_usual_shares_is_shown_with_a_preset_that_has_larger_ones(
    look: Look, tmp_path: Path
) -> None:
    """The preset would be refused when it is run: a tenth of 40 rows has no room for one of each of 8 classes."""
    rows = "".join(f"{i},{'abcdefgh'[i % 8]}\n" for i in range(40))
    (tmp_path / "sprays.csv").write_text("decrease,treatment\n" + rows)
    done = look("sprays.csv", "--target", "treatment")
    assert "It can't be trained on as it is: data.validation = 0.1 of 40 samples is 4, but 8 are needed" in done.out
    (tmp_path / "sprays.toml").write_text(done.out[done.out.index("[data]") :])
    preset = load_preset(str(tmp_path / "sprays.toml"))
    assert isinstance(preset.data, schema.CsvData)
    assert (preset.data.validation, preset.data.test) == (0.2, 0.2)
    samples = tables.read(preset.data)
    assert len(splits.plan(preset.data, samples).validation) == 8


def test_columns_that_only_mended_cells_make_inputs_are_all_shown(look: Look, tmp_path: Path) -> None:
    """Told one at a time, each needed another try, and the page of the others was never seen."""
    rows = [["1", "Ancient", "7", "solid"], ["2", "1766", "8", "gas"], ["[98]", "1895", "9", "gas"]]
    text = "".join(",".join(row) + "\n" for row in [["mass", "year", "size", "state"], *rows])
    (tmp_path / "elements.csv").write_text(text)
    done = look("elements.csv", "--target", "state")
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in done.out.splitlines() if line.split()}
    assert shown["mass"] == "number refused no number in line 4: '[98]'", done
    assert shown["year"] == "number refused no number in line 2: 'Ancient'"
    assert shown["size"] == "number input 7 to 9"
    assert "data.missing_words" in done.out
    assert json.loads(look("elements.csv", "--target", "state", "--json").out.splitlines()[-1])["inputs"] == ["size"]


def test_programs_read_the_same(table: Path, look: Look) -> None:
    """A script could not check a table before it starts a hundred runs."""
    drop = ["--set", 'data.missing="drop"']
    done = look("penguins.csv", "--target", "species", *drop, "--json")
    assert done.code == 0, done
    found = json.loads(done.out)
    assert {column["name"]: column["role"] for column in found["columns"]} == {
        "": "left out",
        "island": "input",
        "mass": "input",
        "sex": "input",
        "species": "target",
    }
    assert found["classes"] == {"Adelie": 2, "Gentoo": 2}


def test_images_are_shown_as_a_model_will_see_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The classes of a folder of images would be known only once a preset is written and trains."""
    for place in ("set/cat/1.png", "set/cat/2.png", "set/dog/3.png", "set/dog/4.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / place)
    data_view.look(str(tmp_path / "set"), [], [], tmp_path, as_json=False)
    shown = capsys.readouterr().out
    assert "2: cat 2, dog 2" in shown
    assert 'name = "images"' in shown
    assert "image_size" not in shown
    Image.new("RGB", (48, 40)).save(tmp_path / "set/cat/1.png")
    data_view.look(str(tmp_path / "set"), [], [], tmp_path, as_json=False)
    shown = capsys.readouterr().out
    assert "image_size = 32" in shown  # without it, images of two sizes are refused
    assert "3 channels, of several sizes" in shown
    assert "the images have 2 sizes, 8 × 8 to 48 × 40: data.image_size brings them to one" in shown
    (tmp_path / "set/dog/3.png").write_bytes(b"")
    (tmp_path / "set/dog/4.png").write_bytes(b"no image")
    data_view.look(str(tmp_path / "set"), [], ["data.image_size=8"], tmp_path, as_json=False)
    shown = capsys.readouterr().out
    assert "images of 8 × 8 to 48 × 40 were scaled to 8 × 8" in shown
    assert "2 images can't be read. Replace or delete them: dog/3.png: it is empty (0 bytes); dog/4.png: not" in shown
    data_view.look(str(tmp_path / "set"), [], [], tmp_path, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["sizes"] == [[8, 8], [48, 40]]
    assert found["damaged"] == ["dog/3.png", "dog/4.png"]
    with pytest.raises(PresetError, match="--target names a column of a table"):
        data_view.look(str(tmp_path / "set"), ["y"], [], tmp_path, as_json=False)


def test_the_data_of_a_preset(look: Look) -> None:
    """The classes of a data set would be known only once it trains."""
    done = look("digits-mlp", "--json")
    assert done.code == 0, done
    found = json.loads(done.out)
    assert len(found["classes"]) == 10
    assert sum(found["classes"].values()) == 1797


def test_a_file_that_is_no_table_says_so(tmp_path: Path, look: Look) -> None:
    """A person would read of a bug in Descent."""
    (tmp_path / "empty.csv").write_text("")
    done = look("empty.csv")
    assert done.code == 2, done
    assert "empty.csv" in done.err
    assert look("absent.csv").code == 2


def test_dates_are_shown_in_the_order_of_time(look: Look, tmp_path: Path) -> None:
    """Sorted as texts, 30.01.2024 would look later than 02.12.2024."""
    days = ["30.01.2024", "02.12.2024", "15.06.2023"]
    rows = "".join(f"{day},{n},{n % 2}\n" for n, day in enumerate(days * 4))
    (tmp_path / "sales.csv").write_text(f"day,sold,class\n{rows}")
    done = look("sales.csv", "--target", "class", "--json")
    [column] = [each for each in json.loads(done.out)["columns"] if each["name"] == "day"]
    assert column["words"] == ["15.06.2023", "30.01.2024", "02.12.2024"]
