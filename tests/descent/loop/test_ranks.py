"""A training in several processes must follow the commands of its rank 0 in all of them, at the same step."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent import control
from descent.common.errors import DescentError
from descent.control import RefusedError
from descent.loop.folder import refuse_several_processes, start_of
from descent.run.metrics import Metrics
from engine.launch import script as launch
from engine.launch.options import Options
from tests.helpers.loops import Script, same
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow

# As torchrun would start it: the arguments are the rank, the rendezvous, and "held" to wait for a command.
DDP = """
import os, sys, time, torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

rank = int(sys.argv[1])
os.environ.update(RANK=str(rank), WORLD_SIZE="2")
torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(96, 4)
data = TensorDataset(x, (x.sum(1) > 0).long())
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
import descent
run = descent.init("ddp", id="driven", runs_dir="runs", statistics_every=1)
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
model = DistributedDataParallel(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
loader = DataLoader(data, batch_size=8, sampler=DistributedSampler(data))
run.watch(model, optimizer).track(scheduler=scheduler)
run.on_evaluate(lambda: {"sum": sum_of_all()})

def sum_of_all():
    mine = torch.tensor(float(rank + 1))
    dist.all_reduce(mine)
    return mine

while "held" in sys.argv and rank == 0 and run._queue.is_empty:
    time.sleep(0.005)
for a, b in run.batches(loader, epochs=5):
    loss = nn.functional.cross_entropy(model(a), b)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    torch.save([model.module.state_dict(), run.step, scheduler.last_epoch], "ended.pt")
"""


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Any]:
    """`ranks(…)` starts the script on both ranks, each in a folder of its own."""
    made = [Script(tmp_path / name) for name in ("zero", "one")]
    starts = iter(range(9))

    def start(*words: str) -> list[Script]:
        meeting = str(tmp_path / f"meeting-{next(starts)}")
        for rank, one in enumerate(made):
            one.start(DDP, str(rank), meeting, *words)
        return made

    yield start
    for one in made:
        if one.pid and not one.has_ended():
            os.kill(one.pid, signal.SIGKILL)
            one.end()


def _send(script: Script, command: str, **arguments: Any) -> dict[str, Any]:
    wait_for(lambda: (script.run.path / "control.sock").exists() or script.has_ended(), "the run's socket")
    assert not script.has_ended(), script.err
    return control.send(script.run.path, command, arguments)


def _ended(scripts: list[Script]) -> list[list[Any]]:
    """What each rank has come to: the weights, its step and that of its schedule."""
    for one in scripts:
        one.end()
    return [torch.load(one.folder / "ended.pt") for one in scripts]


def test_commands_of_rank_0_reach_every_rank_at_the_same_step(ranks: Any) -> None:
    """The ranks would train with different rates, or one would wait for ever for another that has stopped."""
    zero, one = ranks("held")
    _send(zero, "pause")
    assert _send(zero, "step", steps=3)["step"] == 3
    _send(zero, "set", edits=["lr_scale=0"])
    before = torch.load(one.folder / "ended.pt")
    assert before[1] == 3
    _send(zero, "step", steps=2)
    _send(zero, "set", edits=["lr_scale=0.5"])
    assert _send(zero, "evaluate")["val_sum"] == 3.0  # which both ranks compute together
    with pytest.raises(RefusedError, match="the other process of this training can't go back with it"):
        _send(zero, "rewind", to=0)
    with pytest.raises(RefusedError, match="can't be changed"):
        _send(zero, "set", edits=["model.depth=2"])
    assert _send(zero, "extend", epochs=1)["total_steps"] == 36
    _send(zero, "step", steps=1)
    _send(zero, "stop")
    ended = _ended([zero, one])
    assert (zero.code, one.code) == (0, 0), zero.err + one.err
    assert same(ended[0], ended[1])
    assert ended[0][1] == 6
    assert [path.name for path in one.folder.iterdir() if path.name == "runs"] == []
    rates = Metrics(zero.run.path).column("lr")
    assert rates[3:5].tolist() == [0, 0]
    assert rates[5] == pytest.approx(0.005, rel=0.1)


def test_all_ranks_end_and_go_on_together(ranks: Any) -> None:
    """A batch system's warning would end one rank and leave the others hanging, and the work would be lost."""
    zero, one = ranks("held")
    _send(zero, "pause")
    _send(zero, "step", steps=8)
    for rank in (one, zero):
        os.kill(rank.pid, signal.SIGTERM)
    _ended([zero, one])
    assert (zero.code, one.code) == (128 + signal.SIGTERM,) * 2, zero.err + one.err
    assert zero.run.checkpoints()[-1] == 8
    ended = _ended(ranks())
    assert (zero.code, one.code) == (0, 0), zero.err + one.err
    assert same(ended[0], ended[1])
    assert zero.run.state() == "finished"
    losses = Metrics(zero.run.path).column("loss")
    assert len(losses) == ended[0][1] == 30
    assert np.isfinite(losses).all()
    assert Metrics(zero.run.path).column("layer.0.grad_norm")[1] > 0
    with pytest.raises(DescentError, match="driven trains in 2 processes"):
        launch.resume(zero.run, start_of(zero.run) or {}, Options(), detached=True)
    assert "2 processes" in zero.run.last("exact")["why_not"][0]  # type: ignore[index]


def test_a_script_that_begins_no_run_itself_is_refused_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process would make a run of its own, or wait for an answer that never comes."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DescentError, match=r"WORLD_SIZE = 2: .* begin the run in the script: descent\.init"):
        refuse_several_processes()
