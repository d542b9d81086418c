"""A terminal for tests: tmux draws what is written into it, and types."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.waiting import DEADLINE, wait_for


class Terminal:
    """A tmux of its own with one window."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=False, timeout=DEADLINE)
        return done.stdout

    def start(self, words: list[str], cwd: Path, session: str = "t") -> None:
        """A window of its own for a command; from now on it is the one that is typed into."""
        self._session = session
        environment = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", "NO_COLOR": ""}
        kept = {name: os.environ[name] for name in os.environ if name.startswith("XDG_")}
        given = [f"{name}={value}" for name, value in {**environment, **kept}.items()]
        command = shlex.join(["env", *given, *words])
        self.run("new-session", "-d", "-s", session, "-x", "120", "-y", "40", "-c", str(cwd), f"{command}; sleep 600")

    def screen(self) -> str:
        return self.run("capture-pane", "-p", "-t", self._session)

    def press(self, *keys: str) -> None:
        self.run("send-keys", "-t", self._session, *keys)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def wait_for(self, text: str) -> None:
        try:
            wait_for(lambda: text in self.screen(), text)
        except AssertionError:
            raise AssertionError(f"{text!r} never came; the screen:\n{self.screen()}") from None


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.run("kill-server")
