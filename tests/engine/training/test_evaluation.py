"""An evaluation must fit into the memory that there is, give what it always gave, and not change the run."""

import random
import resource
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from descent.common.errors import CannotGoOnError
from descent.control import send
from descent.run.folder import RunFolder
from engine.launch import start as launch
from engine.launch.options import Options
from engine.training.at_once import MOST, AtOnce
from engine.training.data import Split
from engine.training.evaluation import evaluate
from tests.engine.training.conftest import Train
from tests.helpers.waiting import wait_for
from tests.helpers.workers import begin, child, ends_with


class Wide(nn.Module):
    """Needs `size` numbers for each sample, and counts the samples of each call."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.size, self.calls = size, list[int]()

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls.append(len(inputs))
        wide = inputs.sum(dim=1, keepdim=True).expand(-1, self.size).clone()
        return self.linear(inputs) + 0 * wide[:, :1]


def split(samples: int) -> Split:
    generator = torch.Generator().manual_seed(0)
    return Split(torch.randn(samples, 4, generator=generator), torch.randint(3, (samples,), generator=generator))


def evaluated(model: nn.Module, data: Split, at_once: AtOnce) -> float:
    return evaluate(model, F.cross_entropy, data, nullcontext(), at_once).loss


@pytest.mark.slow
def test_a_model_that_needs_much_memory_is_evaluated_on_fewer_samples_at_once() -> None:
    """A model that trains at batch 4 would end in its first evaluation for lack of memory."""
    model = Wide(4 << 20)  # 16 MiB a sample: 1,024 at once would take 16 GiB
    evaluated(model, split(70), AtOnce("auto", trained=4))
    assert model.calls[0] == 2  # to measure what one needs
    assert max(model.calls) <= 32
    assert sum(model.calls[1:]) == 70


def test_a_small_model_is_evaluated_on_as_many_as_ever() -> None:
    """The printed losses of every preset would move in their last digits, and evaluations would be slow."""
    model = Wide(64)
    evaluated(model, split(2500), AtOnce("auto", trained=4))
    assert model.calls == [2, MOST, MOST, 2500 - 2 * MOST]


def test_training_s_own_batch_fits_without_measuring() -> None:
    model = Wide(64)
    evaluated(model, split(300), AtOnce("auto", trained=512))
    assert model.calls == [300]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_where_memory_runs_out_half_as_many_are_taken_from_then_on(error: Exception) -> None:
    """A graphics card that others use too would end the run, and every resume of it."""

    class Limited(Wide):
        def forward(self, inputs: Tensor) -> Tensor:
            if len(inputs) > 20:
                raise error
            return super().forward(inputs)

    model, at_once, data = Limited(64), AtOnce(64, trained=4), split(70)
    loss = evaluated(model, data, at_once)
    assert (at_once.samples, at_once.halved) == (16, True)
    assert model.calls == [16, 16, 16, 16, 6]
    assert loss == pytest.approx(F.cross_entropy(model.linear(data.inputs), data.targets).item(), rel=1e-5)
    assert model.training


@pytest.mark.slow
def test_memory_that_the_system_refuses_is_known_as_such() -> None:
    """On the CPU torch has no error class of its own for it: an evaluation would end the run as a bug of Descent."""
    samples = split(64)
    wide = Wide(1 << 21)  # eight megabytes for each sample
    whole = evaluated(wide, samples, AtOnce(4, trained=1))

    def in_little_memory() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (100 << 20)  # and what the heap has free
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        at_once = AtOnce(64, trained=1)
        assert evaluated(wide, samples, at_once) == pytest.approx(whole, rel=1e-5)
        assert at_once.halved
        assert at_once.samples < 32
        with pytest.raises(CannotGoOnError, match="even with one sample"):
            evaluated(Wide(1 << 30), samples, AtOnce(4, trained=1))
        return 0

    assert child(in_little_memory) == 0


def test_without_memory_for_one_sample_the_evaluation_is_named_as_the_cause() -> None:
    """The user would be told to halve train.batch_size, which does not help."""

    class Huge(Wide):
        def forward(self, inputs: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(CannotGoOnError, match="out of memory in an evaluation, even with one sample"):
        evaluated(Huge(1), split(5), AtOnce(2, trained=1))


def test_an_error_of_the_model_is_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        evaluated(nn.Linear(7, 3), split(5), AtOnce(2, trained=1))


def test_members_are_evaluated_on_fewer_samples_at_once_too(train: Train) -> None:
    """Ten members together would need ten times the memory of one."""
    settings = ["train.steps=3", "members.repeats=3", "data.size=400", "train.evaluate_batch_size=7"]
    losses = [
        [event["loss"] for event in folder.events() if event["event"] == "evaluation"]
        for folder in (train("digits-mlp", *settings), train("digits-mlp", *settings[:-1]))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


DRAWS = """
import random
import numpy, torch

class Net(torch.nn.Module):
    '''Draws in evaluation mode too, as a VAE or MC dropout does.'''
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(64, outputs)

    def forward(self, x):
        scale = 1 + 0.1 * (random.random() + numpy.random.rand())
        return self.linear(torch.nn.functional.dropout(x.flatten(1), 0.2) * scale)
"""
STEADY = ["train.device=cpu", "train.threads=1", "train.statistics_every=5", "data.size=400", "train.on_nan=stop"]


@pytest.fixture
def drawing(tmp_path: Path) -> Callable[..., tuple[int, RunFolder]]:
    """Start a run whose model draws whenever it is called."""
    (tmp_path / "net.py").write_text(DRAWS)
    (tmp_path / "net.toml").write_text(
        '[data]\nname = "digits"\n[model]\ncode = "net.py:Net"\n[loss]\nname = "cross-entropy"\n'
        '[optimizer]\nname = "sgd"\nlr = 0.1\n[train]\nepochs = 1\nbatch_size = 40\n'
    )

    def begun(run_id: str, *settings: str) -> tuple[int, RunFolder]:
        options = Options(run_id, tmp_path / "runs", quiet=True, allow_code=True)
        pid = begin(lambda: launch.run(str(tmp_path / "net.toml"), [*STEADY, *settings], options))
        return pid, RunFolder(tmp_path / "runs" / run_id)

    return begun


@pytest.mark.slow
@pytest.mark.parametrize("members", [[], ["members.repeats=2"]])
def test_looking_at_a_model_that_draws_does_not_change_the_run(
    drawing: Callable[..., tuple[int, RunFolder]], members: list[str]
) -> None:
    """Whoever evaluates by hand or opens a picture would get another model in the end."""
    pid, folder = drawing("looked-at", "train.epochs=1000", "train.evaluate_every=1000", *members)
    wait_for(lambda: (folder.path / "events.jsonl").exists() and folder.state() == "running", "the run")
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    for command, arguments in (
        ("evaluate", {}),
        ("picture", {"kind": "confusion"}),
        ("step", {"steps": 4}),
        ("evaluate", {}),
        ("picture", {"kind": "mistakes"}),
        ("step", {"steps": 4}),
        ("stop", {}),
    ):
        send(folder.path, command, arguments)
    assert ends_with(pid) == 0
    again = Options("again", folder.path.parent, quiet=True, allow_code=True)
    assert child(lambda: launch.replay("looked-at", again)) == 0, "the rows differ"


def test_an_evaluation_restores_every_generator() -> None:
    """A model that draws in evaluation mode would train on other numbers after each look at it."""

    class Draws(Wide):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs) + random.random() + np.random.rand() + torch.rand(1)

    def draws() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]

    model = Draws(8)
    seen = []
    for looks in (0, 2):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        for _ in range(looks):
            evaluated(model, split(40), AtOnce("auto", trained=4))
        seen.append(draws())
    assert seen[0] == seen[1]
