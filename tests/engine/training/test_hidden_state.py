"""A step of one's own that keeps state where no checkpoint holds it would be another run after each resume."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from descent.common.errors import ExitCode
from descent.control import send
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import start as launch
from engine.launch.fork import first_difference
from engine.launch.options import Options
from engine.training import worker  # noqa: F401 - imported once here, not in each child
from tests.helpers.waiting import wait_for
from tests.helpers.workers import begin, child

HEAD = """
import numpy as np
import torch
from torch import nn

kept = {}
draw = np.random.default_rng(0)
judge = nn.Linear(3, 1)

def step(model, loss_function, optimizer, x, y):
    optimizer.zero_grad()
    loss = loss_function(model(x), y)
    loss.backward()
"""
COMMON = ["train.device=cpu", "train.threads=1", "train.statistics_every=7", "data.size=200", "train.batch_size=32"]
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """run("optimizer.step()") -> the exit code of a run whose step ends so; it is tmp_path/runs/mine."""

    def of(*lines: str, top: str = "", settings: tuple[str, ...] = ()) -> int:
        body = "".join(f"    {line}\n" for line in (*lines, "return loss"))
        (tmp_path / "mine.py").write_text(HEAD.replace("def step", f"{top}\ndef step") + body)
        code = [*COMMON, "train.steps=6", f"train.code={tmp_path}/mine.py:step", *settings]
        options = Options("mine", tmp_path / "runs", quiet=True, allow_code=True)
        return child(lambda: launch.run("digits-mlp", code, options))

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "top"),
    [
        (("kept.setdefault('own', torch.optim.Adam(model.parameters())).step()",), ""),
        (("optimizer.step()", "own.step()"), "own = torch.optim.Adam(judge.parameters())"),
    ],
    ids=["at its first call", "as the file is loaded"],
)
def test_an_optimizer_of_ones_own_is_refused_with_its_line(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], lines: tuple[str, ...], top: str
) -> None:
    """Its moments would be lost, and a rate that is set in the console would not reach it."""
    assert run(*lines, top=top) == ExitCode.WRONG_USE
    source = (tmp_path / "mine.py").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "torch.optim.Adam(" in text)
    said = capfd.readouterr().err
    assert f"mine.py, line {line} makes an optimizer of its own (Adam) that is kept from step to step" in said
    assert not (tmp_path / "runs" / "mine").exists()


@pytest.mark.slow
def test_members_are_refused_one_too(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    own = "kept.setdefault('own', torch.optim.Adam(model.parameters())).step()"
    assert run(own, settings=("members.repeats=2",)) == ExitCode.WRONG_USE
    assert "makes an optimizer of its own (Adam)" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        (
            "for p in model.parameters():",
            "    kept[p] = 0.9 * kept.get(p, 0) + p.grad",
            "    p.data -= 0.01 * kept[p]",
        ),
        ("kept['calls'] = kept.get('calls', 0) + 1", "if kept['calls'] % 2 == 0: optimizer.step()"),
        ("for p in model.parameters(): p.grad *= float(draw.random())", "optimizer.step()"),
    ],
    ids=["momentum", "a counter", "a generator of its own"],
)
def test_what_no_checkpoint_holds_is_noticed_by_making_a_step_again(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], lines: tuple[str, ...]
) -> None:
    assert run(*lines) == ExitCode.WRONG_USE
    said = (RunFolder(tmp_path / "runs" / "mine").last("state") or {})["reason"]
    assert "keeps something from one step to the next that a checkpoint does not hold: step 1 ends with" in said
    assert "with a fresh copy of the file" in said


@pytest.mark.slow
def test_a_parameter_group_that_is_added_is_refused(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """No checkpoint of it could be taken up again: each resume would end as a bug in Descent."""
    group = "if len(optimizer.param_groups) == 1: optimizer.add_param_group({'params': list(judge.parameters())})"
    assert run(group, "optimizer.step()") == ExitCode.WRONG_USE
    assert "changes the parameter groups of the optimizer (1 before, 2 now)" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        ("optimizer.step()",),
        ("for p in model.parameters(): p.data = p.data - 0.01 * p.grad",),
        ("inner = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1)", "inner.step()", "optimizer.step()"),
        ("kept['scale'] = 2.0", "for p in model.parameters(): p.grad *= kept['scale']", "optimizer.step()"),
        ("noise = torch.rand(()) * float(np.random.rand())", "for p in model.parameters(): p.grad *= noise",
         "optimizer.step()"),
    ],
    ids=["plain", "by hand", "an optimizer for one call", "a constant", "global generators"],
)  # fmt: skip
def test_what_a_checkpoint_holds_is_trained(run: Run, tmp_path: Path, lines: tuple[str, ...]) -> None:
    """A step that can be resumed would be refused."""
    assert run(*lines, settings=("optimizer.momentum=0.9", "model.dropout=0.2")) == 0
    assert len(Metrics(tmp_path / "runs" / "mine")) == 6


GROWING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.layer = nn.Linear(64, outputs)

    def forward(self, x):
        x = x.flatten(1)
        if self.training and not hasattr(self, "mean"):
            self.register_buffer("mean", x.mean(0))
            self.scale = nn.Parameter(torch.ones(64))
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        if hasattr(self, "mean"):
            x = (x - self.mean) * self.scale
        return self.layer(x)
"""


@pytest.mark.slow
def test_a_model_that_grows_in_its_first_forward_pass_is_resumed_and_rewound(tmp_path: Path) -> None:
    """No checkpoint of it could be taken up: all that it had trained was lost."""
    (tmp_path / "net.py").write_text(GROWING)
    (tmp_path / "mine.toml").write_text(
        f'[data]\nname = "digits"\nsize = 200\n[model]\ncode = "{tmp_path}/net.py:Net"\n'
        '[loss]\nname = "cross-entropy"\n[optimizer]\nname = "adam"\nlr = 0.01\n'
        '[train]\nsteps = 40\nbatch_size = 32\nthreads = 1\nstatistics_every = 7\ndevice = "cpu"\n'
        "checkpoint_every.steps = 5\n"
    )

    def start(run_id: str, *settings: str) -> int:
        options = Options(run_id, tmp_path / "runs", quiet=True, allow_code=True)
        return launch.run(str(tmp_path / "mine.toml"), list(settings), options)

    assert child(lambda: start("whole")) == 0
    whole = RunFolder(tmp_path / "runs" / "whole")
    told = [event["message"] for event in whole.events() if event["event"] == "warning"]
    assert any("the model makes mean, scale in its first forward pass" in message for message in told) or any(
        "the model makes scale, mean in its first forward pass" in message for message in told
    )
    weights = [checkpoint.read(whole.checkpoint(step))["model"] for step in whole.checkpoints()[::2]]
    assert not weights[0]["scale"].equal(weights[-1]["scale"])  # it is trained

    pid = begin(lambda: start("hit", "train.steps=100000"))
    hit = RunFolder(tmp_path / "runs" / "hit")
    wait_for(lambda: hit.path.exists() and len(Metrics(hit.path)) > 12, "its first rows")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    again = begin(
        lambda: launch.resume(str(hit.path), Options(runs_dir=hit.path.parent, quiet=True, allow_code=True))
    )
    wait_for(lambda: hit.last("resumed") and hit.state() == "running", "the resumed run")
    send(hit.path, "pause")
    assert send(hit.path, "rewind", {"to": 0})["ok"]
    send(hit.path, "step", {"steps": 40})
    send(hit.path, "stop")
    assert os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]) == 0
    assert first_difference(whole, hit) is None
