"""Training scripts of one's own for tests, run in forked processes that have PyTorch loaded."""

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from descent import control
from descent.loop import script as unchanged
from descent.loop.folder import make
from descent.run.folder import RunFolder
from tests.helpers.processes import fork, reopen_streams
from tests.helpers.waiting import wait_for

# Dropout, noise drawn for each sample, a schedule and an average of the weights: all that a resume can lose.
TASK = """
import os, sys, torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

class Noisy(Dataset):
    def __init__(self):
        self.x = torch.randn(96, 4)
    def __len__(self):
        return 96
    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(4), (self.x[i].sum() > 0).long()

torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
loader = DataLoader(Noisy(), batch_size=16, shuffle=True, num_workers=int(os.environ.get("WORKERS", "0")))

def turn(x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    ema.update_parameters(model)
    return loss

def done():
    torch.save([model.state_dict(), ema.state_dict(), scheduler.last_epoch], "ended.pt")
"""
PLAIN = f"""{TASK}
for epoch in range(5):
    for x, y in loader:
        turn(x, y)
done()
"""
DRIVEN = f"""{TASK}
import descent
run = descent.init("driven", id="driven", runs_dir="runs", statistics_every=2)
run.watch(model, optimizer).track(scheduler=scheduler, ema=ema)
for x, y in run.batches(loader, epochs=5):
    turn(x, y)
    # MORE
done()
"""


@dataclass
class Script:
    """A training script in a folder of its own. `ended.pt` there is what it has come to."""

    folder: Path
    pid: int = 0
    code: int | None = None

    def start(self, text: str, *arguments: str, watched: bool = False, workers: int = 0) -> "Script":
        """Run it in a forked process. watched: unchanged, as `descent run` does."""
        import torch._dynamo  # noqa: F401 - seconds, that the first optimizer of each fork would take anew

        self.folder.mkdir(exist_ok=True)
        (self.folder / "train.py").write_text(text)
        (self.folder / "ended.pt").unlink(missing_ok=True)
        self.code = None
        self.pid = fork(lambda: self._run(arguments, watched=watched, workers=workers))
        return self

    def go_on(self, words: Sequence[str]) -> "Script":
        """Start the script of a run that has a folder. words: those of `python -m descent.loop.script`."""
        (self.folder / "ended.pt").unlink(missing_ok=True)
        self.code = None
        self.pid = fork(lambda: self._in_folder(lambda: unchanged.main(*words)))
        return self

    def _run(self, arguments: tuple[str, ...], *, watched: bool, workers: int) -> int:
        os.environ["WORKERS"] = str(workers)

        def watch() -> int:
            start = {"script": "train.py", "arguments": [], "command": ["train.py"], "folder": str(self.folder)}
            folder = make("train", "driven", Path("runs"), start)
            return unchanged.main(str(folder.path), "train.py", *arguments)

        return self._in_folder(watch if watched else lambda: _as_python_does(arguments))

    def _in_folder(self, run: Callable[[], int]) -> int:
        os.chdir(self.folder)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        reopen_streams()
        code = run()
        from descent.loop import start as loop_start

        loop_start.end_current()  # as the end of a process does
        sys.stdout.flush()
        return code

    def has_ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def end(self) -> "Script":
        wait_for(self.has_ended, "the end of the script")
        return self

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder / "runs" / "driven")

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def result(self) -> list[object]:
        assert self.code == 0, self.err
        found = torch.load(self.folder / "ended.pt")
        assert isinstance(found, list)
        return found


def send(script: Script, command: str, **arguments: Any) -> dict[str, Any]:
    """Give a command to the run of a script, once it listens."""
    wait_for((script.run.path / "control.sock").exists, "the run's socket")
    return control.send(script.run.path, command, arguments)


def held(script: Script, text: str = DRIVEN, *, watched: bool = False) -> Script:
    """Start a driven script, which waits for a command, and pause it before its first step.

    Started once more, it does not wait.
    """
    waits = "import time\nwhile run._queue.is_empty and not os.path.exists('waited'): time.sleep(0.005)\n"
    waits += "open('waited', 'w').close()\n"
    script.start(text.replace("for x, y in run.", f"{waits}for x, y in run."), watched=watched)
    send(script, "pause")
    return script


def _as_python_does(arguments: tuple[str, ...]) -> int:
    sys.argv = ["train.py", *arguments]
    try:
        runpy.run_path("train.py", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def same(left: object, right: object) -> bool:
    """Whether two results are equal to the bit."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return left == right


Made = Callable[[str], Script]
