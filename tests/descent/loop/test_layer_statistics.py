"""A student reads the gradient table to find out why a net does not learn: each figure must be what its heading
says, to the digit.
"""

import pytest
import torch
from torch import Tensor, nn

from descent.loop.layer_statistics import LayerStatistics, PerLayer, dead_share
from descent.run.layout import LAYER_STATISTICS


def _measure(model: nn.Sequential, optimizer: torch.optim.Optimizer, inputs: Tensor) -> dict[str, Tensor]:
    layers = [(name, m) for name, m in model.named_modules() if list(m.parameters(recurse=False))]
    statistics = LayerStatistics(model, layers)
    optimizer.zero_grad()
    with statistics.watch():
        model(inputs).square().mean().backward()
    statistics.before_update()
    optimizer.step()
    return dict(zip(LAYER_STATISTICS, statistics.row().T, strict=True))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_norms_are_those_of_the_layer_and_the_ratio_is_of_the_update_really_made(
    optimizer: type[torch.optim.Optimizer],
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    old = [torch.cat([p.detach().flatten().clone() for p in layer.parameters()]) for layer in (model[0], model[2])]
    row = _measure(model, optimizer(model.parameters(), lr=0.1), torch.randn(8, 3))
    for index, layer in enumerate((model[0], model[2])):
        new = torch.cat([p.detach().flatten() for p in layer.parameters()])
        gradient = torch.cat([p.grad.flatten() for p in layer.parameters() if p.grad is not None])
        assert row["grad_norm"][index] == pytest.approx(gradient.norm().item(), rel=1e-5)
        assert row["weight_norm"][index] == pytest.approx(new.norm().item(), rel=1e-5)
        ratio = ((new - old[index]).norm() / new.norm()).item()
        assert row["update_ratio"][index] == pytest.approx(ratio, rel=1e-4)
        assert row["zero_grads"][index] == pytest.approx((gradient == 0).float().mean().item())
        assert row["non_finite"][index] == 0


def test_dead_units_are_counted_for_the_layer_before_the_activation() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 0.0, -1.0, -1.0]))  # the last two never fire
    row = _measure(model, torch.optim.SGD(model.parameters(), lr=0.1), torch.rand(16, 2) + 0.1)
    assert row["dead"][0] == 0.5
    assert torch.isnan(row["dead"][1])  # no activation follows the last layer
    assert row["zero_grads"][0] >= 0.5


def test_a_channel_is_dead_only_if_it_is_silent_everywhere() -> None:
    output = torch.zeros(2, 3, 4, 4)
    output[1, 0, 2, 3] = 1.0
    assert dead_share(nn.ReLU(), output).item() == pytest.approx(2 / 3)


def test_saturated_sigmoid_and_tanh_outputs_are_counted() -> None:
    output = torch.tensor([[0.5, 0.999], [0.001, 0.6]])
    assert dead_share(nn.Sigmoid(), output) == 0.5
    assert dead_share(nn.Tanh(), torch.tensor([[0.0, -0.999], [0.5, 0.9]])) == 0.25


def test_an_overflowed_gradient_is_flagged_in_its_layer() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    inputs = torch.tensor([[1.0, float("inf")]])
    row = _measure(model, torch.optim.SGD(model.parameters(), lr=0.1), inputs)
    assert row["non_finite"].tolist() == [1, 1]


def test_looking_changes_neither_the_weights_nor_the_random_numbers() -> None:
    results = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            if watched:
                _measure(model, optimizer, torch.ones(8, 3))
            else:
                optimizer.zero_grad()
                model(torch.ones(8, 3)).square().mean().backward()
                optimizer.step()
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*results)


def test_a_gpu_adds_up_a_layers_parameters_as_the_cpu_does() -> None:
    """Two runs of one seed would differ in their rows, and a replay call that a difference."""
    owners = [0, 0, 0, 2, 2, 3]
    per_layer = PerLayer(owners, 5, torch.device("cpu"))
    values = torch.rand(4, 6) * torch.tensor([1e6, 1, 1e-6, 1, 1, 1])
    values[1, 3] = float("nan")
    expected, got = per_layer(values), per_layer.in_order(values)
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    assert got[1].isnan().tolist() == [False, False, True, False, False]
    torch.testing.assert_close(per_layer.in_order(values[0]), expected[0], rtol=0, atol=0)


class _Words(nn.Module):
    """What few models have: sparse gradients, a layer without a number, and an expert that gets no sample."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 3, sparse=True)
        self.nothing = nn.Embedding(0, 3)
        self.expert = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        self.out = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = self.words(x)
        return self.out(found) + self.expert(found[:0]).sum()


def _statistics(model: nn.Module) -> LayerStatistics:
    return LayerStatistics(
        model, [(name, m) for name, m in model.named_modules() if list(m.parameters(recurse=False))]
    )


def test_what_few_models_have_is_measured_too_and_ends_no_training() -> None:
    """A script that trains well alone would end in a traceback of Descent's."""
    model = _Words()
    statistics = _statistics(model)
    statistics.sampling = True
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with statistics.watch():
        model(torch.tensor([1, 1, 4])).square().sum().backward()
    statistics.before_update()
    optimizer.step()
    row = dict(zip(LAYER_STATISTICS, statistics.row().T, strict=True))
    gradient = model.words.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert row["grad_norm"][0] == pytest.approx(gradient.to_dense().norm().item(), rel=1e-5)
    assert row["zero_grads"][0] == pytest.approx(3 / 5)
    assert torch.isnan(row["dead"]).all()
    samples = statistics.samples()
    assert samples is not None
    assert samples[0].isnan().any(dim=1).tolist() == [False, True, False, False]


def test_dead_units_of_a_single_sample_are_counted() -> None:
    assert dead_share(nn.ReLU(), torch.tensor([0.0, 1.0, 0.0, 2.0])) == 0.5


def test_a_compiled_model_stays_one_graph() -> None:
    """A look at the clock in a hook would break it into pieces, each with a start of its own."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    statistics = LayerStatistics(model, [("0", model[0]), ("2", model[2])], compiled=True)
    statistics.sampling = True
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    inputs = torch.randn(8, 3)
    compiled(inputs)
    with statistics.watch():
        compiled(inputs).sum().backward()
    statistics.before_update()
    assert statistics.row().isfinite().any()
    samples = statistics.samples()
    assert samples is not None
    assert samples.isfinite().all()
