"""Processes that would load PyTorch, forked from the tests' own, which has loaded it: two seconds less for each."""

import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, Any

import pytest

from engine.labs import graded_runs, grading
from engine.labs.sandbox import client
from engine.launch import start
from engine.study import queue
from engine.training import worker  # noqa: F401 - loaded once here, not in each fork
from tests.helpers.processes import fork, reopen_streams

GRADER = (grading, graded_runs, client)
_HIGHEST = 4096  # descriptors that a test may have open
_OWN_HANDLERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)  # which a new program would not have


class Forked:
    """subprocess.Popen of `python -P -m MODULE …`, as far as Descent asks: the module is run in a fork."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int | IO[Any],
        stderr: int | IO[Any],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
        pass_fds: Sequence[int] = (),
        close_fds: bool = True,
        text: bool = False,
        errors: str | None = None,
    ) -> None:
        assert (stdin, close_fds) == (subprocess.DEVNULL, True)
        _, _, option, child, module, *arguments = command
        assert (option, child) == ("-m", "descent.child")
        reads: dict[str, int] = {}  # our ends of the pipes, by the stream's name

        def written(name: str, given: int | IO[Any]) -> int:
            if not isinstance(given, int):
                return given.fileno()
            assert given == subprocess.PIPE
            reads[name], end = os.pipe()
            return end

        out = written("stdout", stdout)
        err = out if stderr == subprocess.STDOUT else written("stderr", stderr)
        ends = {end for end, given in ((out, stdout), (err, stderr)) if given == subprocess.PIPE}

        def run() -> int:
            if start_new_session:
                os.setsid()
            for number in _OWN_HANDLERS:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
                os.dup2(descriptor, number)
            lowest = 3
            for kept in (*sorted(pass_fds), _HIGHEST):
                os.closerange(lowest, kept)
                lowest = kept + 1
            reopen_streams()
            sys.stdout.reconfigure(line_buffering=True)
            if env is not None:
                os.environ.clear()
                os.environ.update(env)
            if cwd is not None:
                os.chdir(cwd)
            return _run(module, arguments)

        self.pid = fork(run)
        for end in ends:
            os.close(end)
        mode, buffering = ("r", -1) if text else ("rb", 0)
        streams = {name: open(end, mode, buffering, errors=errors) for name, end in reads.items()}  # noqa: SIM115
        self.stdout, self.stderr = streams.get("stdout"), streams.get("stderr")
        self.returncode: int | None = None

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

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


def _run(module: str, arguments: Sequence[str]) -> int:
    """`python -m MODULE …` here; its exit code."""
    sys.argv = [module, *arguments]
    warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning, "runpy")
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def fork_from(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """What these modules start from now on is forked."""
    for module in modules:
        monkeypatch.setattr(module, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": Forked}))


@pytest.fixture
def forked_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a grading starts is forked, and so is the grader itself, instead of loading PyTorch anew."""
    fork_from(monkeypatch, *GRADER)


@pytest.fixture
def forked_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue's jobs are forked, instead of loading PyTorch anew."""
    fork_from(monkeypatch, queue)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers in the background are forked, instead of loading PyTorch anew."""
    fork_from(monkeypatch, start)
