"""The picture of how weights, gradients and activations spread must show their own numbers, and cost little."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from descent.loop import histograms as recording
from descent.loop import layer_samples
from descent.loop.histograms import HistogramRecorder
from descent.loop.layer_samples import quantiles
from descent.loop.layer_statistics import LayerStatistics
from descent.loop.layers import layers
from descent.run import histograms
from descent.run.histograms import KINDS, SHARES
from tests.helpers.loops import DRIVEN, PLAIN, Script


def _quantiles(numbers: Tensor) -> Tensor:
    """Return what torch says of all the numbers."""
    return torch.quantile(numbers.flatten().float(), torch.from_numpy(SHARES).float())


def _step(model: nn.Module, statistics: LayerStatistics, inputs: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with statistics.watch():
        model(inputs).square().mean().backward()
    statistics.before_update()
    optimizer.step()
    statistics.row()


def _record(model: nn.Module, inputs: Tensor) -> Tensor:
    statistics = LayerStatistics(model, layers(model))
    statistics.sampling = True
    _step(model, statistics, inputs)
    found = statistics.samples()
    assert found is not None
    return quantiles(found)


def test_the_quantiles_are_those_of_the_layers_own_numbers_before_the_update() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 100), nn.ReLU(), nn.Linear(100, 5))
    before, inputs = [p.detach().clone() for p in model.parameters()], torch.randn(64, 20)
    hidden = model[1](model[0](inputs)).detach()
    outputs = model(inputs).detach()
    found = dict(zip(KINDS, _record(model, inputs), strict=True))
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    for at in (0, 1):
        own = {
            "weights": torch.cat([p.flatten() for p in before[2 * at : 2 * at + 2]]),
            "gradients": torch.cat([g.flatten() for g in gradients[2 * at : 2 * at + 2]]),
            "activations": (hidden, outputs)[at],
        }
        for kind, numbers in own.items():
            off = (found[kind][at] - _quantiles(numbers))[4:-4].abs().max() / numbers.std()
            assert off < 0.2, (kind, at)


def test_numbers_that_are_fewer_than_the_samples_are_all_seen() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[-7.0, 1, 2], [3, 4, 5]]))
        model[0].bias.copy_(torch.tensor([0.0, 9]))
    found = _record(model, torch.randn(4, 3))[0, 0]
    assert found[0] == -7
    assert found[-1] == 9
    assert set(found.tolist()) == {-7, 0, 1, 2, 3, 4, 5, 9}


def test_without_a_wish_for_samples_none_are_kept_and_training_is_the_same() -> None:
    inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    weights = []
    for sampling in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 1))
        statistics = LayerStatistics(model, layers(model))
        statistics.sampling = sampling
        _step(model, statistics, inputs)
        assert (statistics.samples() is not None) == sampling
        _step(model, statistics, inputs)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize("kind", ["recurrent", "frozen", "unused"])
def test_layers_of_every_kind_have_numbers_where_there_are_some(kind: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LSTM(3, 4, batch_first=True) if kind == "recurrent" else nn.Linear(3, 4)
            self.act, self.last, self.spare = nn.GELU(), nn.Linear(4, 1), nn.Linear(2, 2)
            self.first.requires_grad_(kind != "frozen")

        def forward(self, x: Tensor) -> Tensor:
            found = self.first(x)
            output: Tensor = self.last(self.act(found[0] if kind == "recurrent" else found))
            return output

    weights, gradients, activations = _record(Model(), torch.randn(2, 5, 3))
    assert torch.isfinite(weights).all()
    assert torch.isfinite(gradients).all()
    assert (gradients[0] == 0).all() == (kind == "frozen")
    assert torch.isfinite(activations[0]).all()
    assert torch.isnan(activations[2]).all()  # of the layer that no forward pass calls


@pytest.mark.slow
def test_records_are_few_and_cost_no_more_than_their_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a million steps would fill the disk, and a fast one would become slower."""
    now = 0.0
    sampling = 0.0

    def tick() -> float:
        nonlocal now
        now += sampling
        return now

    monkeypatch.setattr(recording, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(layer_samples, "time", SimpleNamespace(perf_counter=tick))
    model = nn.Sequential(nn.Linear(3, 2))

    statistics, cost = LayerStatistics(model, layers(model)), 0.0

    def dear(samples: Tensor) -> Tensor:
        nonlocal now
        now += cost
        return quantiles(samples)

    monkeypatch.setattr(recording, "quantiles", dear)

    def train(folder: Path, steps: int, total: int | None) -> list[int]:
        nonlocal now
        folder.mkdir()
        recorder = HistogramRecorder(folder, statistics, 1, 0, total)
        for step in range(steps):
            _step(model, statistics, torch.zeros(1, 3))
            recorder.note(step, statistics.samples())
            now += 0.001
        recorder.flush()
        recorder.close()
        return histograms.read(folder, 1).steps.tolist()

    assert train(tmp_path / "known", 600, 600) == list(range(0, 600, 3))
    unknown = train(tmp_path / "unknown", 600, None)
    assert 128 <= len(unknown) <= 256
    cost = 0.008
    assert len(train(tmp_path / "dear", 100, 100)) == 3  # 0.02 s, and 1% of 0.1 s
    cost, sampling = 0.0, 0.003
    assert len(train(tmp_path / "dear samples", 100, 100)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("text", [DRIVEN, PLAIN])
def test_a_loop_of_ones_own_has_histograms_of_its_first_and_later_steps(tmp_path: Path, text: str) -> None:
    script = Script(tmp_path / "loop").start(text, watched=text is PLAIN).end()
    script.result()
    found = histograms.read(script.run.path, 2)
    assert found.steps[0] <= 1  # the model of an unchanged script is known only after its first forward pass
    assert len(found.steps) >= 2  # how many more is a matter of time
    assert torch.isfinite(torch.tensor(found.values)).all()
