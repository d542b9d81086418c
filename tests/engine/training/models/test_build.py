"""If these fail, a model is not the one that its name promises, or it does not train."""

import copy
import itertools
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training.models import build, layers

GREY, COLOUR, DIGIT, TABLE, SEQUENCE = (1, 28, 28), (3, 32, 32), (1, 8, 8), (13,), (12, 5)


def section(**keys: Any) -> schema.AnyModel:
    parsed: schema.AnyModel = TypeAdapter(schema.AnyModel).validate_python(keys)
    return parsed


def make(shape: tuple[int, ...], outputs: int, /, **keys: Any) -> nn.Module:
    return build(section(**keys), input_shape=shape, outputs=outputs, code=None)


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


SMALL_CNN = {"name": "cnn", "channels": (4, 8), "hidden": 16}
EVERY: list[tuple[dict[str, Any], tuple[int, ...], int]] = [
    ({"name": "linear"}, TABLE, 2),
    ({"name": "linear", "bias": False}, GREY, 10),
    ({"name": "softmax"}, GREY, 10),
    ({"name": "perceptron"}, TABLE, 1),
    ({"name": "polynomial", "degree": 2}, TABLE, 2),
    ({"name": "mlp"}, TABLE, 3),
    ({"name": "mlp", "batch_norm": True, "dropout": 0.5, "widths": (16, 8)}, GREY, 10),
    ({"name": "mlp"}, SEQUENCE, 3),
    *(
        ({"name": "mlp", "activation": activation}, TABLE, 3)
        for activation in ("sigmoid", "tanh", "leaky-relu", "maxout", "elu", "gelu")
    ),
    ({"name": "lenet5"}, GREY, 10),
    ({"name": "lenet5", "activation": "relu"}, COLOUR, 10),
    (SMALL_CNN, DIGIT, 10),
    ({**SMALL_CNN, "batch_norm": True, "dropout": 0.5}, COLOUR, 10),
    ({"name": "resnet18", "width": 4}, COLOUR, 10),
    ({"name": "resnet18", "width": 4}, DIGIT, 10),
    ({"name": "rnn", "hidden": 8}, GREY, 10),
    ({"name": "rnn", "hidden": 8}, SEQUENCE, 1),
    ({"name": "lstm", "hidden": 8, "layers": 2, "dropout": 0.1}, COLOUR, 10),
    ({"name": "transformer", "width": 8, "heads": 2}, GREY, 10),
    ({"name": "transformer", "width": 8, "heads": 2, "dropout": 0.1}, SEQUENCE, 4),
]


@pytest.mark.parametrize(("keys", "shape", "outputs"), EVERY)
def test_every_model_trains(keys: dict[str, Any], shape: tuple[int, ...], outputs: int) -> None:
    """A model would give outputs of a wrong shape, a layer no gradient, or a loss that is not finite."""
    torch.manual_seed(0)
    model = make(shape, outputs, **keys)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, targets = torch.rand(6, *shape), torch.randn(6, outputs)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        result = model(inputs)
        assert result.shape == (6, outputs)
        loss = nn.functional.mse_loss(result, targets)
        torch.autograd.backward(loss)
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        losses.append(loss)
    assert torch.stack(losses).isfinite().all()


@pytest.mark.parametrize(("keys", "shape", "outputs"), EVERY)
def test_the_seed_decides_the_weights(keys: dict[str, Any], shape: tuple[int, ...], outputs: int) -> None:
    """A run could not be repeated."""
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(make(shape, outputs, **keys).state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize(
    ("keys", "shape", "outputs", "parameters"),
    [
        ({"name": "linear"}, (1,), 1, 2),
        ({"name": "softmax"}, GREY, 10, 7_850),
        ({"name": "polynomial", "degree": 5}, (1,), 1, 6),
        ({"name": "mlp", "widths": (128, 64)}, GREY, 10, 109_386),
        ({"name": "mlp", "widths": (2,), "activation": "sigmoid"}, (2,), 1, 9),
        ({"name": "lenet5"}, GREY, 10, 61_706),
        ({"name": "cnn"}, GREY, 10, 421_642),
        ({"name": "resnet18"}, COLOUR, 10, 11_173_962),
        ({"name": "rnn", "hidden": 64}, GREY, 10, 28 * 64 + 64 * 64 + 2 * 64 + 650),
        ({"name": "lstm", "hidden": 64}, GREY, 10, 4 * (28 * 64 + 64 * 64 + 2 * 64) + 650),
    ],
)
def test_number_of_parameters(keys: dict[str, Any], shape: tuple[int, ...], outputs: int, parameters: int) -> None:
    """The model would not be the one of the course or the paper."""
    assert size(make(shape, outputs, **keys)) == parameters


def test_an_mlp_is_just_its_layers() -> None:
    """A learner who writes the same net in PyTorch would get another."""
    kinds = [type(m).__name__ for m in make(GREY, 10, name="mlp", widths=(128, 64)).children()]
    assert kinds == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
    full = make(GREY, 10, name="mlp", widths=(8,), batch_norm=True, dropout=0.1, activation="tanh")
    kinds = [type(m).__name__ for m in full.children()]
    assert kinds == ["Flatten", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear"]


def test_polynomial_computes_the_polynomial() -> None:
    """The fitted curve would not be the polynomial of its coefficients."""
    model = make((2,), 1, name="polynomial", degree=3)
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])  # x, y, x², y², x³, y³
    with torch.no_grad():
        model.get_parameter("linear.weight").copy_(weight)
        model.get_parameter("linear.bias").fill_(7.0)
    x, y = 2.0, -1.0
    expected = x + 2 * y + 3 * x**2 + 4 * y**2 + 5 * x**3 + 6 * y**3 + 7
    assert model(torch.tensor([[x, y]])).item() == pytest.approx(expected)


def test_maxout_takes_the_largest_piece_of_each_unit() -> None:
    """A maxout unit would not be the maximum of its linear functions."""
    model = make((3,), 2, name="mlp", widths=(4,), activation="maxout", pieces=5)
    x = torch.randn(6, 3)
    hidden = model.get_submodule("hidden1")(x)
    assert hidden.shape == (6, 20)
    expected = torch.stack([hidden[:, 5 * unit : 5 * unit + 5].max(dim=1).values for unit in range(4)], dim=1)
    torch.testing.assert_close(model.get_submodule("act1")(hidden), expected)


@pytest.mark.parametrize("name", ["rnn", "lstm", "transformer"])
def test_images_are_read_row_by_row(name: str) -> None:
    """Pixels of different rows would be mixed within one step."""
    image = torch.rand(2, 3, 6, 5)
    keys = {"heads": 2, "width": 8} if name == "transformer" else {"hidden": 8}
    of_image = make((3, 6, 5), 4, name=name, **keys)
    of_rows = make((6, 15), 4, name=name, **keys)
    of_rows.load_state_dict(of_image.state_dict())
    rows = torch.stack([torch.cat([image[:, c, row] for c in range(3)], dim=1) for row in range(6)], dim=1)
    torch.testing.assert_close(of_image(image), of_rows(rows))


def test_the_transformer_sees_order_and_every_token() -> None:
    """Shuffled rows would give the same answer, or some rows would count for nothing."""
    model = make(SEQUENCE, 3, name="transformer").eval()
    x = torch.randn(1, *SEQUENCE, requires_grad=True)
    assert not torch.allclose(model(x), model(x.flip(1)), atol=1e-4)
    model(x)[0, 0].backward()
    assert (x.grad.abs().sum(dim=2) > 0).all()  # type: ignore[union-attr]


def test_attention_is_that_of_torch() -> None:
    """The attention of our own would not be the published one."""
    model = make(SEQUENCE, 3, name="transformer", width=8, heads=2)
    ours = model.get_submodule("block1.attention")
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.get_parameter("qkv.weight"))
        theirs.in_proj_bias.copy_(ours.get_parameter("qkv.bias"))
        theirs.out_proj.load_state_dict(ours.get_submodule("project").state_dict())
    x = torch.randn(2, 7, 8)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("keys", "shape", "message"),
    [
        (
            {"name": "lenet5"},
            DIGIT,
            r'"lenet5" takes images of 28 × 28 or 32 × 32 .* images of 8 × 8 with 1',
        ),
        ({"name": "lenet5"}, (2, 28, 28), "1 or 3 channels; the data are .* with 2 channels"),
        ({"name": "lenet5"}, TABLE, "the data are tables of 13 columns"),
        (
            {"name": "cnn", "channels": (4, 4, 4, 4)},
            DIGIT,
            r'"cnn" takes images of at least 16 × 16 \(4 pool',
        ),
        ({"name": "cnn"}, TABLE, '"cnn" takes images'),
        ({"name": "resnet18"}, SEQUENCE, '"resnet18" takes images; the data are sequences of 12 steps of 5'),
        ({"name": "rnn"}, TABLE, '"rnn" takes images, read row by row, or sequences'),
        ({"name": "transformer"}, TABLE, '"transformer" takes images'),
        ({"name": "lstm", "dropout": 0.5}, GREY, r"model\.dropout = 0\.5 .* model\.layers = 1"),
        (
            {"name": "perceptron"},
            TABLE,
            'has one output, but the loss needs 10: use loss.name = "perceptron"',
        ),
    ],
)
def test_wrong_inputs_are_refused_with_what_is_right(
    keys: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    """The user would see a shape error from inside torch."""
    with pytest.raises(PresetError, match=message):
        make(shape, 10, **keys)


def test_softmax_refuses_a_single_output() -> None:
    """The softmax of one output is always 1: nothing would be learned."""
    with pytest.raises(PresetError, match=r'model\.name = "softmax" has one output for each class.*"cross-entropy"'):
        make(TABLE, 1, name="softmax")


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        ({"name": "linear"}, TABLE),
        ({"name": "polynomial"}, TABLE),
        ({"name": "mlp", "widths": (8, 8)}, GREY),
        ({"name": "mlp", "activation": "maxout"}, TABLE),
        (SMALL_CNN, DIGIT),
        ({"name": "lenet5"}, GREY),
        ({"name": "transformer", "width": 8, "heads": 2}, SEQUENCE),
        ({"name": "resnet18", "width": 2}, DIGIT),
    ],
)
def test_members_run_together(keys: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Repeats and sweeps would have to train one model after another."""
    members = [make(shape, 3, **keys) for _ in range(3)]
    inputs = torch.rand(3, 5, *shape)
    parameters, buffers = torch.func.stack_module_state(members)
    skeleton = copy.deepcopy(members[0]).to("meta")

    def outputs(p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(skeleton, (p, b), (x,))
        return result

    together = torch.func.vmap(outputs)(parameters, buffers, inputs)
    torch.autograd.backward(together.square().sum())
    for i, (member, batch) in enumerate(zip(members, inputs, strict=True)):
        alone = member(batch)
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=1e-4)
        alone.square().sum().backward()
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(parameters[name].grad[i], parameter.grad, atol=1e-3, rtol=1e-2)


def test_layers_keep_their_names_and_order() -> None:
    """Statistics of two runs of the same preset could not be compared."""
    names = [name for name, _ in layers(make(GREY, 10, name="mlp", widths=(8, 8), batch_norm=True))]
    assert names == ["hidden1", "norm1", "hidden2", "norm2", "head"]
    names = [name for name, _ in layers(make(GREY, 10, **SMALL_CNN))]
    assert names == ["conv1", "conv2", "hidden", "head"]
    names = [name for name, _ in layers(make(SEQUENCE, 10, name="transformer", layers=1))]
    inside = ("norm1", "attention.qkv", "attention.project", "norm2", "up", "down")
    assert names == ["embed", "position", *(f"block1.{name}" for name in inside), "norm", "head"]
    for keys, shape, outputs in EVERY:
        found = [name for name, _ in layers(make(shape, outputs, **keys))]
        assert len(set(found)) == len(found)
        assert all(a != b for a, b in itertools.pairwise(found))
