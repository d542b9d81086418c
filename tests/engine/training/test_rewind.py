"""A rewind that can't be made must leave the run as it was: a person tries it on a run that took hours."""

from pathlib import Path

import pytest

from descent.control import RefusedError, send
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import start as launch
from engine.launch.fork import first_difference
from engine.launch.options import Options
from tests.engine.training.conftest import Train
from tests.helpers.waiting import wait_for
from tests.helpers.workers import begin, ends_with

GROWS = """
import torch

class Net(torch.nn.Module):
    '''Keeps a running mean from its 20th training forward on, so the first checkpoint does not fit any more.'''
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(64, outputs)
        self.dropout = torch.nn.Dropout(0.2)
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls >= 20 and not hasattr(self, "mean"):
            self.register_buffer("mean", torch.zeros(64))
        return self.linear(self.dropout(x.flatten(1)))
"""
PRESET = """
[data]
name = "digits"
size = 400
[model]
code = "net.py:Net"
[loss]
name = "cross-entropy"
[optimizer]
name = "adam"
lr = 0.01
[train]
steps = 100000
batch_size = 32
threads = 1
device = "cpu"
statistics_every = 5
evaluate_every = 1000
"""


def test_a_model_that_grows_while_it_trains_writes_no_checkpoint_that_fits_nothing(
    train: Train, tmp_path: Path
) -> None:
    """Hours of training would end in checkpoints that no resume, fork or prediction can take up."""
    (tmp_path / "net.py").write_text(GROWS)
    changed = [
        f'model={{name="code", code="{tmp_path}/net.py:Net"}}',
        "train.checkpoint_every={steps=10}",
        "train.steps=40",
    ]
    with pytest.raises(
        AssertionError, match=r"mean has the shape \(64,\) at step 20, and had none\. Nothing could go on"
    ):
        train("digits-mlp", *changed)
    assert RunFolder(tmp_path / "runs" / "run-1").checkpoints() == [0, 10]


@pytest.mark.slow
def test_a_refused_rewind_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(GROWS)
    (tmp_path / "net.toml").write_text(PRESET)

    def start(run_id: str, *settings: str) -> tuple[int, RunFolder]:
        options = Options(run_id, tmp_path / "runs", quiet=True, allow_code=True)
        pid = begin(lambda: launch.run(str(tmp_path / "net.toml"), settings, options))
        return pid, RunFolder(tmp_path / "runs" / run_id)

    pid, folder = start("rewound")
    wait_for(lambda: (folder.path / "events.jsonl").exists() and folder.state() == "running", "the run")
    wait_for(lambda: len(Metrics(folder.path)) > 25, "25 steps")
    send(folder.path, "pause")
    at = send(folder.path, "set", {"edits": ["lr_scale=0.5"]})["step"]
    for to in (0, None):
        with pytest.raises(RefusedError, match=r"to 0: the checkpoint does not fit the model.*mean"):
            send(folder.path, "rewind", {"to": to})
    assert send(folder.path, "step", {"steps": 10})["step"] == at + 10
    with pytest.raises(
        RefusedError, match=r"mean has the shape \(64,\) at step .*, and had none\. Nothing could go on"
    ):
        send(folder.path, "checkpoint")
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0
    assert folder.last("rewound") is None
    other, straight = start("straight", f"train.steps={at}")
    assert ends_with(other) == 2  # it too ends with a model that no checkpoint may hold
    assert first_difference(straight, folder) == at  # the rows before are the same, the dropout's draws too
