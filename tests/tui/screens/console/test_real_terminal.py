"""From a shell to a stopped run in a real terminal: what was done by keys must be in the run's log."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from tests.helpers.live_console import LONG, commands
from tests.helpers.tmux import Terminal, terminal
from tests.helpers.waiting import DEADLINE, wait_for

__all__ = ["terminal"]  # a fixture

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@pytest.mark.slow
def test_a_run_is_opened_from_home_steered_stopped_and_left(tmp_path: Path, terminal: Terminal) -> None:
    settings = [word for setting in LONG for word in ("--set", setting)]
    descent = [sys.executable, "-m", "descent"]
    started = subprocess.run(
        [*descent, "run", "digits-mlp", "--detach", "--id", "mine", *settings],
        cwd=tmp_path,
        check=True,
        timeout=DEADLINE,
    )
    assert started.returncode == 0
    run = RunFolder(tmp_path / "runs" / "mine")
    terminal.start(descent, tmp_path)
    terminal.wait_for("mine")
    terminal.wait_for("enter")
    terminal.press("Enter")
    terminal.wait_for("space pause")
    terminal.press("Space")
    terminal.wait_for("paused at step")
    terminal.press(".")
    terminal.wait_for("one step, now at step")
    terminal.press("-")
    terminal.wait_for("→ 0.0707 from step")
    terminal.press("x")
    terminal.wait_for("save now and stop")
    terminal.press("s")
    terminal.wait_for("stopped at step")
    wait_for(lambda: run.state() == "stopped", "the run's end")
    terminal.press("Escape")
    terminal.wait_for("find a run, lab or preset")
    terminal.press("C-q")
    wait_for(lambda: "find a run" not in terminal.screen(), "the shell")
    assert commands(run) == [
        ("pause", {}),
        ("step", {"steps": 1}),
        ("set", {"edits": ["lr_scale=0.7071"]}),
        ("stop", {"how": "now"}),
    ]
    assert run.checkpoints()[-1] > 0
