"""Real processes for tests: `descent` as a user starts it, and waiting for things to happen."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DESCENT = [sys.executable, "-m", "descent"]
DEADLINE = 240.0  # seconds after which a test gives up; no measure of anything


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` returns something true; that."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"waited {DEADLINE:.0f} s for {what}")


def fork(action: Callable[[], int]) -> int:
    """Run `action` in a forked process, which exits with what it returns; the process's id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def reopen_streams() -> None:
    """In a forked process: Python's own streams on the descriptors 0, 1 and 2, instead of pytest's."""
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the rest of this process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115


@dataclass
class Done:
    """How a `descent` ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The object on the last line of stdout."""
        found = json.loads(self.out.splitlines()[-1])
        assert isinstance(found, dict)
        return found

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass
class Child:
    """A `descent` in a forked process: real signals, descriptors and exit codes, without loading torch anew."""

    words: Sequence[str]
    folder: Path  # for what it prints
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: int | None = None  # a descriptor, instead of a file
    prepare: Callable[[], object] = lambda: None
    pid: int = 0
    _code: int | None = None

    def start(self) -> "Child":
        self.pid = fork(self._run)
        return self

    def _run(self) -> int:
        from engine import cli

        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if self.stdout is not None:
            os.dup2(self.stdout, 1)
        reopen_streams()
        if self.cwd is not None:
            os.chdir(self.cwd)
        os.environ.update(self.environment)
        self.prepare()
        return cli.main(self.words)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def has_ended(self) -> bool:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is not None

    def printed(self) -> str:
        return (self.folder / "out").read_text()

    def end(self) -> Done:
        """Wait for its end."""
        try:
            until(self.has_ended, f"the end of descent {' '.join(self.words)}")
        except AssertionError:
            self.send(signal.SIGKILL)
            raise
        assert self._code is not None
        return Done(self._code, self.printed(), (self.folder / "err").read_text())


def process(words: Sequence[str], **options: Any) -> Done:
    """`descent` in a process of its own, to its end."""
    command = [*DESCENT, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def kill(child: Child) -> None:
    if not child.has_ended():
        child.send(signal.SIGKILL)
        until(child.has_ended, "the end of a killed process")


# A model that stands still in its 25th step for as long as there is a file called `gate`.
HELD = """
import math, time
from pathlib import Path
import torch

class Net(torch.nn.Module):
    def __init__(self, input_shape, outputs, gate):
        super().__init__()
        self.linear = torch.nn.Linear(math.prod(input_shape), outputs)
        self.gate, self.calls = Path(gate), 0

    def forward(self, x):
        self.calls += self.training
        while self.training and self.calls == 25 and self.gate.exists():
            self.gate.with_name("reached").touch()
            time.sleep(0.005)
        return self.linear(x.flatten(1))
"""
PRESET = """
[data]
name = "digits"
size = 400
[model]
code = "{code}"
{arguments}
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 10
batch_size = 32
threads = 1
statistics_every = 10
"""


class Held:
    """A preset whose training stands still in its 25th step, until it is released."""

    def __init__(self, folder: Path) -> None:
        self._gate, self._reached = folder / "gate", folder / "reached"
        self._gate.touch()
        (folder / "held.py").write_text(HELD)
        arguments = f'arguments = {{ gate = "{self._gate}" }}'
        (folder / "held.toml").write_text(PRESET.format(code="held.py:Net", arguments=arguments))
        self.start = ("run", "held.toml", "--allow-code", "--id", "mine")

    def wait(self) -> None:
        until(self._reached.exists, "the 25th step")

    def release(self) -> None:
        self._gate.unlink()
