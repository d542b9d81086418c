"""If these fail, the lab on initial weights compares something else than it says."""

from math import sqrt
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from engine.preset import schema
from engine.training.models import build


def mlp(**keys: Any) -> nn.Module:
    parsed: schema.AnyModel = TypeAdapter(schema.AnyModel).validate_python(
        {"name": "mlp", "widths": (400, 300), **keys}
    )
    torch.manual_seed(0)
    return build(parsed, input_shape=(500,), outputs=10, code=None)


def any_model(shape: tuple[int, ...], **keys: Any) -> nn.Module:
    parsed: schema.AnyModel = TypeAdapter(schema.AnyModel).validate_python(keys)
    torch.manual_seed(0)
    return build(parsed, input_shape=shape, outputs=10, code=None)


@pytest.mark.parametrize(
    ("keys", "first", "second"),
    [
        ({"init": "normal"}, 0.01, 0.01),
        ({"init": "normal", "init_std": 0.3}, 0.3, 0.3),
        ({"init": "xavier"}, sqrt(2 / 900), sqrt(2 / 700)),
        ({"init": "he"}, sqrt(2 / 500), sqrt(2 / 400)),
        ({"init": "he", "activation": "leaky-relu"}, sqrt(2 / 500 / 1.0001), sqrt(2 / 400 / 1.0001)),
        ({"init": "default"}, sqrt(1 / 500 / 3), sqrt(1 / 400 / 3)),
        ({"init": "zeros"}, 0.0, 0.0),
    ],
)
def test_spread_of_weights(keys: dict[str, Any], first: float, second: float) -> None:
    """Signals would grow or vanish through layers for another reason than the rule that was chosen."""
    model = mlp(**keys)
    # 120,000 weights and more: the standard deviation is known to 0.2%.
    assert model.get_parameter("hidden1.weight").std().item() == pytest.approx(first, rel=0.01)
    assert model.get_parameter("hidden2.weight").std().item() == pytest.approx(second, rel=0.01)
    biases = torch.cat([p for name, p in model.named_parameters() if name.endswith("bias")])
    assert bool(biases.any()) == (keys["init"] == "default")


def test_convolutions_count_their_window_and_gates_count_alone() -> None:
    """He and Xavier would use wrong fans for images and for LSTMs."""
    cnn = any_model((32, 8, 8), name="cnn", channels=(256,), init="he")
    assert cnn.get_parameter("conv1.weight").std().item() == pytest.approx(sqrt(2 / (32 * 9)), rel=0.01)
    lstm = any_model((5, 200), name="lstm", hidden=300, init="xavier")
    assert lstm.get_parameter("recurrent.weight_ih_l0").std().item() == pytest.approx(sqrt(2 / 500), rel=0.01)
    assert lstm.get_parameter("recurrent.weight_hh_l0").std().item() == pytest.approx(sqrt(2 / 600), rel=0.01)
    assert not lstm.get_parameter("recurrent.bias_ih_l0").any()


def test_norms_keep_their_scale() -> None:
    """A norm set to 0 would cut the net in two."""
    model = mlp(init="zeros", batch_norm=True)
    assert (model.get_parameter("norm1.weight") == 1).all()


def test_zeros_leave_all_units_of_a_layer_alike() -> None:
    """The lab shows that equal units learn the same thing for ever; here they would not be equal."""
    model = mlp(init="zeros", activation="sigmoid", widths=(16, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.rand(32, 500)), torch.randint(10, (32,)))
        torch.autograd.backward(loss)
        for name in ("hidden1.weight", "hidden2.weight"):
            gradient = model.get_parameter(name).grad
            assert gradient is not None
            torch.testing.assert_close(gradient, gradient[:1].expand_as(gradient), atol=1e-8, rtol=1e-5)
        optimizer.step()
    assert model.get_parameter("hidden1.weight").any()  # they did learn
