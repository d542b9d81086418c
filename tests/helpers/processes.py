"""Real processes for tests: `descent` as a user starts it, and forks that need not load PyTorch anew."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import IO, Any

import pytest

from tests.helpers.waiting import DEADLINE, wait_for

DESCENT = [sys.executable, "-m", "descent"]
_HIGHEST = 4096  # descriptors that a test may have open
_OWN_HANDLERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)  # which a new program would not have


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


def fork_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a grading starts is forked from now on, and so is the grader itself."""
    from engine.labs import graded_runs, grader
    from engine.labs.sandbox import client
    from engine.training import worker  # noqa: F401 - loaded once here, not in each fork

    fork_from(monkeypatch, grader, graded_runs, client)
