"""The grader's processes forked from the tests' own, which has loaded PyTorch: three loads less for each grading."""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from engine.labs import graded, learner
from tests.processes import fork, reopen_streams

_HIGHEST = 4096  # descriptors that a test may have open


class Forked:
    """subprocess.Popen of `python -P -m MODULE …`, as far as the grader asks: MODULE.main(…) in a fork."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int | IO[bytes],
        cwd: Path,
        env: Mapping[str, str],
        start_new_session: bool,
        pass_fds: Sequence[int] = (),
    ) -> None:
        assert (stdin, stdout, start_new_session) == (subprocess.DEVNULL, subprocess.PIPE, True)
        _, _, option, module, *arguments = command
        assert option == "-m"
        main = importlib.import_module(module).main
        read, write = os.pipe()
        errors = write if isinstance(stderr, int) else stderr.fileno()

        def run() -> int:
            os.setsid()
            for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), write, errors)):
                os.dup2(descriptor, number)
            lowest = 3
            for kept in (*sorted(pass_fds), _HIGHEST):
                os.closerange(lowest, kept)
                lowest = kept + 1
            reopen_streams()
            sys.stdout.reconfigure(line_buffering=True)
            os.environ.update(env)
            os.chdir(cwd)
            try:
                return int(main(*arguments))
            except SystemExit as leaving:
                return int(leaving.code or 0)

        self.pid = fork(run)
        os.close(write)
        self.stdout = open(read, "rb", buffering=0)  # noqa: SIM115 - the grader closes it
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("the forked process", timeout)
            time.sleep(0.002)
        assert self.returncode is not None
        return self.returncode


@pytest.fixture
def forked_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a grading starts is forked, instead of loading PyTorch anew."""
    for module in (graded, learner):
        monkeypatch.setattr(module, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": Forked}))
