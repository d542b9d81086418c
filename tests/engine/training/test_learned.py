"""A model that was trained must say the same of new data as it did in its run, where the data are gone too."""

import csv
import io
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import descent
from descent.common.errors import DescentError
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.results import result_of
from engine import cli
from engine.preset import consent
from engine.training import export
from engine.training.data import preparation
from engine.training.data.table_encoding import InputColumn, TableEncoding
from engine.training.learned import LearnedModel, load
from tests.engine.training.conftest import Train
from tests.helpers import old_runs

pytestmark = pytest.mark.slow

REGRESSION = """
title = "t"
[data]
name = "csv"
path = "points.csv"
target = "y"
scaling = "standard"
split = "ordered"
validation = 0.2
test = 0.25
[model]
name = "mlp"
widths = [8]
[loss]
name = "mse"
[optimizer]
name = "adam"
lr = 0.3
[train]
epochs = 200
batch_size = 16
early_stopping = { patience = 2 }
"""
IMAGES = """
title = "t"
[data]
name = "images"
path = "pictures"
scaling = "standard"
split = "ordered"
validation = 0.2
test = 0.0
[model]
name = "cnn"
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.05
[train]
epochs = 2
batch_size = 8
"""


def write_table(path: Path, columns: dict[str, Any]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def points(folder: Path) -> dict[str, Any]:
    """A table whose first column is large and nearly constant, which float32 would not scale well."""
    draws = np.random.default_rng(0)
    year, size = draws.normal(1_600_000_000, 100, 120), draws.normal(0, 1, 120)
    columns = {"year": year, "size": size, "y": (year - 1_600_000_000) / 50 + 3 * size}
    write_table(folder / "points.csv", columns)
    return columns


@pytest.fixture
def regression(tmp_path: Path, train: Train) -> tuple[RunFolder, dict[str, Any]]:
    """A regression of a table, which is deleted after the training."""
    columns = points(tmp_path)
    preset = tmp_path / "table.toml"
    preset.write_text(REGRESSION)
    run = train(str(preset))
    (tmp_path / "points.csv").unlink()
    return run, columns


def test_a_regression_predicts_from_a_new_table_as_it_was_tested(
    regression: tuple[RunFolder, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other columns, another order, or another model than the tested one, the numbers would be nonsense."""
    run, columns = regression
    tested = {name: values[-30:] for name, values in columns.items()}  # 25 %, in order
    new = write_table(tmp_path / "new.csv", {"note": ["?"] * 30, "size": tested["size"], "year": tested["year"]})
    model = descent.load(run.path)
    assert (model.columns, model.targets, model.task) == (("year", "size"), ("y",), "regression")
    predicted = model.predict(new)
    assert predicted.shape == (30,)
    rmse = np.sqrt(np.mean((predicted - tested["y"]) ** 2))
    assert rmse == pytest.approx(result_of(run).metrics["test_rmse"], rel=1e-5)

    best = result_of(run).best
    assert best is not None
    assert model.step == best.step
    assert best.step != checkpoint.latest(run)[0]["step"]  # type: ignore[index]
    same = model.predict({"size": tested["size"], "year": list(map(str, tested["year"]))})
    assert np.array_equal(same, predicted)
    assert np.array_equal(model.predict(np.stack([tested["year"], tested["size"]], axis=1)), predicted)
    rows = [{"size": s, "year": y} for s, y in zip(tested["size"], tested["year"], strict=True)]
    assert np.array_equal(model.predict(rows), predicted)

    out = tmp_path / "out.csv"
    assert cli.main(["predict", str(run.path), str(new), "--out", str(out)]) == 0
    assert f"30 predictions in {out}, by the model of step {best.step}" in capsys.readouterr().out
    written = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["line"] for row in written[:2]] == ["2", "3"]
    assert [float(row["y"]) for row in written] == pytest.approx(predicted.tolist(), rel=1e-6)

    assert cli.main(["predict", str(run.path), str(new), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["predictions"][0] == {"row": "2", "prediction": pytest.approx(predicted[0])}
    assert (answer["step"], answer["targets"], answer["count"]) == (best.step, ["y"], 30)


def test_a_damaged_model_is_not_replaced_by_an_earlier_one(regression: tuple[RunFolder, dict[str, Any]]) -> None:
    """Predictions would come from a model that has learned nothing, under the scores of another."""
    run, _told = regression
    for step in run.checkpoints()[1:]:
        content = bytearray(run.checkpoint(step).read_bytes())
        content[len(content) // 2] ^= 1
        run.checkpoint(step).write_bytes(content)
    with pytest.raises(DescentError, match=r"the model that was scored can't be read: .*is damaged .*descent fork"):
        load(run)
    run.checkpoint(0).write_bytes(b"")
    with pytest.raises(DescentError, match=r"no checkpoint that can be read: .*step-0\.pt is damaged"):
        load(run)


def test_wrong_tables_are_refused_by_name(regression: tuple[RunFolder, dict[str, Any]], tmp_path: Path) -> None:
    """A person would get predictions from the wrong column, or an error of PyTorch."""
    model = load(regression[0])
    cases: list[tuple[Any, str]] = [
        (
            write_table(tmp_path / "a.csv", {"Year": [1], "size": [2]}),
            r"a\.csv: .*missing: 'year'\. .*Did you mean 'Year'",
        ),
        (write_table(tmp_path / "b.csv", {"year": [1, "x"], "size": [2, 3]}), r"b\.csv: line 3: 'x' .* 'year'"),
        (write_table(tmp_path / "c.csv", {"year": [1], "size": [""]}), r"c\.csv: line 2: .*'size' is missing"),
        ({"year": [1, 2], "size": [1]}, "different lengths: 1, 2"),
        (np.zeros((4, 3)), r"shape 4 × 3; a sample of this model has the shape 2"),
        (np.array([[1.0, np.nan]]), "not finite"),
        (tmp_path / "nothing.csv", "no such file"),
        ([tmp_path / "a.png"], "not images"),
    ]
    for raw, message in cases:
        with pytest.raises(DescentError, match=message):
            model.predict(raw)
    with pytest.raises(DescentError, match='--device "gpu": must be cpu, cuda or cuda:N'):
        load(regression[0], device="gpu")
    with pytest.raises(DescentError, match="predicts numbers"):
        model.probabilities(np.zeros((1, 2)))


def test_a_category_that_training_has_not_seen_is_refused() -> None:
    """The model would answer as if it knew what it has never seen."""
    encoding = TableEncoding((InputColumn("island", "category", words=("Biscoe", "Dream")),), ("y",))
    known = preparation.Preparation("table", "regression", (), ("y",), 1, (2,), encoding=encoding)
    assert known.apply({"island": ["Dream", "Biscoe"]}).inputs.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DescentError, match=r"row 1 .*'Drem' .* 'island' was not seen .*'Biscoe', 'Dream'\. Mend it"):
        known.apply({"island": ["Dream", "Drem"]})


def test_other_data_than_the_model_takes_are_refused(tmp_path: Path) -> None:
    """A table's model would be given a folder, or one of images a table, and Descent speak of the system's errors."""
    encoding = TableEncoding((InputColumn("age", "number"),), ("y",))
    table = preparation.Preparation("table", "regression", (), ("y",), 1, (1,), encoding=encoding)
    images = preparation.Preparation("images", "classification", ("a", "b"), (), 2, (3, 8, 8), are_bytes=True)
    csv_file = write_table(tmp_path / "t.csv", {"age": [1]})
    Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    os.mkfifo(tmp_path / "pipe.csv")
    for known, given, message in [
        (table, tmp_path, r"is a folder, but this model takes a table, .* with the columns 'age'"),
        (table, tmp_path / "i.png", r"i\.png is an image, but this model takes a table"),
        (
            table,
            tmp_path / "pipe.csv",
            r"pipe\.csv is a pipe or a device, not a file: save what it gives as a file, and name that",
        ),
        (images, csv_file, r"t\.csv is a table, but this model takes 3 × 8 × 8 numbers .*: an image, or a folder"),
    ]:
        with pytest.raises(DescentError, match=message):
            known.apply(given)


def test_a_folder_of_images_is_predicted_by_class(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier of images could be used only by whoever remembers its classes, size and scaling."""
    draws = np.random.default_rng(0)
    for name, colour in (("blue", (30, 30, 220)), ("red", (220, 30, 30))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            pixels = np.clip(np.array(colour) + draws.normal(0, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i:02}.png")
    (tmp_path / "images.toml").write_text(IMAGES)
    run = train(str(tmp_path / "images.toml"))
    new = tmp_path / "new"
    shutil.copytree(tmp_path / "pictures" / "red", new)
    (new / "notes.txt").write_text("no image")
    shutil.rmtree(tmp_path / "pictures")
    model = load(run)
    assert model.classes == ("blue", "red")
    assert set(model.predict(new)) == {"red"}
    one = np.asarray(Image.open(new / "00.png"))
    alone = model.probabilities(new / "00.png")
    assert np.array_equal(model.probabilities(one), alone)  # (height, width, channels) as Pillow has it
    assert np.allclose(model.probabilities(one.transpose(2, 0, 1)[None] / 255), alone, atol=1e-6)
    assert alone.sum() == pytest.approx(1)

    assert cli.main(["predict", str(run.path), str(new)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "file,prediction,p(blue),p(red)"
    assert lines[1].startswith("00.png,red,")
    assert len(lines) == 21
    hostile = new / "a\x1b[31m.png"
    (new / "00.png").rename(hostile)
    for is_terminal, shown in ((False, hostile.name), (True, "a[31m.png")):
        monkeypatch.setattr("sys.stdout.isatty", lambda answer=is_terminal: answer)
        assert cli.main(["predict", str(run.path), str(new)]) == 0
        assert shown in capsys.readouterr().out
    hostile.rename(new / "00.png")

    Image.fromarray(one).resize((9, 8)).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    cases: list[tuple[Any, str]] = [
        (tmp_path / "wide.png", r"wide\.png has the size 9 × 8, but the model takes images of 8 × 8"),
        (tmp_path / "broken.png", r"broken\.png can't be read"),
        (one.astype(float), "numbers from 0 to 1"),
        (np.zeros((8, 8)), "a sample of this model has the shape 3 × 8 × 8"),
        ({"a": [1]}, "not the columns of a table"),
    ]
    for raw, message in cases:
        with pytest.raises(DescentError, match=message):
            model.predict(raw)


def safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a file by the format's description."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + at for at in entry["data_offsets"])
        dtype = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
        tensors[name] = torch.frombuffer(bytearray(content[begin:end]), dtype=dtype).view(entry["shape"])
    return tensors, metadata


@pytest.mark.parametrize("preset", ["digits-cnn", "digits-lstm"])
def test_an_exported_model_puts_out_the_same(preset: str, train: Train, tmp_path: Path) -> None:
    """Another program would use another model than the one that was trained."""
    run = train(preset, "data.size=100", "train.steps=3")
    model = load(run)
    inputs = torch.randn(7, *model.input_shape)
    with torch.no_grad():
        expected = model.module(inputs)

    export.export(model, "pt2", tmp_path / "model.pt2")
    extra = {"descent": ""}
    loaded = torch.export.load(str(tmp_path / "model.pt2"), extra_files=extra).module()
    assert torch.allclose(loaded(inputs), expected, atol=1e-6)
    assert json.loads(extra["descent"])["classes"] == list(model.classes)

    export.export(model, "safetensors", tmp_path / "model.safetensors")
    tensors, metadata = safetensors(tmp_path / "model.safetensors")
    state = model.module.state_dict()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name]) for name in state)
    assert json.loads(metadata["descent"])["input_shape"] == list(model.input_shape)


def test_onnx_names_the_packages_that_it_lacks(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train("digits-mlp", "data.size=100", "train.steps=1")
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert cli.main(["export", str(run.path), "--out", str(tmp_path / "m.onnx")]) == 2
    assert "ONNX needs the package onnx, onnxscript: pip install onnx onnxscript" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()
    assert cli.main(["export", str(run.path), "--to", "safetensor"]) == 2
    assert "did you mean safetensors?" in capsys.readouterr().err


def test_of_several_members_the_best_is_used_or_the_wanted_one(tmp_path: Path, train: Train) -> None:
    """Each fold has its own scaling: with another one's, a model's predictions are wrong."""
    columns = points(tmp_path)
    preset = tmp_path / "table.toml"
    preset.write_text(REGRESSION)
    run = train(str(preset), "members.folds=3")
    result = result_of(run)
    losses = [entry.metrics["val_loss"] for entry in result.members]
    assert load(run).member == int(np.argmin(np.array(losses, float)))
    tested = {name: values[-30:] for name, values in columns.items()}
    for entry in result.members:
        model: LearnedModel = load(run, member=entry.member)
        rmse = np.sqrt(np.mean((model.predict(tested) - tested["y"]) ** 2))
        assert rmse == pytest.approx(entry.metrics["test_rmse"], rel=1e-4)
    with pytest.raises(DescentError, match=r"--member 3: .* has the members 0 to 2"):
        load(run, member=3)


def test_a_run_of_an_older_descent_is_used_where_its_data_are_there(tmp_path: Path, train: Train) -> None:
    """A user's runs of before could never be used, or would silently be used without their scaling."""
    folder = old_runs.copied(tmp_path / "old")
    run = RunFolder(folder / "runs" / "plain")
    assert not (run.path / preparation.FILE).exists()
    assert load(run).step == 80

    points(tmp_path)
    preset = tmp_path / "table.toml"
    preset.write_text(REGRESSION)
    own = train(str(preset))
    kept = preparation.read(own.path)
    (own.path / preparation.FILE).unlink()
    assert load(own).preparation == kept[0]  # type: ignore[index]
    (tmp_path / "points.csv").unlink()
    with pytest.raises(DescentError, match=r"older Descent, which kept no class names .*points\.csv"):
        load(own)


def test_code_of_ones_own_is_run_only_with_consent(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder from somebody else would run its code as soon as its model is used."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n\n\ndef net(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))\n"
    )
    run = train("digits-mlp", "data.size=100", "train.steps=2", "model.name=code", f'model.code="{file}:net"')
    with pytest.raises(DescentError, match="--allow-code"):
        load(run)
    model = load(run, allow_code=True)
    assert model.predict(np.zeros((2, 1, 8, 8))).shape == (2,)
    assert consent.agreed(consent.check_consent(f"{file}:net", allow=False))
