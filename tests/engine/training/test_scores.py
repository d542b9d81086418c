"""R², RMSE, balanced accuracy and F1 must be those that scikit-learn computes: people put them into reports."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn

from descent.run.folder import RunFolder
from descent.run.results import result_of
from engine.launch import start as launch
from engine.launch.options import Options
from engine.preset import schema
from engine.training import losses, scores
from engine.training.at_once import AtOnce
from engine.training.data import Dataset, Split
from engine.training.data.table_encoding import TableEncoding
from engine.training.evaluation import Evaluation
from engine.training.evaluation import evaluate as evaluate_one
from engine.training.members import Members, evaluate, evaluate_ensemble
from engine.training.members import losses as member_losses
from engine.training.members.folds import folds
from tests.helpers.model_families import parsed

PRECISION = torch.autocast("cpu", enabled=False)
AT_ONCE = AtOnce(400, trained=400)  # three batches
EXACT = 1e-6


def dataset(split: Split, classes: int = 0) -> Dataset:
    names = tuple(str(label) for label in range(classes))
    return Dataset(
        name="test",
        task="classification" if classes else "regression",
        train=split,
        validation=split,
        test=split,
        classes=names,
        input_names=(),
        mean=None,
        std=None,
        notes=(),
    )


def models(outputs: int) -> list[nn.Module]:
    torch.manual_seed(1)
    return [nn.Linear(4, outputs) for _ in range(3)]


def unequal(samples: int = 1102) -> Split:
    """Three of four classes, of unequal sizes. The last one is sometimes predicted."""
    torch.manual_seed(0)
    labels = torch.multinomial(torch.tensor([0.7, 0.2, 0.1]), samples, replacement=True)
    return Split(torch.randn(samples, 4), labels)


def quantities(samples: int = 1102) -> Split:
    """Two targets, one of which is large and nearly constant."""
    torch.manual_seed(0)
    targets = torch.randn(samples, 2) * torch.tensor([3.0, 0.5]) + torch.tensor([0.0, 20_000.0])
    return Split(torch.randn(samples, 4), targets)


def check_classes(found: Evaluation, outputs: Tensor, labels: Tensor) -> None:
    predicted = losses.predictions(outputs)
    assert found.scores["f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"), abs=EXACT)
    balanced = metrics.balanced_accuracy_score(labels, predicted)
    assert found.scores["balanced_accuracy"] == pytest.approx(balanced, abs=EXACT)


def check_quantities(found: Evaluation, outputs: Tensor, targets: Tensor) -> None:
    given = targets.double().numpy(), outputs.detach().double().numpy()
    assert found.scores["r2"] == pytest.approx(metrics.r2_score(*given), rel=EXACT, abs=EXACT)
    rmse = np.mean(np.sqrt(metrics.mean_squared_error(*given, multioutput="raw_values")))
    assert found.scores["rmse"] == pytest.approx(rmse, rel=EXACT)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_scores_of_unequal_classes_are_those_of_scikit_learn() -> None:
    split, criterion = unequal(), nn.CrossEntropyLoss()
    section = parsed(schema.AnyLoss, {"name": "cross-entropy"})
    for model in models(4):
        sums = scores.sums_for(section, dataset(split, classes=4))
        found = evaluate_one(model, criterion, split, PRECISION, AT_ONCE, sums=sums)
        check_classes(found, model(split.inputs), split.targets)


def test_scores_of_one_logit_are_those_of_scikit_learn() -> None:
    split = Split(unequal().inputs, (unequal().targets > 1).long())
    section = parsed(schema.AnyLoss, {"name": "bce"})
    model = models(1)[0]
    sums = scores.sums_for(section, dataset(split, classes=2))
    found = evaluate_one(model, losses.bce, split, PRECISION, AT_ONCE, sums=sums)
    check_classes(found, model(split.inputs), split.targets)


def test_classes_of_nearly_equal_size_have_their_accuracy_alone() -> None:
    """Every table would have two columns more that say the same."""
    section = parsed(schema.AnyLoss, {"name": "cross-entropy"})
    split = Split(torch.zeros(24, 4), torch.tensor([0] * 14 + [1] * 10))
    assert scores.sums_for(section, dataset(split, classes=2)) is None


def test_scores_of_quantities_are_those_of_scikit_learn() -> None:
    """A plain sum of squares would lose all digits of the second target, whose mean is far from 0."""
    split = quantities()
    section = parsed(schema.AnyLoss, {"name": "mae"})
    for model in models(2):
        assert isinstance(model, nn.Linear)
        with torch.no_grad():
            model.bias[1] = 20_000.0
        found = evaluate_one(
            model, nn.L1Loss(), split, PRECISION, AT_ONCE, sums=scores.sums_for(section, dataset(split))
        )
        check_quantities(found, model(split.inputs), split.targets)


@pytest.mark.parametrize(("output", "expected"), [(2.5, 1.0), (1.0, 0.0)])
def test_targets_that_are_all_equal_have_the_score_of_scikit_learn(output: float, expected: float) -> None:
    """A division by zero would print NaN, or minus infinity."""
    split = Split(torch.zeros(5, 4), torch.full((5, 1), 2.5))
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, output)
    sums = scores.sums_for(parsed(schema.AnyLoss, {"name": "mse"}), dataset(split))
    assert evaluate_one(model, nn.MSELoss(), split, PRECISION, AT_ONCE, sums=sums).scores["r2"] == expected


def test_one_sample_has_no_r2() -> None:
    split = Split(torch.zeros(1, 4), torch.ones(1, 1))
    sums = scores.sums_for(parsed(schema.AnyLoss, {"name": "mse"}), dataset(split))
    assert evaluate_one(nn.Linear(4, 1), nn.MSELoss(), split, PRECISION, AT_ONCE, sums=sums).scores.keys() == {"rmse"}


@pytest.mark.parametrize("of_folds", [False, True])
@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_each_members_scores_are_of_its_own_samples(classes: int, of_folds: bool) -> None:
    """A fold's score would be of samples that it trained on, or of another member's model."""
    split = unequal() if classes else quantities()
    singles = models(4 if classes else 2)
    section = parsed(schema.AnyLoss, {"name": "cross-entropy" if classes else "mse"})
    one = losses.build(section, task="classification" if classes else "regression", num_classes=classes, code=None)
    members = Members(singles, (4,), "batched")
    rows: Sequence[Tensor] = [torch.arange(len(split.targets))] * 3
    if of_folds:
        rows = [torch.from_numpy(fold.validation) for fold in folds(None, len(split.targets), 3, seed=0)[0]]
        assert len({len(own) for own in rows}) == 2  # the last piece belongs to some of them only
    found = evaluate(
        members,
        member_losses.build(section, one),
        split,
        PRECISION,
        AT_ONCE,
        sums=scores.sums_for(section, dataset(split, classes), 3),
        rows=rows if of_folds else None,
    )
    check = check_classes if classes else check_quantities
    for result, model, own in zip(found, singles, rows, strict=True):
        check(result, model(split.inputs[own]), split.targets[own])
    if not of_folds and not classes:
        sums = scores.sums_for(section, dataset(split, classes))
        together = evaluate_ensemble(members, one, split, PRECISION, AT_ONCE, sums=sums)
        check(together, torch.stack([model(split.inputs) for model in singles]).mean(dim=0), split.targets)


def test_the_error_of_scaled_targets_is_in_their_own_unit() -> None:
    """Half a million dollars would be shown as 0.4."""
    split = quantities()
    sums = scores.sums_for(
        parsed(schema.AnyLoss, {"name": "mse"}),
        replace(dataset(split), encoding=TableEncoding((), ("a", "b"), target_mean=(1, 2), target_std=(10, 1000))),
    )
    model = models(2)[0]
    found = evaluate_one(model, nn.MSELoss(), split, PRECISION, AT_ONCE, sums=sums)
    own = [tensor.double() * torch.tensor([10.0, 1000.0]) for tensor in (model(split.inputs), split.targets)]
    check_quantities(found, *own)


def test_a_point_on_a_surface_has_no_scores() -> None:
    surface = parsed(schema.AnyLoss, {"name": "surface"})
    assert scores.sums_for(surface, dataset(Split(torch.zeros(1, 0), torch.zeros(1, 1)))) is None


def test_a_models_own_number_of_outputs_gives_no_scores_of_quantities() -> None:
    """A loss of the user's may compare other shapes; broadcasting would score nonsense."""
    sums = scores.QuantitySums(1)
    sums.add(torch.zeros(1, 5, 3), torch.zeros(5, 2))
    assert sums.scores() == [{}]


def test_the_scores_of_a_run_are_in_its_results(tmp_path: Path) -> None:
    """`show`, `--json` and `compare` would go without them."""
    settings = [
        "train.device=cpu",
        "train.threads=1",
        "train.statistics_every=10",
        "train.epochs=2",
        "data.validation=0.2",
    ]
    launch.run("linear-regression", settings, Options("line", tmp_path, quiet=True))
    reached = result_of(RunFolder(tmp_path / "line")).metrics
    assert {"val_r2", "val_rmse", "test_r2", "test_rmse"} <= reached.keys()
    assert reached["test_rmse"] == pytest.approx(float(reached["test_loss"] or 0) ** 0.5, rel=1e-5)  # its loss is mse
