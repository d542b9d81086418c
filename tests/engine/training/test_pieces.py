"""A network that is made of straight pieces is told where it bends."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from engine.training.models.pieces import kinks


def net(*widths: int, bend: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    sizes = (1, *widths, 1)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), bend()]
    return nn.Sequential(*layers[:-1])


def tent() -> list[nn.Module]:
    """2·relu(x) − 4·relu(x − 1/2): from 0 up to 1 and down again."""
    inner, outer = nn.Linear(1, 2), nn.Linear(2, 1)
    with torch.no_grad():
        inner.weight.copy_(torch.tensor([[1.0], [1.0]]))
        inner.bias.copy_(torch.tensor([0.0, -0.5]))
        outer.weight.copy_(torch.tensor([[2.0, -4.0]]))
        outer.bias.zero_()
    return [inner, nn.ReLU(), outer]


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_each_layer_that_folds_doubles_the_pieces(depth: int) -> None:
    """The picture would show too few pieces of the very networks that depth is for."""
    folded = nn.Sequential(*(layer for _ in range(depth) for layer in tent()))
    found = kinks(folded, 0.0, 1.0)
    assert found is not None
    wanted = torch.arange(1, 2**depth, dtype=torch.float64) / 2**depth
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("bend", [nn.ReLU, nn.LeakyReLU])
@pytest.mark.parametrize("widths", [(5,), (16,), (4, 4), (8, 8)])
def test_between_two_kinks_the_network_is_a_straight_line(widths: tuple[int, ...], bend: type[nn.Module]) -> None:
    """A kink would be missed, or one be shown where the curve is straight."""
    torch.manual_seed(3)
    model = net(*widths, bend=bend).double()
    found = kinks(model, -2.0, 2.0)
    assert found is not None
    assert len(found)
    ends = torch.cat([torch.tensor([-2.0]).double(), found, torch.tensor([2.0]).double()])
    with torch.no_grad():
        at = model(ends[:, None])[:, 0]
        middle = model(((ends[:-1] + ends[1:]) / 2)[:, None])[:, 0]
    torch.testing.assert_close(middle, (at[:-1] + at[1:]) / 2)
    slopes = at.diff() / ends.diff()
    assert (slopes.diff().abs() > 1e-7).all()


def test_a_layer_of_width_h_makes_at_most_h_plus_one_pieces() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        found = kinks(net(6), -100.0, 100.0)
        assert found is not None
        assert len(found) <= 6


@pytest.mark.parametrize(
    "model",
    [nn.Linear(1, 1), net(4, bend=nn.Tanh), nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))],
    ids=["line", "tanh", "two inputs"],
)
def test_what_has_no_such_pieces_has_no_count(model: nn.Module) -> None:
    assert kinks(model, -1.0, 1.0) is None
