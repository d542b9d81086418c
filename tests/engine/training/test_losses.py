"""If these fail, the number on the loss chart is not the loss that it is called."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from descent.common.errors import PresetError
from descent.run.folder import RunFolder
from engine.preset import schema
from engine.preset.loading import load_preset
from engine.training import losses
from engine.training.build import build as build_run


def section(**keys: Any) -> schema.AnyLoss:
    parsed: schema.AnyLoss = TypeAdapter(schema.AnyLoss).validate_python(keys)
    return parsed


def build(task: losses.Task = "classification", classes: int = 2, **keys: Any) -> losses.Criterion:
    return losses.build(section(**keys), task=task, num_classes=classes, code=None)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"name": "mse"}, (1 + 4 + 0 + 9) / 4),
        ({"name": "mae"}, (1 + 2 + 0 + 3) / 4),
        ({"name": "huber", "delta": 1.0}, (0.5 + 1.5 + 0 + 2.5) / 4),
        ({"name": "huber", "delta": 2.0}, (0.5 + 2 + 0 + 4) / 4),
    ],
)
def test_regression_losses_by_hand(keys: dict[str, Any], expected: float) -> None:
    """Regression would minimise something else than its textbook loss."""
    outputs, targets = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 4.0], [3.0, 1.0]])
    assert build("regression", 0, **keys)(outputs, targets).item() == pytest.approx(expected)


def test_cross_entropy_by_hand() -> None:
    """The slides' example, logits 3.2, 5.1 and −1.7 with class 0, has a loss of 2.04."""
    loss = build(classes=3, name="cross-entropy")(torch.tensor([[3.2, 5.1, -1.7]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(math.log(sum(map(math.exp, (3.2, 5.1, -1.7)))) - 3.2, abs=1e-5)
    assert loss.item() == pytest.approx(2.04, abs=0.005)


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    """Smoothing would be dropped, or be of another kind than torch's."""
    outputs, targets = torch.randn(8, 5), torch.arange(8) % 5
    logs = outputs.log_softmax(dim=1)
    expected = -(0.9 * logs[torch.arange(8), targets] + 0.1 * logs.mean(dim=1)).mean()
    got = build(classes=5, name="cross-entropy", label_smoothing=0.1)(outputs, targets)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("members", [1, 2])
def test_label_smoothing_is_no_part_of_a_validation_loss(tmp_path: Path, members: int) -> None:
    """Runs that differ in it could not be compared, and early stopping would go by another loss than it says."""
    preset = load_preset("digits-mlp", ["loss.label_smoothing=0.3", f"members.repeats={members}"])
    run = build_run(preset, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
    split = run.dataset.split("validation")
    for member, result in enumerate(run.evaluate("validation")):
        with torch.no_grad():
            outputs = run.alone(member).model.eval()(split.inputs)
        assert result.loss == pytest.approx(F.cross_entropy(outputs, split.targets).item(), rel=1e-5)
    batch = run.batches.next()
    with torch.no_grad():
        loss = run.loss(run.forward(batch.inputs), batch).flatten()[0]
        plain = F.cross_entropy(
            run.forward(batch.inputs).view(-1, len(batch.targets.flatten()) // members, 10)[0],
            batch.targets.view(members, -1)[0],
        )
    assert loss.item() != pytest.approx(plain.item(), rel=1e-5)


def test_whole_numbers_may_be_quantities() -> None:
    """Who predicts ages by mse would be sent to cross-entropy, and not be told of the setting that it takes."""
    with pytest.raises(PresetError, match=r'5 classes\. For quantities set data\.task = "regression"'):
        losses.build(section(name="mse"), task="classification", num_classes=5, code=None, has_task=True)
    with pytest.raises(PresetError) as without:
        build(classes=5, name="mse")
    assert "data.task" not in str(without.value)


def test_bce_by_hand_and_without_overflow() -> None:
    """Logistic regression would have a wrong loss, or an infinite one for a sure mistake."""
    criterion = build(name="bce")
    p = 1 / (1 + math.exp(-0.7))
    expected = (-math.log(p) - math.log(1 - p)) / 2
    assert criterion(torch.tensor([[0.7], [0.7]]), torch.tensor([1, 0])).item() == pytest.approx(expected)
    assert criterion(torch.tensor([[-500.0]]), torch.tensor([1])).item() == pytest.approx(500)


def test_perceptron_by_hand() -> None:
    """Right answers must cost nothing, wrong ones their distance from the boundary."""
    outputs = torch.tensor([[2.0], [-3.0], [0.5], [-1.0]])
    targets = torch.tensor([1, 1, 0, 0])
    assert build(name="perceptron")(outputs, targets).item() == pytest.approx((0 + 3 + 0.5 + 0) / 4)


def test_mse_of_probabilities_by_hand() -> None:
    """The lab that compares MSE and cross-entropy would compare something else."""
    outputs, targets = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])
    one_hot = F.one_hot(targets, 3).float()
    expected = (outputs.softmax(dim=1) - one_hot).square().mean()
    torch.testing.assert_close(build(classes=3, name="mse-probabilities")(outputs, targets), expected)
    single = losses.mse_probabilities(torch.tensor([[0.0], [-8.0]]), torch.tensor([1, 1]))
    saturated = 1 / (1 + math.exp(8))
    assert single.item() == pytest.approx((0.25 + (1 - saturated) ** 2) / 2)


def test_mae_of_probabilities_is_the_chance_of_being_wrong() -> None:
    """The line of the XOR lab would end elsewhere: of two classes it is the mean of 1 − p."""
    outputs, targets = torch.tensor([[1.0, -1.0], [0.0, 0.0]]), torch.tensor([1, 0])
    right = 1 / (1 + math.exp(2))
    assert build(name="mae-probabilities")(outputs, targets).item() == pytest.approx(((1 - right) + 0.5) / 2)
    single = losses.mae_probabilities(torch.tensor([[-2.0], [0.0]]), torch.tensor([1, 0]))
    assert single.item() == pytest.approx(((1 - right) + 0.5) / 2)


def test_gradient_of_mse_vanishes_where_that_of_cross_entropy_does_not() -> None:
    """At z = −8 a wrong sigmoid unit has gradient −6.7e-4 under MSE and −1 under BCE: the lab's figures."""
    z = torch.full((1, 1), -8.0, requires_grad=True)
    (mse,) = torch.autograd.grad(losses.mse_probabilities(z, torch.tensor([1])), z)
    (bce,) = torch.autograd.grad(losses.bce(z, torch.tensor([1])), z)
    assert mse.item() == pytest.approx(-6.7e-4, rel=0.01)
    assert bce.item() == pytest.approx(-1.0, rel=0.01)


@pytest.mark.parametrize("name", ["bce", "perceptron", "mse-probabilities", "mae-probabilities", "cross-entropy"])
def test_members_can_share_a_loss(name: str) -> None:
    """Several models in lockstep would not run."""
    criterion = build(name=name)
    outputs = torch.randn(4, 6, 1 if name in losses.ONE_OUTPUT else 2)
    targets = torch.randint(2, (4, 6))
    together = torch.func.vmap(criterion)(outputs, targets)
    torch.testing.assert_close(
        together, torch.stack([criterion(*pair) for pair in zip(outputs, targets, strict=True)])
    )


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_regression_losses_refuse_classes(name: str) -> None:
    """A class label would be fitted as if it were a quantity."""
    with pytest.raises(PresetError, match=f'loss.name = "{name}".*10 classes.*"mse-probabilities"'):
        build(classes=10, name=name)


@pytest.mark.parametrize("name", ["cross-entropy", "mse-probabilities", "mae-probabilities", "bce", "perceptron"])
def test_classification_losses_refuse_numbers(name: str) -> None:
    """Training would stop with an error about dtypes."""
    with pytest.raises(PresetError, match=f'loss.name = "{name}" is for classification.*"mse"'):
        build("regression", 0, name=name)


@pytest.mark.parametrize("name", ["bce", "perceptron"])
def test_losses_of_one_output_refuse_three_classes(name: str) -> None:
    """Class 2 would silently count as more than right."""
    with pytest.raises(PresetError, match=r'exactly 2 classes, but the data have 3; .*"cross-entropy"'):
        build(classes=3, name=name)


def test_number_of_outputs() -> None:
    """The model's head would have the wrong size."""
    assert losses.outputs(section(name="bce"), "classification", 2) == 1
    assert losses.outputs(section(name="perceptron"), "classification", 2) == 1
    assert losses.outputs(section(name="mse-probabilities"), "classification", 2) == 2
    assert losses.outputs(section(name="cross-entropy"), "classification", 10) == 10
    assert losses.outputs(section(name="mse"), "regression", 3) == 3


def test_penalties_count_trainable_weights_and_nothing_else() -> None:
    """Biases or norms would shrink too, and the lab's λ would mean something else."""
    linear, final = nn.Linear(3, 4), nn.Linear(4, 2)
    model = nn.Sequential(linear, nn.BatchNorm1d(4), final)
    first, last = linear.weight, final.weight
    assert losses.penalty(losses.penalised(model), section(name="mse")) is None
    both = losses.penalty(losses.penalised(model), section(name="mse", l1=0.1, l2=0.01))
    assert both is not None
    expected = 0.1 * (first.abs().sum() + last.abs().sum())
    expected = expected + 0.01 * (first.square().sum() + last.square().sum())
    torch.testing.assert_close(both, expected)
    torch.autograd.backward(both)
    assert linear.bias.grad is None
    torch.testing.assert_close(first.grad, 0.1 * first.sign() + 0.02 * first)
    first.requires_grad_(False)
    frozen = losses.penalty(losses.penalised(model), section(name="mse", l1=1.0))
    torch.testing.assert_close(frozen, last.abs().sum())


def test_right_answers() -> None:
    """Accuracy would be wrong."""
    outputs = torch.tensor([[0.1, 0.9], [2.0, 1.0], [0.0, 0.5]])
    assert losses.predictions(outputs).tolist() == [1, 0, 1]
    assert losses.correct(outputs, torch.tensor([1, 1, 1])).item() == pytest.approx(2 / 3)
    single = torch.tensor([[0.3], [-0.3], [0.0]])
    assert losses.predictions(single).tolist() == [1, 0, 0]
    assert losses.correct(single, torch.tensor([1, 1, 0])).item() == pytest.approx(2 / 3)


def test_a_loss_of_the_users() -> None:
    """A learner's own loss would not be used, or its mistake would end in a traceback."""
    keys = {"name": "code", "code": "mine.py:loss"}

    def use(function: Any) -> losses.Criterion:
        return losses.build(section(**keys), task="regression", num_classes=0, code=lambda _: function)

    pair = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [0.0]])
    assert use(lambda o, t: (o - t).abs().mean())(*pair).item() == 2
    with pytest.raises(PresetError, match="scalar tensor; it returned float"):
        use(lambda o, t: 1.0)(*pair)
    with pytest.raises(PresetError, match=r"scalar tensor; it returned a tensor of shape \(2, 1\)"):
        use(lambda o, t: o - t)(*pair)

    def broken(outputs: Tensor, targets: Tensor) -> Tensor:
        raise ValueError("not yet written")

    with pytest.raises(PresetError, match=r"test_losses\.py, line .*ValueError: not yet written"):
        use(broken)(*pair)
