"""Runs on other machines: listed over a real sshd, and opened in the terminal where Home was."""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from tests.helpers.processes import DESCENT, process
from tests.helpers.sshd import Machine, machine
from tests.helpers.tmux import Terminal, terminal
from tests.helpers.waiting import wait_for

__all__ = ["machine", "terminal"]  # fixtures
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "there"


def test_a_run_on_a_host_is_listed_opened_and_steered(machine: Machine, terminal: Terminal, tmp_path: Path) -> None:
    """Who trains on three machines would look for a run on each of them."""
    words = ["run", "digits-mlp", "--id", "far", "--set", "train.epochs=1000000", "--detach", "--runs-dir", "there"]
    assert process(words, cwd=tmp_path).code == 0
    *login, name = machine.login
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(login)} "$@"\n')
    wrapper.chmod(0o755)
    home = {key: str(tmp_path / "here") for key in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    settings = tmp_path / "here" / "descent" / "settings.toml"
    settings.parent.mkdir(parents=True)
    hosts = [f"{name} {machine.environment}; export LC_ALL=C.UTF-8; descent", "nobody@127.0.0.1 descent"]
    settings.write_text(f"hosts = {json.dumps(hosts)}\n")
    home |= {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "DESCENT_RUNS": str(tmp_path / "none")}
    terminal.start(["env", *(f"{key}={value}" for key, value in home.items()), *DESCENT], tmp_path)

    terminal.wait_for("1 running")
    assert name in terminal.screen()
    terminal.wait_for("Permission denied")  # of the second host
    terminal.press("/", "far", "Enter")
    terminal.wait_for(f"on {name}")
    terminal.press("Enter")
    terminal.wait_for("pause")  # the key line of the console there
    terminal.press("Space")
    wait_for(lambda: RunFolder(tmp_path / "there" / "far").state() == "paused", "the run, paused from here")
    terminal.press("q")
    terminal.wait_for("leave Descent")
    terminal.press("q")
    terminal.wait_for("t order")  # the key line of Home
    terminal.wait_for("paused")  # it has asked again
