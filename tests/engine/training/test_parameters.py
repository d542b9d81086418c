"""The course's exercises read a line's weight and bias step by step: the columns must hold what the model held."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from descent.common.signals import Signals
from descent.loop import checkpoint
from descent.run.folder import Claim
from descent.run.layout import PARAMETER
from descent.run.metrics import Metrics
from engine.launch.display import Display
from engine.training import parameters, worker
from tests.engine.training.conftest import Train


def test_a_name_is_short_where_it_is_the_only_one_and_numbers_count_from_one() -> None:
    """A check that asks for `parameter.weight` would find nothing."""
    line = nn.Sequential()
    line.add_module("linear", nn.Linear(1, 1))
    assert parameters.names(line) == ("weight", "bias")
    assert parameters.names(nn.Linear(3, 1)) == ("weight[1]", "weight[2]", "weight[3]", "bias")
    two = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1, bias=False))
    assert parameters.names(two) == ("0.weight[1]", "0.weight[2]", "bias[1]", "bias[2]", "1.weight[1]", "1.weight[2]")
    two[0].weight.requires_grad_(False)
    assert parameters.names(two)[0] == "bias[1]"
    assert parameters.names(nn.Linear(8, 1)) == ()


@pytest.mark.parametrize("members", [1, 3])
def test_a_row_holds_what_the_numbers_were_after_its_update(train: Train, members: int) -> None:
    """The last row would not be what the run came to, or the first not what one update has made."""
    kept = ["train.checkpoint_every.steps=1", "train.keep=100"]
    folder = train("linear-regression", "train.steps=20", f"members.repeats={members}", *kept)
    metrics = Metrics(folder.path)
    for step in (1, 7, 20):
        model = checkpoint.read(folder.checkpoint(step))["model"]
        for name, tensor in (("weight", model["linear.weight"]), ("bias", model["linear.bias"])):
            found = [metrics.column(PARAMETER + name, member)[step - 1] for member in range(members)]
            assert found == tensor.flatten().tolist()


def test_larger_models_have_no_such_columns(train: Train) -> None:
    """Every run's rows would grow by its weights."""
    layout = Metrics(train("moons-mlp", "train.steps=2").path).layout
    assert layout is not None
    assert not [name for name in layout.columns if name.startswith(PARAMETER)]


def test_numbers_put_elsewhere_are_taken_home() -> None:
    """A learner's `p.data = p.data - lr * p.grad` would leave the columns as they were."""
    line = nn.Linear(1, 1)
    row = parameters.together(list(line.parameters()))
    assert row is not None
    line.weight.data = torch.tensor([[5.0]])
    parameters.adopt(list(line.parameters()), row)
    assert row[0] == 5
    with torch.no_grad():
        line.weight.mul_(2)
    assert row[0] == 10


def test_a_run_from_before_such_columns_goes_on(train: Train) -> None:
    """An update of Descent would lose the runs under way."""
    folder = train("linear-regression", "train.steps=5")
    layout = Metrics(folder.path).layout
    assert layout is not None
    before = tuple(name for name in layout.columns if not name.startswith(PARAMETER))
    dataclasses.replace(layout, columns=before).save(folder.path)
    shutil.rmtree(folder.path / "metrics")
    (folder.path / "checkpoints" / "step-5.pt").unlink()
    ending = worker.work(Claim(folder), "line", folder.path, Display("line", None), Signals())
    assert ending.state == "finished", ending.error
    metrics = Metrics(folder.path)
    assert metrics.layout is not None
    assert metrics.layout.columns == before
    assert np.isfinite(metrics.column("loss")).all()
