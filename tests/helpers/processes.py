"""Real processes for tests: `descent` as a user starts it, and forks that need not load PyTorch anew."""

import atexit
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers.waiting import DEADLINE, wait_for

DESCENT = [sys.executable, "-m", "descent"]


def fork(action: Callable[[], int]) -> int:
    """Run `action` in a forked process, which exits with what it returns; the process's id.

    At its end it does what it has registered with atexit, and not what pytest has.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 99
        atexit._clear()
        try:
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()
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
            wait_for(self.has_ended, f"the end of descent {' '.join(self.words)}")
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
        wait_for(child.has_ended, "the end of a killed process")
