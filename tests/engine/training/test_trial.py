"""What is wrong with a model or a loss of one's own is said before the first step, and is no 'bug in Descent'."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from descent.common.errors import PresetError
from descent.run.folder import RunFolder
from engine.preset.loading import load_preset
from engine.training.build import build
from engine.training.train_state import TrainState

Build = Callable[..., TrainState]

MODEL = """
import torch
from torch import nn

{above}

class Net(nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.head = nn.Linear(64, outputs)
        {init}

    def forward(self, x):
        logits = self.head(x.flatten(1))
        {forward}
        return logits
"""
LOSS = """
import torch

weights = torch.ones(10{requires_grad})
teacher = torch.nn.Linear(10, 10)

def loss(outputs, targets):
    {statement}
"""
ENTROPY = "torch.nn.functional.cross_entropy(outputs, targets)"


@pytest.fixture
def built(tmp_path: Path) -> Build:
    """built("file.py", text, "model.code=…:Net") -> the run at step 0, where that file lies in the current folder."""

    def build_(name: str, text: str, *overrides: str, preset: str = "digits-mlp") -> TrainState:
        (tmp_path / name).write_text(text)
        loaded = load_preset(preset, [o.replace(name, str(tmp_path / name)) for o in overrides])
        return build(loaded, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)

    return build_


def model(above: str = "", init: str = "pass", forward: str = "pass") -> str:
    return MODEL.format(above=above, init=init, forward=forward)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"forward": "if self.training: return logits, x.mean()"},
            r"in training mode forward\(\) must return outputs of shape \(32, 10\).* it returned tuple",
        ),
        (
            {"forward": "with torch.no_grad(): logits = self.head(x.flatten(1))"},
            r"outputs of forward\(\) in training mode have no gradient.*torch\.no_grad",
        ),
        (
            {"init": "self.words = nn.Embedding(17, 10, sparse=True)",
             "forward": "logits = logits + self.words(x.flatten(1).long().clamp(0, 16)).mean(dim=1)"},
            r"gradient of the parameter words\.weight is sparse.*leave out sparse=True",
        ),
        (
            {"init": "self.phase = nn.Parameter(torch.ones(10, dtype=torch.cfloat))",
             "forward": "logits = logits * self.phase.abs()"},
            r"the parameter phase is complex; keep it as a real one of shape \(10, 2\)",
        ),
        (
            {"init": "self.scale = torch.ones(10, requires_grad=True)", "forward": "logits = logits * self.scale"},
            r"a tensor of shape \(10,\) gets a gradient, but is no parameter of the model",
        ),
        (
            {"forward": "logits = logits.relu(); logits += 1; logits = logits.exp(); logits.mul_(2)"},
            r"backward\(\) fails: one of the variables needed for gradient computation has been modified",
        ),
        ({"init": "self.last = self.head.weight * 2"}, r"the model can't be copied"),
        (
            {"init": "self.register_buffer('no', torch.tensor(-torch.inf)); self.head.bias.data[3] = torch.nan"},
            r"the parameter head\.bias holds NaN or infinite numbers before the first step, .* whatever the",
        ),
    ],
)  # fmt: skip
def test_a_model_that_can_t_be_trained_is_refused_by_its_name(built: Build, parts: dict[str, str], said: str) -> None:
    """Its author would read of a bug in Descent, or train nothing and see a flat curve."""
    with pytest.raises(PresetError, match=rf'model\.code = ".*net\.py:Net": .*{said}'):
        built("net.py", model(**parts), "model.code=net.py:Net")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"return {ENTROPY}.detach()", r"the loss has no gradient.*detach\(\)"),
        (f"return torch.tensor({ENTROPY}.item())", r"the loss has no gradient.*item\(\)"),
        (
            f"return {ENTROPY} + (teacher(outputs) - outputs).square().mean()",
            r"a parameter of its own, of shape \(10",
        ),
        ("return torch.nn.functional.cross_entropy(outputs * weights, targets)", r"of its own, of shape \(10,\)"),
    ],
)
def test_a_loss_that_trains_nothing_is_refused_by_its_name(built: Build, statement: str, said: str) -> None:
    """A detached loss would be a bug of Descent's, and weights within a loss would stay as they were drawn."""
    text = LOSS.format(requires_grad=", requires_grad=True", statement=statement)
    with pytest.raises(PresetError, match=rf'loss\.code = ".*own\.py:loss": .*{said}'):
        built("own.py", text, "loss.code=own.py:loss")


def test_a_loss_that_needs_a_whole_batch_is_given_one(built: Build) -> None:
    """A loss of the hardest eight of a batch would be refused because the trial has fewer."""
    hardest = "return torch.nn.functional.cross_entropy(outputs, targets, reduction='none').topk(8).values.mean()"
    assert built("own.py", LOSS.format(requires_grad="", statement=hardest), "loss.code=own.py:loss").step == 0


def test_what_a_loss_keeps_fixed_is_let_be(built: Build) -> None:
    """Class weights would count as parameters that nobody trains."""
    text = LOSS.format(
        requires_grad="", statement="return torch.nn.functional.cross_entropy(outputs * weights, targets)"
    )
    assert built("own.py", text, "loss.code=own.py:loss").step == 0


def test_the_trial_leaves_no_trace(built: Build) -> None:
    """A run would begin with batch norms that have seen a batch, or draw its dropout from another place."""
    norm = {"init": "self.norm = nn.BatchNorm1d(10); self.calls = 0",
            "forward": "self.calls += 1; logits = nn.functional.dropout(self.norm(logits))"}  # fmt: skip
    run = built("net.py", model(**norm), "model.code=net.py:Net")
    once = torch.rand(3)
    assert run.model.norm.num_batches_tracked == 0  # type: ignore[union-attr]
    own_step = "def train_step(model, loss_function, optimizer, x, y):\n    return loss_function(model(x), y)\n"
    built("net.py", model(**norm) + own_step, "model.code=net.py:Net", "train.code=net.py:train_step")  # no trial
    assert torch.equal(torch.rand(3), once)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.code=net.py:Net", "model.arguments.width=8"],
         r"net\.py, line 10: Descent calls Net\(input_shape, outputs, width=8\), and Net does not take these "
         r"arguments \(got an unexpected keyword argument 'width'\)"),
        (["model.code=net.py:Nett"], r'net\.py has no "Nett"; did you mean "Net"'),
        (["loss.code=net.py:loss"], r"calls loss\(outputs, targets\).*missing a required argument: 'weights'"),
        (["train.code=net.py:step"], r"calls step\(model, loss_function, optimizer, x, y\).*too many positional"),
    ],
)  # fmt: skip
def test_code_that_does_not_fit_is_noticed_before_the_data_are_loaded(
    built: Build, overrides: list[str], said: str
) -> None:
    """One would wait half a minute for the data to learn of a misspelt name, and not learn how it is called."""
    above = "def loss(outputs, targets, weights): pass\n\ndef step(model, x, y): pass"
    missing = ["data.name=npz", "data.path=missing.npz"]
    with pytest.raises(PresetError, match=said):
        built("net.py", model(above).replace("class Net", "\nclass Net"), *missing, *overrides)


def test_a_forward_that_takes_something_else_is_told_how_it_is_called(built: Build) -> None:
    """Its author would read that forward() misses an argument, and not what it was given."""
    text = model().replace("def forward(self, x)", "def forward(self, x, lengths)")
    with pytest.raises(PresetError, match=r"net\.py, line 13: Descent calls Net\.forward\(x\).*'lengths'"):
        built("net.py", text, "model.code=net.py:Net")
