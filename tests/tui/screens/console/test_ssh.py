"""Training is steered from afar: a link that drops costs neither the training nor what is seen of it afterwards."""

import shlex
import shutil
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from tests.helpers.live_console import commands
from tests.helpers.processes import DESCENT
from tests.helpers.sshd import Machine, machine
from tests.helpers.tmux import Terminal, terminal
from tests.helpers.waiting import wait_for

__all__ = ["machine", "terminal"]  # fixtures
pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

PRESET = """
title = "[red]long[/] \\u001b[2J\\u001b]0;owned\\u0007 run"
topic = "yours"
[data]
name = "digits"
size = 400
[model]
name = "mlp"
widths = [32]
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.01
[train]
epochs = 100000
evaluate_every = 500
threads = 1
statistics_every = 10
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def log_in(machine: Machine, terminal: Terminal, folder: Path, name: str, *words: str) -> tuple[int, int]:
    """Open the console over a new connection; the processes of the ssh client and of the console."""
    console = f"echo $$ > {name}.console; export LC_ALL=C.UTF-8; exec {shlex.join([*DESCENT, *words])}"
    login = shlex.join(machine.command(console, "-tt"))
    terminal.start(["sh", "-c", f"echo $$ > {name}.client; exec {login}"], folder, session=name)
    return tuple(int(_written(folder / f"{name}.{end}")) for end in ("client", "console"))  # type: ignore[return-value]


def _written(file: Path) -> str:
    return str(wait_for(lambda: file.exists() and file.read_text().strip(), f"{file.name}"))


@pytest.mark.slow
def test_started_and_steered_cut_off_and_found_again(
    machine: Machine, terminal: Terminal, tmp_path: Path, runs: Path
) -> None:
    (tmp_path / "long.toml").write_text(PRESET)
    client, console = log_in(machine, terminal, tmp_path, "first")
    terminal.wait_for("digits-mlp")
    terminal.press("/", "l", "o", "n", "g")
    terminal.wait_for("[red]long[/]")  # as it is in the file, and nothing of it obeyed
    terminal.wait_for("$ descent run long")
    terminal.press("Enter")
    wait_for(lambda: "esc show all" not in terminal.screen(), "the list, from which a second one starts")
    terminal.press("Enter")
    terminal.wait_for("space pause")
    (run,) = (RunFolder(folder) for folder in runs.iterdir() if (folder / "events.jsonl").exists())
    terminal.press("Space")
    terminal.wait_for("paused at step")
    terminal.press(".")
    terminal.wait_for("one step, now at step")
    terminal.press("Space")
    wait_for(lambda: run.state() == "running", "training")

    terminal.kill(client)
    wait_for(lambda: not Path(f"/proc/{console}").exists(), "the end of the console that was cut off")
    reached = len(Metrics(run.path))
    wait_for(lambda: len(Metrics(run.path)) > reached + 1000, "more steps without anybody there")
    assert run.state() == "running"

    _, console = log_in(machine, terminal, tmp_path, "second", "attach", run.id)
    terminal.wait_for("space pause")
    terminal.press("l", "l", "Home")  # the output, the log again, its beginning
    terminal.wait_for("you: 1 step")  # what was done over the first connection
    terminal.press("x")
    terminal.wait_for("save now and stop")
    terminal.press("s")
    terminal.wait_for("stopped at step")
    wait_for(lambda: run.state() == "stopped", "the run's end")
    terminal.press("C-q")
    wait_for(lambda: not Path(f"/proc/{console}").exists(), "the console's end")
    assert [name for name, _ in commands(run)] == ["pause", "step", "resume", "stop"]
    assert run.checkpoints()[-1] == len(Metrics(run.path))
