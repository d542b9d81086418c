"""What the shipped presets promise in their headers: a user who runs one gets what it says, here and tomorrow.

Golden losses: of CIFAR-10 and Fashion-MNIST neither can be had where the tests run, so those of cifar-cnn and
cifar-resnet18 are of a few images of CIFAR-10's JPEG copy with smaller batches and rates, those of fashion-cnn of
made images. `tests/golden/NAME.json` says what was changed.
"""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.preset import find
from engine.preset.loading import load_preset
from engine.training import losses, models
from engine.training.at_once import AtOnce
from engine.training.data import Dataset, load
from engine.training.evaluation import evaluate
from tests.tools import golden_losses as make
from tests.tools.calibrate import ONE_THREAD, Result, result, train

NOT_MEASURED = ("cifar-resnet18", "fashion-cnn")
CPU = torch.device("cpu")


def run(name: str, folder: Path, *overrides: str, data_root: Path | None = None) -> RunFolder:
    return train(name, [*ONE_THREAD, *overrides], runs=folder, run_id="run", data_root=data_root)


def reached(run: RunFolder) -> dict[str, float]:
    found: Result = result(run)
    return found.metrics


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    """The model's tensors in the final checkpoint."""
    file = run.checkpoint(run.checkpoints()[-1])
    model: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["model"]
    return model


def data_of(run: RunFolder, data_root: Path) -> Dataset:
    return load(load_preset(run.preset).data, root=data_root, device=CPU, code=None)


# --- what the files say ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", make.NAMES)
def test_a_preset_says_what_it_reaches_and_how_that_was_measured(name: str) -> None:
    """A user would find a preset that does not load, or a figure that nobody can check."""
    path = find.shipped_presets() / f"{name}.toml"
    preset = load_preset(path)
    assert preset.title
    assert preset.settings.topic != "yours"
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first == "#:schema preset.schema.json"
    header = " ".join(line.removeprefix("#").strip() for line in rest[: rest.index("")])
    if name in NOT_MEASURED:
        assert "was not measured" in header
        assert not preset.settings.reaches
        return
    assert preset.settings.reaches
    measured = re.search(rf"python -m tests\.tools\.calibrate {name} --seeds (\d+)", header)
    assert measured is not None, header
    seeds = int(measured[1])
    assert f"{seeds} seed{'s' if seeds > 1 else ''}" in header
    assert re.search(r"\w+, 1 thread, torch \d+\.\d+", header)


# --- golden losses ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", make.NAMES)
def test_the_first_losses_are_as_they_were(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A change of the engine would train something else under the same name, and nobody would notice."""
    data_root = request.getfixturevalue("real_data") if make.needs_real_data(name) else None
    golden = json.loads(make.file_of(name).read_text(encoding="utf-8"))
    found, overrides = make.first_losses(name, tmp_path, data_root)
    again = f"python -m tests.tools.golden_losses {name}{' --data-root DIR' if data_root else ''}"
    advice = f"{name} no longer trains as it did. Where that is meant, `{again}` makes its golden losses anew."
    assert overrides == golden["overrides"], advice
    assert found == pytest.approx(golden["losses"], rel=1e-4, abs=1e-7), advice


# --- what they reach -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_linear_regression_lands_on_the_least_squares_line(tmp_path: Path) -> None:
    """A learner who compares gradient descent with the formula would see them disagree."""
    made = run("linear-regression", tmp_path)
    split = data_of(made, tmp_path).train
    x, y = (np.asarray(tensor, np.float64)[:, 0] for tensor in split)
    slope, intercept = np.polyfit(x, y, 1)
    assert len(x) == 80
    weight, bias = weights(made).values()
    assert weight.item() == pytest.approx(slope, abs=1e-4)
    assert bias.item() == pytest.approx(intercept, abs=1e-4)
    # The course's figures.
    assert (bias.item(), weight.item()) == pytest.approx((1.0234, 1.9368), abs=2e-4)


@pytest.mark.slow
def test_logistic_regression_agrees_with_scikit_learn(tmp_path: Path) -> None:
    """A learner who knows scikit-learn would get other coefficients, and could trust neither."""
    made = run("logistic-regression", tmp_path)
    data = data_of(made, tmp_path)
    assert data.test is not None
    penalty = load_preset(made.preset).loss.l2
    assert penalty == pytest.approx(1 / (2 * len(data.train.inputs)))
    x, y = data.train.inputs.double().numpy(), data.train.targets.numpy()
    theirs = LogisticRegression(C=1, tol=1e-10, max_iter=10_000).fit(x, y)
    weight, bias = weights(made).values()
    assert weight.numpy() == pytest.approx(theirs.coef_, abs=1e-3)
    assert bias.numpy() == pytest.approx(theirs.intercept_, abs=1e-3)
    for split in (data.train, data.test):
        ours = losses.predictions(split.inputs @ weight.T + bias)
        assert np.array_equal(ours.numpy(), theirs.predict(split.inputs.double().numpy()))


@pytest.mark.slow
def test_xor_is_solved_from_nearly_every_start(tmp_path: Path) -> None:
    """A learner would see 'a small MLP learns xor' fail. Its header has the count of 50 seeds; here are 8."""
    rows = Metrics(run("xor-mlp", tmp_path, "train.seed=0", "members.repeats=8").path)
    assert sum(rows.column("accuracy", seed)[-1] == 1 for seed in range(8)) >= 7


@pytest.mark.slow
def test_digits_mlp_reaches_95_percent(tmp_path: Path) -> None:
    """The first thing that a newcomer runs would disappoint."""
    assert reached(run("digits-mlp", tmp_path))["test_accuracy"] >= 0.95


@pytest.fixture(scope="module")
def mnist_mlp(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    folder = tmp_path_factory.mktemp("mnist-mlp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield run("mnist-mlp", folder, data_root=real_data)


@pytest.mark.slow
def test_mnist_mlp_reaches_97_percent(mnist_mlp: RunFolder) -> None:
    """The course's MLP would not do what the slides say of it."""
    assert reached(mnist_mlp)["test_accuracy"] >= 0.97


@pytest.mark.slow
def test_a_checkpoint_rebuilds_the_model_that_was_tested(mnist_mlp: RunFolder, real_data: Path) -> None:
    """A student could not hand in a checkpoint: it would lack something, or reload to another accuracy."""
    file = mnist_mlp.checkpoint(mnist_mlp.checkpoints()[-1])
    saved = torch.load(file, weights_only=True)
    assert saved["update"]["optimizer"]["state"]
    assert saved["metrics"]["test_accuracy"] == reached(mnist_mlp)["test_accuracy"]

    preset = load_preset(mnist_mlp.preset)
    data = data_of(mnist_mlp, real_data)
    assert data.test is not None
    outputs = losses.outputs(preset.loss, task=data.task, target_size=data.target_size)
    model = models.build(preset.model, input_shape=data.input_shape, outputs=outputs, code=None)
    model.load_state_dict(saved["model"])
    criterion = losses.build(preset.loss, task=data.task, num_classes=data.num_classes, code=None)
    found = evaluate(model, criterion, data.test, nullcontext(), AtOnce(1024, 128))
    assert found.accuracy == saved["metrics"]["test_accuracy"]


@pytest.mark.long
@pytest.mark.slow
def test_one_epoch_of_mnist_cnn_reaches_98_percent(real_data: Path, tmp_path: Path) -> None:
    """A small CNN would no longer beat the MLP. Its header has what it reaches in three epochs; one is 98.4%."""
    assert reached(run("mnist-cnn", tmp_path, "train.epochs=1", data_root=real_data))["test_accuracy"] >= 0.98
