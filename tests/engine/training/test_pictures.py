"""Someone looks at a picture to learn what the model does, while it trains: a picture must be right, and taking it
must not change the run by a single bit.
"""

import copy
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import nn

from descent.common.errors import DescentError
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.layout import PARAMETER, Layout
from engine import pictures
from engine.pictures import from_rows
from engine.preset.loading import load_preset
from engine.training import losses, models
from engine.training.build import build
from engine.training.data.batches import throw_away
from engine.training.pictures import make, traits
from engine.training.pictures.weights import images
from engine.training.step import train_step
from engine.training.train_state import TrainState
from tests.engine.training.conftest import Train

Build = Callable[..., TrainState]


@pytest.fixture
def worked(train: Train) -> Train:
    """A whole run by a worker; `train` is the steps of a run here."""
    return train


@pytest.fixture
def training(tmp_path: Path) -> Build:
    """training("moons-mlp", "data.n=100", steps=5) -> the run after five updates."""

    def made(preset: str, *overrides: str, steps: int = 0) -> TrainState:
        settings = load_preset(preset, ["train.threads=1", *overrides])
        run = build(settings, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
        steps_of(run, steps)
        return run

    return made


def steps_of(run: TrainState, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        learned = train_step(run, run.batches.next(), run.learning_rate(), measured=run.step % 2 == 0)
        run.step += 1
        run.batches.epoch_is_over()
        seen.append(float(learned.loss))
    return seen


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for key in value for item in flat(value[key])]
    if isinstance(value, list | tuple):
        return [item for part in value for item in flat(part)]
    return [value]


# --- looking changes nothing ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("digits-cnn", ["data.size=200", "model.batch_norm=true", "model.dropout=0.3", "data.augment.shift=1"]),
        ("digits-lstm", ["data.size=200", "model.hidden=8"]),
        ("moons-mlp", ["data.n=100", "model.dropout=0.2", "loss.l2=0.01"]),
        ("linear-regression", []),
    ],
)
def test_a_run_that_was_looked_at_ends_bit_equal(training: Build, preset: str, overrides: list[str]) -> None:
    ends = []
    for looked_at in (False, True):
        run = training(preset, *overrides)
        seen = []
        for _ in range(3):
            seen += steps_of(run, 3)
            if looked_at:
                before = [None if p.grad is None else p.grad.clone() for p in run.model.parameters()]
                modes = [module.training for module in run.model.modules()]
                for kind in pictures.fitting(traits(run)):
                    if kind.name not in from_rows.KINDS:
                        make(run, kind.name)
                after = [p.grad for p in run.model.parameters()]
                assert all(a is b or torch.equal(a, b) for a, b in zip(before, after, strict=True))  # type: ignore[arg-type]
                assert [module.training for module in run.model.modules()] == modes
                assert not any(module._forward_hooks for module in run.model.modules())
        state = run.capture(0.0)
        ends.append((seen, copy.deepcopy(state)))
    assert ends[0][0] == ends[1][0]
    one, other = (flat(end[1]) for end in ends)
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


# --- each kind is right ---


def test_the_boundary_is_what_the_model_says_in_the_units_of_the_data(training: Build) -> None:
    run = training("moons-mlp", "data.n=100", 'data.scaling="standard"', steps=20)
    found = make(run, "boundary", {"resolution": 12, "samples": 30})
    assert found["probability"].shape == (12, 12, 2)
    assert len(found["points"]) == 30
    assert set(found["classes"]) == {"0", "1"}
    mean, std = run.dataset.mean, run.dataset.std
    assert mean is not None
    assert std is not None
    place = torch.tensor([[found["x"][3], found["y"][8]]])
    run.model.eval()
    with torch.no_grad():
        expected = run.model(((place - mean) / std).float())[0, 0].sigmoid().item()
        said = losses.predictions(run.model(((torch.from_numpy(found["points"]) - mean) / std).float()))
    assert found["probability"][8, 3, 1] == pytest.approx(expected, abs=1e-6)
    assert found["probability"].sum(axis=2) == pytest.approx(np.ones((12, 12)), abs=1e-6)
    assert found["predicted"].tolist() == said.tolist()
    # The points are the samples', as they were before scaling: moons lie between −1 and 2.
    assert -1.6 < found["points"][:, 0].min() < -0.5
    assert found["x"][0] < found["points"][:, 0].min()
    assert found["x"][-1] > found["points"][:, 0].max()
    assert 0 < found["validation"].sum() < 30


def test_a_fitted_curve_goes_through_what_the_model_says(training: Build) -> None:
    run = training("polynomial-regression", steps=50)
    found = make(run, "fit")
    with torch.no_grad():
        expected = run.model(torch.from_numpy(found["x"][:, None]).float())
    assert found["y"] == pytest.approx(expected.numpy(), abs=1e-6)
    assert len(found["points"]) == len(found["targets"]) == 45


def test_the_fit_of_a_relu_network_has_the_places_where_it_bends(training: Build) -> None:
    """Whoever counts the straight pieces would count them where the model is not, in the units of scaled data."""
    relu = ('model.name="mlp"', "model.widths=[8]", 'data.scaling="standard"')
    run = training("linear-regression", *relu, steps=20)
    found = make(run, "fit")
    weight, bias = (value.detach().double().numpy().ravel() for value in run.model[1].parameters())  # type: ignore[index]
    assert run.dataset.mean is not None
    assert run.dataset.std is not None
    places = np.sort(-bias / weight * float(run.dataset.std) + float(run.dataset.mean))
    inside = places[(places > found["x"][0]) & (places < found["x"][-1])]
    assert len(inside)
    assert found["kinks"] == pytest.approx(inside, abs=1e-6)
    assert "kinks" not in make(training("linear-regression"), "fit")


def test_the_surface_is_the_training_loss_and_its_lowest_place_the_least_squares_line(training: Build) -> None:
    run = training("linear-regression", steps=10)
    found = make(run, "surface", {"resolution": 20})
    x, y = (tensor.double().numpy() for tensor in run.dataset.train)
    w, b = found["x"][4], found["y"][13]
    assert found["loss"][13, 4] == pytest.approx(float(np.mean((w * x + b - y) ** 2)), rel=1e-4)
    assert found["minimum"] == pytest.approx(np.polyfit(x[:, 0], y[:, 0], 1), abs=1e-3)
    weight, bias = (float(p.detach()) for p in run.model.parameters())
    assert found["now"] == pytest.approx([weight, bias])
    assert found["names"].tolist() == ["weight", "bias"]
    for axis, place in (("x", 0), ("y", 1)):
        assert found[axis][0] < min(found["now"][place], found["minimum"][place])
        assert found[axis][-1] > max(found["now"][place], found["minimum"][place])


@pytest.mark.slow
def test_the_path_is_every_step_from_the_start_to_the_present(worked: Train) -> None:
    """A learner who steers or goes back would see another way than the run has taken."""
    folder = worked("linear-regression", "train.epochs=30", "train.checkpoint_every={ steps = 5 }", "train.keep=50")
    run = build(load_preset(folder.preset), folder, folder.path, torch.device("cpu"), fresh=False)
    run.restore(checkpoint.read(folder.checkpoint(20)))
    found = make(run, "surface", {}, folder)
    assert found["path_steps"].tolist() == list(range(21))  # not beyond where the run stands
    assert str(found["path_source"]) == "recorded"
    for step in (0, 5, 10, 15, 20):
        model = checkpoint.read(folder.checkpoint(step))["model"]
        assert found["path"][step] == pytest.approx([model["linear.weight"].item(), model["linear.bias"].item()])


def test_each_member_has_its_own_path(worked: Train, training: Build) -> None:
    """Every member would seem to have taken the way of the first."""
    folder = worked("linear-regression", "train.epochs=10", "members.repeats=3")
    run = build(load_preset(folder.preset), folder, folder.path, torch.device("cpu"), fresh=False)
    run.restore(checkpoint.read(folder.checkpoint(10)))
    paths = [make(run.alone(member), "surface", {}, folder)["path"] for member in range(3)]
    for seed, path in enumerate(paths):
        alone = training("linear-regression", f"train.seed={seed}")
        assert path[0] == pytest.approx([float(p.detach()) for p in alone.model.parameters()])
        steps_of(alone, 10)
        assert len(path) == 11
        assert path[-1] == pytest.approx([float(p.detach()) for p in alone.model.parameters()], abs=1e-5)


def test_the_path_of_a_run_without_such_columns_comes_from_its_checkpoints_and_says_so(worked: Train) -> None:
    """The run of an older Descent would have no picture."""
    folder = worked("linear-regression", "train.epochs=30", "train.checkpoint_every={ steps = 5 }", "train.keep=50")
    layout = Layout.load(folder.path)
    assert layout is not None
    renamed = tuple(name.replace(PARAMETER, "other.") for name in layout.columns)
    dataclasses.replace(layout, columns=renamed).save(folder.path)
    preset = load_preset(folder.preset)
    run = build(preset, folder, folder.path, torch.device("cpu"), fresh=False)
    state = checkpoint.read(folder.checkpoint(20))
    run.restore(state)
    found = make(run, "surface", {}, folder)
    assert found["path_steps"].tolist() == [0, 5, 10, 15, 20]  # not beyond where the run stands
    assert str(found["path_source"]) == "checkpoints"
    assert found["path"][-1] == pytest.approx(found["now"])
    first = checkpoint.read(folder.checkpoint(0))["model"]
    assert found["path"][0] == pytest.approx([first["linear.weight"].item(), first["linear.bias"].item()])


def test_one_parameter_has_a_curve(training: Build) -> None:
    run = training("linear-regression", "model.bias=false")
    found = make(run, "surface", {"resolution": 30})
    assert found["loss"].shape == found["x"].shape == (30,)
    x, y = (tensor.double().numpy()[:, 0] for tensor in run.dataset.train)
    assert found["minimum"] == pytest.approx([(x * y).sum() / (x * x).sum()], abs=1e-3)


def test_the_confusion_matrix_is_scikit_learns(training: Build) -> None:
    run = training("digits-mlp", steps=20)
    found = make(run, "confusion")
    assert run.dataset.validation is not None
    run.model.eval()
    with torch.no_grad():
        said = run.model(run.dataset.validation.inputs).argmax(dim=1)
    expected = confusion_matrix(run.dataset.validation.targets, said, labels=range(10))
    assert found["counts"].tolist() == expected.tolist()
    assert found["counts"].sum() == found["looked_at"] == found["of"] == len(said)
    assert str(found["split"]) == "validation"


def test_the_samples_of_a_cell_are_its_surest_ones_and_each_cell_has_one_before_any_has_two(training: Build) -> None:
    run = training("digits-mlp", steps=20)
    found = make(run, "confusion", {"examples": 2})
    split = run.dataset.validation
    assert split is not None
    run.model.eval()
    with torch.no_grad():
        probability, said = run.model(split.inputs).softmax(dim=1).max(dim=1)
    cells = list(zip(found["true"].tolist(), found["predicted"].tolist(), strict=True))
    there = {(row, column) for row, column in np.argwhere(found["counts"]).tolist()}
    assert set(cells[: len(there)]) == there
    frequent = [found["counts"][cell] for cell in cells if cell[0] != cell[1]]
    firsts = frequent[: len({cell for cell in there if cell[0] != cell[1]})]
    assert firsts == sorted(firsts, reverse=True)
    for cell in there:
        own = [at for at, one in enumerate(cells) if one == cell]
        of_cell = probability[(split.targets == cell[0]) & (said == cell[1])].sort(descending=True).values
        assert len(own) == min(2, found["counts"][cell])
        assert found["probability"][own] == pytest.approx(of_cell[: len(own)].numpy(), abs=1e-6)
    assert found["images"].shape == (len(cells), 1, 8, 8)
    assert split.targets[found["index"]].tolist() == found["true"].tolist()
    assert "images" not in make(run, "confusion", {"examples": 0})


def test_the_worst_mistakes_are_the_surest_wrong_answers_and_their_images(training: Build) -> None:
    run = training("digits-mlp", 'data.scaling="standard"', steps=20)
    found = make(run, "mistakes", {"most": 5})
    split = run.dataset.validation
    assert split is not None
    run.model.eval()
    with torch.no_grad():
        probability, said = run.model(split.inputs).softmax(dim=1).max(dim=1)
    wrong = torch.nonzero(said != split.targets)[:, 0]
    worst = wrong[probability[wrong].argsort(descending=True)][:5]
    assert found["mistakes"] == len(wrong)
    assert found["true"].tolist() == split.targets[worst].tolist()
    assert found["predicted"].tolist() == said[worst].tolist()
    assert found["probability"] == pytest.approx(probability[worst].numpy(), abs=1e-6)
    assert found["images"].shape == (5, 1, 8, 8)
    assert found["images"].dtype == np.uint8
    mean, std = run.dataset.mean, run.dataset.std
    assert mean is not None
    assert std is not None
    original = (split.inputs[worst] * std + mean) * 255
    assert found["images"] == pytest.approx(original.numpy(), abs=0.51)


def test_mistakes_in_a_table_are_its_rows(training: Build) -> None:
    run = training("softmax-regression", 'data.name="iris"', "data.validation=0.2", "train.batch_size=16", steps=1)
    found = make(run, "mistakes", {"split": "train"})
    assert found["columns"].tolist()[0] == "sepal length (cm)"
    assert found["rows"].shape[1] == 4
    assert 4 < found["rows"][:, 0].mean() < 8  # centimetres, not what scaling made of them


def test_filters_are_the_first_layer_divided_by_its_largest_weight(training: Build) -> None:
    run = training("digits-mlp")
    found = make(run, "filters", {"most": 3})
    weight = run.model.get_parameter("hidden1.weight").detach().numpy()
    assert found["filters"].shape == (3, 1, 8, 8)
    assert found["filters"][1].ravel() * found["scale"][1] == pytest.approx(weight[1], abs=1e-6)
    assert np.abs(found["filters"]).max(axis=(1, 2, 3)) == pytest.approx(np.ones(3))
    assert found["of"] == 64


def test_histograms_count_every_number_of_a_layer(training: Build) -> None:
    run = training("digits-mlp", steps=3)
    layers = dict(models.layers(run.model))
    weights = make(run, "weights")
    assert weights["layers"].tolist() == list(layers) == ["hidden1", "head"]
    for i, module in enumerate(layers.values()):
        values = torch.cat([p.detach().flatten() for p in module.parameters()])
        assert weights["counts"][i].sum() + round(weights["zeros"][i] * len(values)) == len(values)
        assert weights["std"][i] == pytest.approx(values.std(correction=0).item(), rel=1e-4)
        expected, _ = np.histogram(values[values != 0].numpy(), weights["edges"][i])
        assert np.abs(weights["counts"][i] - expected).sum() <= 4  # a number may lie on an edge
    assert weights["shape"].tolist() == [[64, 64], [10, 64]]
    for i, module in enumerate(layers.values()):
        matrix, own = weights["matrix"][i] * weights["largest"][i], module.weight.detach().numpy()
        assert matrix[: len(own)] == pytest.approx(own, abs=weights["largest"][i] / 1000)
        assert np.isnan(matrix[len(own) :]).all()
    activations = make(run, "activations", {"samples": 64})
    assert activations["layers"].tolist() == ["hidden1", "head"]
    assert activations["edges"][0].min() > 0  # after the ReLU, its zeros apart
    assert 0.1 < activations["zeros"][0] < 0.9


def test_of_very_many_weights_the_largest_stand_for_their_neighbours() -> None:
    wide = torch.nn.Linear(1000, 200)
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[199, 999], wide.weight[0, 0] = -2.0, 1.0
    scale = torch.nn.LayerNorm(3)
    found = images([wide, scale])
    assert found["largest"].tolist() == [2, 1]
    assert found["shape"].tolist() == [[200, 1000], [1, 3]]
    assert found["matrix"][0, -1, -1] == -1
    assert found["matrix"][0, 0, 0] == 0.5
    assert (found["matrix"][0] != 0).sum() == 2
    assert found["matrix"][1, 0, :3].tolist() == [1, 1, 1]


def test_gradients_are_those_of_the_first_training_samples(training: Build) -> None:
    run = training("digits-mlp", "loss.l2=0.1", steps=3)
    found = make(run, "gradients", {"samples": 32})
    model = copy.deepcopy(run.model)
    batch = throw_away(run.dataset.train, 32)
    penalty = sum(p.square().sum() for p in model.parameters() if p.ndim >= 2)
    (run.criterion(model(batch.inputs), batch.targets) + 0.1 * penalty).backward()
    for i, name in enumerate(("hidden1", "head")):
        layer = model.get_submodule(name)
        values = torch.cat([p.grad.flatten() for p in layer.parameters() if p.grad is not None])
        assert found["mean"][i] == pytest.approx(values.mean().item(), abs=1e-6)
        assert found["std"][i] == pytest.approx(values.std(correction=0).item(), rel=1e-4)


def test_numbers_that_are_not_finite_are_counted_and_left_out(training: Build) -> None:
    run = training("digits-mlp")
    with torch.no_grad():
        run.model.get_parameter("head.bias")[:2] = torch.tensor([float("nan"), float("inf")])
    found = make(run, "weights")
    assert found["non_finite"].tolist() == [0, 2]
    assert np.isfinite(found["std"]).all()
    make(run, "activations")
    make(run, "gradients")
    make(run, "mistakes")


# --- what can't be ---


@pytest.mark.parametrize(
    ("preset", "kind", "why"),
    [
        ("digits-mlp", "boundary", "each input is an image of 8 × 8, and this picture needs 2 numbers"),
        ("digits-mlp", "surface", "the model has 4,810 trained parameters"),
        ("linear-regression", "confusion", "the data have no classes"),
        ("moons-mlp", "filters", "not an image"),
        ("digits-lstm", "filters", "first layer is neither a convolution nor"),
        ("moons-mlp", "fit", "the targets are classes"),
    ],
)
def test_a_kind_that_does_not_fit_says_why_and_which_do(training: Build, preset: str, kind: str, why: str) -> None:
    run = training(preset)
    with pytest.raises(DescentError, match=why) as error:
        make(run, kind)
    offered = str(error.value).rpartition("Available: ")[2].split(", ")
    assert offered == [fitting.name for fitting in pictures.fitting(traits(run))]
    for name in set(offered) - set(from_rows.KINDS):
        make(run, name)


def test_a_loop_of_one_s_own_is_offered_what_its_rows_tell_alone() -> None:
    """The list of pictures would offer those that are refused afterwards, or say that digits have no classes."""
    loop = pictures.Traits(task="loop", members=1)
    assert [kind.name for kind in pictures.fitting(loop)] == ["trials", "gradients-by-layer"]
    reasons = {kind.complaint(loop) for name, kind in pictures.KINDS.items() if name not in from_rows.KINDS}
    assert reasons == {"it is a loop of one's own, whose pictures are what it gives with run.sample"}


def test_a_bug_in_a_picture_costs_no_run(training: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """The worker would end, and hours of training with it."""
    run = training("digits-mlp")

    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError("user's")

    run.model.add_module("flatten", Fails())
    with pytest.raises(DescentError, match=r"failed, but the run goes on: ZeroDivisionError: user's"):
        make(run, "confusion")
    assert "Traceback" in capsys.readouterr().err


# --- files ---


def test_pictures_are_kept_and_read_back_and_old_ones_go(tmp_path: Path, training: Build) -> None:
    made = make(training("digits-mlp"), "confusion")
    for step in range(pictures.KEPT + 3):
        path = pictures.write(tmp_path, "confusion", step, made)
    assert path.stat().st_mode & 0o77 == 0
    assert len(list((tmp_path / "pictures").iterdir())) == pictures.KEPT
    pictures.write(tmp_path, "confusion", 7, made)  # the run was rewound: the latest is not that of the highest step
    last = pictures.latest(tmp_path, "confusion")
    assert last is not None
    assert (last.kind, last.step) == ("confusion", 7)
    assert last.texts("classes") == list("0123456789")
    assert np.array_equal(last.arrays["counts"], made["counts"])
    assert pictures.latest(tmp_path, "boundary") is None


def test_a_damaged_or_hostile_file_is_said_to_be_no_picture(tmp_path: Path) -> None:
    """A pickle in it could run code."""
    path = tmp_path / "confusion-step-3.npz"
    np.savez(path, counts=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(DescentError, match="is not a picture"):
        pictures.read(path)
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DescentError, match="is not a picture"):
        pictures.read(path)
    with pytest.raises(DescentError, match="no such picture"):
        pictures.read(tmp_path / "boundary-step-9.npz")


def test_the_folder_tells_the_same_as_the_live_run(worked: Train) -> None:
    """A screen would offer a picture that the worker refuses, or hide one that it has."""
    for preset in ("digits-mlp", "moons-mlp", "linear-regression"):
        folder = worked(preset, "train.steps=2")
        run = build(load_preset(folder.preset), folder, folder.path, torch.device("cpu"), fresh=False)
        assert pictures.traits(folder.path) == traits(run)


def test_options_are_checked_before_anything_is_drawn() -> None:
    assert pictures.settings("boundary", {"resolution": "80"}) == {"resolution": 80, "samples": 600}
    for kind, options, said in (
        ("boundry", {}, "did you mean boundary"),
        ("boundary", {"resolutoin": 5}, "did you mean resolution"),
        ("boundary", {"resolution": 10_000}, "from 8 to 400"),
        ("boundary", {"resolution": "many"}, "from 8 to 400"),
        ("confusion", {"split": "test"}, "must be one of validation, train"),
    ):
        with pytest.raises(DescentError, match=said):
            pictures.settings(kind, options)


def test_an_ended_run_is_drawn_from_its_last_checkpoint(worked: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """A small run is over in a second, before anybody could ask."""
    from engine.training.pictures import ended

    folder = worked("moons-mlp", "data.n=100", "train.steps=20")
    asked = [json.dumps({"kind": kind, "options": {}}) for kind in ("boundary", "filters")]
    assert ended.main(str(folder.path), str(folder.path), *asked) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["step"] == 20
    assert pictures.read(Path(first["picture"])).step == 20
    assert "not an image" in second["error"]
    assert "notes" not in first


def test_a_picture_of_an_older_checkpoint_says_so(worked: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """With a damaged last checkpoint, a model of long before would pass for the trained one."""
    from engine.training.pictures import ended

    folder = worked("moons-mlp", "data.n=100", "train.steps=20", "train.checkpoint_every={steps=10}")
    folder.checkpoint(20).write_bytes(b"")
    assert ended.main(str(folder.path), str(folder.path), json.dumps({"kind": "boundary", "options": {}})) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["step"] == 10
    assert len(answer["notes"]) == 1
    assert re.match(r"drawn from an older checkpoint, because step-20\.pt is damaged", answer["notes"][0])


def test_a_run_that_was_trained_on_a_gpu_is_drawn_without_one(
    worked: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever copies a run to a laptop would get no picture of it."""
    from engine.training.pictures import ended

    folder = worked("moons-mlp", "data.n=100", "train.steps=5")
    text = folder.preset.read_text().replace('device = "auto"', 'device = "cuda:7"')
    folder.preset.write_text(text.replace('precision = "fp32"', 'precision = "fp16"'))
    assert ended.main(str(folder.path), str(folder.path), '{"kind": "boundary", "options": {}}') == 0
    assert json.loads(capsys.readouterr().out)["step"] == 5
