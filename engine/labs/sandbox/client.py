"""Runs the learner's code in a process of its own. Every call ends in time, with a value or a message."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from descent import warm
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.i18n import N_, _
from descent.common.text import clean, shorten
from engine.labs import messages
from engine.labs.messages import CheckError
from engine.labs.sandbox import enclosure
from engine.labs.sandbox.enclosure import Enclosure, Level
from engine.labs.sandbox.own_time import LEAST_SHARE, OwnTime
from engine.labs.sandbox.wire import WireError, decode, encode

_PROGRAM = "engine.labs.sandbox.process"
KEPT_OUTPUT = 4 << 10  # bytes of what the learner's code prints
_LARGEST_ANSWER = 1 << 29  # bytes
_CHUNK = 1 << 20
_OBSERVED = 3.0  # seconds that a second call may take, whose operations are watched
_SENTENCES = {
    "syntax": messages.SYNTAX,
    "exit": N_("{what} called exit(); code that is graded must return {place}"),
    "interrupt": N_("{what} raised KeyboardInterrupt {place}"),
    "recursion": N_("{what} calls itself without an end (RecursionError) {place}"),
    "keyboard": N_("{what} waits for the keyboard (input()), and nobody is there to type {place}"),
    "process": N_("{what} started another process; code that is graded must not {place}"),
    "unfilled": N_("{what} is not filled in yet: {error} {place}"),
    "taken": N_(
        "{what} raised {error} {place}: {module} is Descent's own package in this process, not your {module}.py; "
        "put what you need of yours into this file"
    ),
}
_RAISED = N_("{what} raised {error} {place}")


@dataclass(frozen=True)
class Limits:
    """Limits of the learner's code. seconds: for one call. total: seconds for one whole grading. memory: bytes."""

    seconds: float = 10.0
    total: float = 120.0
    memory: int = 4 << 30
    start: float = 120.0  # seconds to load PyTorch, which are not counted as the learner's


class Output:
    """Reads what a process prints, so that it never waits for a reader. The first KEPT_OUTPUT bytes are kept."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._dropped = 0

    def drain(self, stream: IO[bytes]) -> threading.Thread:
        """Read to the end, in a thread of its own."""
        thread = threading.Thread(target=self._drain, args=(stream,), daemon=True)
        thread.start()
        return thread

    def _drain(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            while piece := os.read(stream.fileno(), _CHUNK):
                room = max(0, KEPT_OUTPUT - len(self._kept))
                self._kept += piece[:room]
                self._dropped += len(piece) - len(piece[:room])

    def text(self) -> str:
        """Return what was printed, line by line, without control characters. A last line says if it was cut."""
        lines = self._kept.decode("utf-8", "replace").splitlines()
        if self._dropped:
            lines.append(_("… and {count:,} bytes more", count=self._dropped))
        return "\n".join(clean(line) for line in lines)


def _value_of(answer: dict[str, Any]) -> Any:
    """Return the value that came, if one did. Raises EOFError for what `encode` does not write: somebody else did."""
    try:
        return decode(answer["value"]) if "value" in answer else None
    except (WireError, ValueError, TypeError, KeyError, RecursionError):
        raise EOFError from None


def _is_error(error: dict[str, Any]) -> bool:
    """Return whether an error is one that messages can be made from."""
    there = error.get("there", [])
    return (
        all(isinstance(error.get(key), str | None) for key in ("kind", "message", "type", "code", "module", "name"))
        and all(isinstance(error.get(key), int | None) for key in ("line", "megabytes", "exit_code"))
        and (isinstance(there, list) and all(isinstance(name, str) for name in there))
    )


class Learner:
    """A process with the learner's file or, without one, with the preset's data.

    It starts at the first question, and starts again after it has died.
    """

    def __init__(
        self,
        file: Path | None,
        name: str,
        scratch: Path,
        limits: Limits | None = None,
        *,
        agreed: str = "",
        readable: Sequence[Path] = (),
        level: Level | None = None,
    ) -> None:
        """Describe the process.

        file: a copy that nobody edits. name: of the learner's file. scratch: a folder where its code may write files.
        agreed: the SHA-256 of the file as it may run. readable: what its code may read, beside `file`. level: the
        protection that it must run under, if not the strongest that begins at once.
        """
        self.output = Output()
        self._file, self._name, self._scratch = file, name, scratch
        self._limits = limits or Limits()
        self._agreed, self._readable, self._level = agreed, readable, level
        self._left = self._limits.total
        self._process: warm.Process | None = None
        self._talk: socket.socket | None = None
        self._drained: threading.Thread | None = None
        self._buffer = bytearray()
        self._ready = False
        self._asked_for = ""  # what the answer to the current request must repeat
        self._broken: CheckError | None = None  # why the file can't be loaded
        self._context: dict[str, Any] | None = None

    # --- what is asked ---

    def begin(self, context: dict[str, Any] | None) -> None:
        """Forget the objects of the previous check. context: see engine.labs.sandbox.objects.Bench."""
        self._context = context
        if self._ready:
            self._request({"do": "begin", "context": context}, self._name)

    def call(self, name: str, arguments: list[Any]) -> Any:
        """Return what the learner's function returns. Raises CheckError if it raises, or takes too long."""
        return self._asked({"do": "call", "name": name, "arguments": [encode(one) for one in arguments]}, name)

    def observe(self, name: str, arguments: list[Any]) -> Any:
        """Call the function once more and return what goes wrong on the way: see engine.labs.sandbox.observer.

        The time is not counted. Return nothing if it takes too long.
        """
        left, self._left = self._left, _OBSERVED
        try:
            arguments = [encode(one) for one in arguments]
            found = self._asked({"do": "observe", "name": name, "arguments": arguments}, name)
            return found if isinstance(found, dict) and all(isinstance(one, dict) for one in found.values()) else {}
        except DescentError:
            return {}
        finally:
            self._left = left

    def has(self, name: str) -> bool:
        """Return whether the file defines a function of that name."""
        return bool(self._asked({"do": "has", "name": name}, self._name))

    def ask(self, what: str, *arguments: Any) -> Any:
        """Return a fact about the objects of this check. what: a request of Bench.do, such as "state_of"."""
        return self._asked({"do": what, "arguments": [encode(one) for one in arguments]}, self._name)

    def data(self, **of: Any) -> Any:
        """Return the arrays of a split: see engine.labs.sandbox.objects.splits."""
        return self._asked({"do": "data", "of": of}, "data")

    def facts(self, **of: Any) -> Any:
        return self._asked({"do": "facts", "of": of}, "data")

    def _asked(self, request: dict[str, Any], what: str) -> Any:
        if self._broken is not None:
            raise self._broken
        self.start()
        self._prepare()
        return self._request(request, what)

    # --- the process ---

    def start(self) -> None:
        """Start the process, without waiting for it."""
        if self._process is not None or self._broken is not None:
            return
        ours, theirs = socket.socketpair()
        limits = [str(self._limits.memory), str(int(self._limits.total) + 5)]
        words = [_PROGRAM, str(theirs.fileno()), str(self._file or ""), self._name, *limits, self._agreed]
        more = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        if self._file is None:
            start = partial(warm.start, env={**os.environ, **more})
        else:
            start = partial(enclosure.start, self._enclosure(self._file), env=more)
        self._process = start(
            *words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            cwd=self._scratch,
        )
        theirs.close()
        assert self._process.stdout is not None
        self._drained = self.output.drain(self._process.stdout)
        self._talk, self._buffer, self._ready, self._asked_for = ours, bytearray(), False, ""

    def _enclosure(self, file: Path) -> Enclosure:
        readable = tuple(str(path) for path in (file, *self._readable))
        return Enclosure(str(self._scratch), readable=readable, level=self._level, gpu=True)

    def _prepare(self) -> None:
        """Wait until PyTorch is loaded, then load the file."""
        if self._ready:
            return
        assert self._process is not None
        try:
            self._read(OwnTime(self._process.pid), self._limits.start)
        except (TimeoutError, EOFError, OSError):
            self.end()
            raise CannotGoOnError(
                _("the process of {name} did not start: {error}", name=self._name, error=self.output.text()[-500:])
            ) from None
        self._ready = True
        if self._file is not None:
            try:
                self._request({"do": "load"}, self._name)
            except CheckError as error:
                self._broken = error
                raise
        self._request({"do": "begin", "context": self._context}, self._name)

    def _request(self, request: dict[str, Any], what: str) -> Any:
        assert self._process is not None
        spent = OwnTime(self._process.pid)
        limit = min(self._limits.seconds, self._left) if self._file is not None else self._limits.start
        if limit <= 0:
            raise CheckError(
                _(
                    "your code has used its {seconds:g} s for all checks together; this check was not looked at",
                    seconds=self._limits.total,
                )
            )
        try:
            self._asked_for = secrets.token_hex(8)
            self._send(json.dumps({**request, "to": self._asked_for}).encode() + b"\n", limit)
            answer = self._read(spent, limit)
            value = _value_of(answer)
        except TimeoutError:
            self.end()
            raise CheckError(
                _("{what} ran longer than {seconds:g} s and was ended", what=what, seconds=self._limits.seconds)
            ) from None
        except (EOFError, OSError):
            raise CheckError(
                _(
                    "{what} ended the whole process ({how}); code that is graded must return",
                    what=what,
                    how=self._how_it_ended(),
                )
            ) from None
        finally:
            self._left -= spent.seconds()
        if "error" in answer:
            raise self._explained(answer["error"], what)
        return value

    def _send(self, data: bytes, limit: float) -> None:
        assert self._talk is not None
        self._talk.settimeout(limit / LEAST_SHARE)
        self._talk.sendall(data)

    def _read(self, spent: OwnTime, limit: float) -> dict[str, Any]:
        """Return the next answer. Raises TimeoutError, or EOFError if the process has ended or answers nonsense."""
        assert self._talk is not None
        while b"\n" not in self._buffer[-_CHUNK:]:
            left = limit - spent.seconds()
            if left <= 0:
                raise TimeoutError
            self._talk.settimeout(left)
            try:
                piece = self._talk.recv(_CHUNK)
            except TimeoutError:
                continue  # unless its own time is over, too
            if not piece or len(self._buffer) > _LARGEST_ANSWER:
                raise EOFError
            self._buffer += piece
        line, _newline, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            raise EOFError from None
        if not isinstance(answer, dict) or answer.get("to") != self._asked_for or self._buffer:
            raise EOFError  # somebody else wrote it, or wrote ahead
        error = answer.get("error")
        if not ("value" in answer or (isinstance(error, dict) and _is_error(error))):
            raise EOFError
        return answer

    def _how_it_ended(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        self.end()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return _("exit code {code}", code=code) if code is not None else _("no answer")

    def end(self) -> None:
        """End the process and all processes of its group. The next question starts a new one."""
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert self._talk is not None
        self._talk.close()
        if self._drained is not None:
            self._drained.join(1.0)

    # --- what went wrong ---

    def _explained(self, error: dict[str, Any], what: str) -> Exception:
        kind, message = str(error.get("kind")), shorten(clean(str(error.get("message", ""))), 300)
        if kind == "descent":
            if self._file is not None:
                return CheckError(f"{what}: {message}")
            failed = DescentError(str(error["message"]))
            failed.exit_code = ExitCode(error["exit_code"])
            return failed
        found = self._sentence(error, what, kind, message)
        found.raised = error
        return found

    def _sentence(self, error: dict[str, Any], what: str, kind: str, message: str) -> CheckError:
        place = self._place(error)
        name = ": ".join(part for part in (str(error.get("type", "")), message) if part)
        match kind:
            case "missing":
                there = ", ".join(map(clean, error.get("there", []))) or "—"
                return CheckError(
                    _(
                        "{file} has no function {name}; it has {there}",
                        file=self._name,
                        name=error.get("name"),
                        there=there,
                    )
                )
            case "unreadable":
                return CheckError(_("{what} returned {value}, which can't be looked at", what=what, value=message))
            case "large":
                return CheckError(
                    _(
                        "{what} returned more than can be looked at ({megabytes:,} MB)",
                        what=what,
                        megabytes=error.get("megabytes", 0),
                    )
                )
            case "memory":
                gigabytes = self._limits.memory / (1 << 30)
                return CheckError(
                    _(
                        "{what} needed more memory than the {gigabytes:g} GB it may have {place}",
                        what=what,
                        gigabytes=gigabytes,
                        place=place,
                    )
                )
        if kind == "raised" and error.get("type") == "NotImplementedError":
            place = _(messages.PLACE, file=self._name, line=error.get("line"))
            name, kind = message, "unfilled"
        module = clean(str(error.get("module")))
        sentence = _(_SENTENCES.get(kind, _RAISED), what=what, error=name, place=place, module=module).strip()
        return CheckError(sentence) if kind in _SENTENCES else RaisedError(sentence)

    def _place(self, error: dict[str, Any]) -> str:
        line, code = error.get("line"), clean(str(error.get("code", "")))
        if line is None:
            return ""
        sentence = messages.PLACE_AND_CODE if code else messages.PLACE
        return _(sentence, file=self._name, line=line, code=code)


class RaisedError(CheckError):
    """The learner's code raised an exception."""
