"""The process that runs a learner's file: it loads the file, calls its functions and answers on a socket.

    python -P -m engine.labs.sandbox.process DESCRIPTOR FILE NAME MEMORY CPU_SECONDS AGREED

FILE may be "". The process then reads data, and runs no code of the learner's. AGREED is the SHA-256 of the file as
it may run. Requests and answers are JSON objects,
one a line. The other side watches the time and ends this process when it is up. What keeps it from the machine is set
up before: see engine.labs.sandbox.enclosure. The limits set here are those that begin when PyTorch is loaded.
"""

import importlib
import json
import linecache
import re
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

import torch

from descent import child
from descent.common.errors import DescentError
from descent.common.machine import die_with_parent
from engine.labs.sandbox.objects import Bench, as_array, facts, splits
from engine.labs.sandbox.observer import observe
from engine.labs.sandbox.wire import Marked, WireError, decode, encode
from engine.preset import consent
from engine.training import optimizers

LARGEST_REPLY = 1 << 28  # bytes of one answer
_STARTS = ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "subprocess.Popen")

Request = dict[str, Any]
Answer = dict[str, Any]


class _ProcessStartedError(BaseException):
    """The learner's code tried to start another process."""


_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (SyntaxError, "syntax"),
    (_ProcessStartedError, "process"),
    (SystemExit, "exit"),
    (KeyboardInterrupt, "interrupt"),
    (RecursionError, "recursion"),
    ((MemoryError, torch.OutOfMemoryError), "memory"),
    (EOFError, "keyboard"),
)


class LearnerFile:
    """The learner's file, as a module."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._lines: list[str] = []
        self._module: ModuleType | None = None

    def load(self) -> None:
        """Run the file. Raises whatever the file raises, and DescentError if nobody has agreed to it."""
        source = self._path.read_bytes()
        consent.require(self._path, source)
        self._lines = source.decode("utf-8", "replace").splitlines()
        linecache.cache[self._name] = len(source), None, [f"{line}\n" for line in self._lines], self._name
        module = ModuleType("learner")
        module.__file__ = str(self._path)
        sys.modules["learner"] = module  # dataclasses look up their module
        self._module = module
        exec(compile(source, self._name, "exec"), module.__dict__)

    def functions(self) -> list[str]:
        """Return the names of what the file itself defines and can be called."""
        there = vars(self._module) if self._module is not None else {}
        return [
            key for key, value in there.items() if callable(value) and getattr(value, "__module__", "") == "learner"
        ]

    def find(self, name: str) -> Callable[..., Any] | None:
        function = getattr(self._module, name, None)
        return function if callable(function) else None

    def place(self, error: BaseException) -> tuple[int | None, str]:
        """Return the number and the text of the learner's own line that raised `error`."""
        if isinstance(error, SyntaxError) and error.filename == self._name:
            return error.lineno, (error.text or self._line(error.lineno)).strip()
        own = [line for frame, line in traceback.walk_tb(error.__traceback__) if self._is_own(frame)]
        return (own[-1], self._line(own[-1])) if own else (None, "")

    def where(self, frame: FrameType | None) -> tuple[int, str] | None:
        """Return the number and the text of the learner's own line that a frame was called from, or None."""
        while frame is not None and not self._is_own(frame):
            frame = frame.f_back
        return None if frame is None else (frame.f_lineno, self._line(frame.f_lineno))

    def _is_own(self, frame: Any) -> bool:
        return bool(frame.f_code.co_filename == self._name)

    def _line(self, number: int | None) -> str:
        return self._lines[number - 1].strip() if number and number <= len(self._lines) else ""


class Session:
    """Answers requests."""

    def __init__(self, file: LearnerFile | None) -> None:
        self._file, self._bench = file, Bench(None)

    def answer(self, request: Request) -> Answer:
        """Return {"value": …}, or {"error": {"kind": …, …}}."""
        try:
            return {"value": encode(self._done(request), as_array)}
        except WireError as error:
            return _error("unreadable", message=str(error))
        except DescentError as error:
            return _error("descent", message=str(error), exit_code=int(error.exit_code))
        except BaseException as error:
            return self._explained(error)

    def _done(self, request: Request) -> Any:
        match request["do"]:
            case "load":
                self._own().load()
                result: Any = None
            case "begin":
                torch.manual_seed(0)
                self._bench = Bench(request["context"])
                result = None
            case "has":
                result = self._own().find(request["name"]) is not None
            case "call":
                result = self._call(request["name"], request["arguments"])
            case "observe":
                function, arguments = self._function(request["name"]), request["arguments"]
                result = observe(function, [self._decoded(value) for value in arguments], self._own().where)
            case "data":
                result = splits(**request["of"])
            case "facts":
                result = facts(**request["of"])
            case other:
                result = self._bench.do(str(other), [self._decoded(value) for value in request["arguments"]])
        return result

    def _own(self) -> LearnerFile:
        assert self._file is not None
        return self._file

    def _call(self, name: str, arguments: list[Any]) -> Any:
        return self._function(name)(*[self._decoded(value) for value in arguments])

    def _function(self, name: str) -> Callable[..., Any]:
        function = self._own().find(name)
        if function is None:
            raise LookupError(name)
        return function

    def _decoded(self, value: Any) -> Any:
        return decode(value, _tensor, self._bench.resolve)

    def _explained(self, error: BaseException) -> Answer:
        line, code = self._file.place(error) if self._file is not None else (None, "")
        if isinstance(error, LookupError) and type(error) is LookupError and line is None and self._file:
            return _error("missing", name=str(error), there=self._file.functions())
        taken = child.taken_name(error)
        return _error(
            _kind(error) if taken is None else "taken",
            type=type(error).__name__,
            message=_message(error)[:500],
            line=line,
            code=code[:200],
            module=taken and taken.name,
        )


def _kind(error: BaseException) -> str:
    if isinstance(error, RuntimeError) and "can't allocate memory" in _message(error):
        return "memory"  # torch, on the CPU
    return next((kind for types, kind in _KINDS if isinstance(error, types)), "raised")


def _message(error: BaseException) -> str:
    try:
        return error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:  # raised by a __str__ of the learner's
        return ""


def _error(kind: str, **values: Any) -> Answer:
    return {"error": {"kind": kind, **values}}


def _tensor(marked: Marked) -> torch.Tensor:
    found = torch.from_numpy(marked.array)
    return found.to(getattr(torch, marked.dtype)) if found.is_floating_point() else found


def _limit(memory: int, cpu_seconds: int) -> None:
    """Limit memory and time. memory: bytes in addition to what this process has already.

    The limit of memory is RLIMIT_DATA, not RLIMIT_AS, because CUDA reserves far more addresses than there is memory.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData")) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory, used + memory))
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    limit = int(spent) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))


def _refuse_processes(event: str, _: Any) -> None:
    if event in _STARTS:
        raise _ProcessStartedError


def main(descriptor: str, file: str, name: str, memory: str, cpu_seconds: str, agreed: str) -> NoReturn:
    """Answer requests until there are no more."""
    import socket

    die_with_parent()
    consent.agree_for_now(agreed)
    talk = socket.socket(fileno=int(descriptor))
    talk.set_inheritable(False)
    optimizers.leave_compiler_out()
    torch.set_num_threads(1)
    if file and re.search(rb"\boptim\b", Path(file).read_bytes()):
        # An optimizer's first step loads it. That takes seconds, which must not count as the learner's.
        importlib.import_module("torch._dynamo")
    session = Session(LearnerFile(Path(file), name) if file else None)
    if file:
        _limit(int(memory), int(cpu_seconds))
        sys.addaudithook(_refuse_processes)
    _send(talk, {"value": "ready", "to": ""})
    for line in talk.makefile("rb"):
        request = json.loads(line)
        _send(talk, {**session.answer(request), "to": request["to"]})
    sys.exit(0)


def _send(talk: Any, answer: Answer) -> None:
    text = json.dumps(answer).encode()
    if len(text) > LARGEST_REPLY:
        text = json.dumps({**_error("large", megabytes=len(text) >> 20), "to": answer["to"]}).encode()
    talk.sendall(text + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
