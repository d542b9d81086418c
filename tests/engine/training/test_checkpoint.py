"""The best model so far waits in memory for its file: it must not change with later steps, nor fill the GPU."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from descent.loop import checkpoint
from descent.loop.checkpoint import CheckpointManager, State
from descent.run.events import Events
from descent.run.folder import RunFolder
from engine.training import optimizers


class Small:
    """A convolution with what optimizers, batch normalisation and images with their channels last bring along."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(
            device, memory_format=torch.channels_last
        )
        optimizers.leave_compiler_out()  # seconds of importing
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.step = 0

    def train(self) -> None:
        self.optimizer.zero_grad()
        self.model(torch.randn(2, 3, 8, 8, device=self.device)).square().mean().backward()
        self.optimizer.step()
        self.step += 1

    def state(self) -> State:
        return {
            "step": self.step,
            "epoch": 0,
            "metrics": {},
            "edits": [],
            "log": 0,
            "best": {"step": 1},
            "model": self.model.state_dict(),
            "update": self.optimizer.state_dict(),
            "random": checkpoint.random_state(self.device),
        }


GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_the_held_best_is_itself_to_the_bit_and_not_on_the_device(tmp_path: Path, device: str) -> None:
    folder, run = RunFolder(tmp_path), Small(device)
    folder.checkpoint_folder.mkdir()
    events = Events(folder.path)
    keeper = CheckpointManager(folder, events, lambda: None, keep=3)
    run.train()
    best = copy.deepcopy(run.state())
    keeper.hold(run.state())
    run.train()
    held = keeper.best(1)
    assert all(tensor.device.type == "cpu" for tensor in tensors(held))
    keeper.save(run.state())
    events.close()
    for state in (held, checkpoint.read(folder.checkpoint(1))):
        mine, theirs = tensors(state), tensors(best)
        assert len(mine) == len(theirs)
        assert all(one.equal(other.cpu()) for one, other in zip(mine, theirs, strict=True))
        assert [one.stride() for one in mine] == [other.stride() for other in theirs]
        assert state["model"]._metadata == best["model"]._metadata


def tensors(value: Any) -> list[Tensor]:
    """All of a state's, in order."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def test_a_large_model_is_not_saved_so_often_that_it_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that takes 3 s, every 5 s, would take a third of the time."""
    clock, seconds = 100.0, 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock)
    folder, run = RunFolder(tmp_path), Small("cpu")
    folder.checkpoint_folder.mkdir()

    def flush() -> None:
        nonlocal clock
        clock += seconds

    events = Events(folder.path)
    keeper = CheckpointManager(folder, events, flush, keep=3)
    for took, rest in ((0.1, 5.0), (3.0, 60.0)):
        seconds = took
        keeper.save(run.state())
        saved_at = clock
        clock = saved_at + rest - 0.1
        assert not keeper.rested()
        clock = saved_at + rest
        assert keeper.rested()
    events.close()
