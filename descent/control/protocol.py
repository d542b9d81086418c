"""What the two sides say: the commands, how a line is written and understood, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

from descent.common.errors import CannotGoOnError, DescentError

Answer = dict[str, Any]

COMMANDS = ("pause", "resume", "step", "set", "checkpoint", "evaluate", "picture", "extend", "rewind", "stop")

LONGEST_LINE = 64 * 1024  # bytes; the longest command has a few hundred
DEEPEST = 4  # levels of lists and objects: what the server's thread parses, a deeper stack writes into the log


class RefusedError(DescentError):
    """The worker's answer to a command that it can't follow; the text says why."""


class NotRunningError(DescentError):
    """A command to a run that nobody is training."""


# --- a command: a line to the worker ---------------------------------------------------------------------


def line_of(command: str, arguments: dict[str, Any] | None) -> bytes:
    """The line that gives a command."""
    return json.dumps({"command": command, "arguments": arguments or {}}).encode() + b"\n"


class _OutOfRangeError(ValueError):
    """A number that 64 bits, or JSON, can't hold."""


def parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    """The command in a line, and its arguments. ValueError that says why there is none."""
    try:
        message = json.loads(line, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except _OutOfRangeError:
        raise
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("command"), str):
        raise ValueError('a command is an object such as {"command": "pause"}')
    arguments = message.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError('"arguments" is an object')
    if not _is_shallow(arguments, DEEPEST):
        raise ValueError(f'"arguments" has at most {DEEPEST} levels of lists and objects')
    return message["command"], arguments


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise _OutOfRangeError("a whole number must fit into 64 bits")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _OutOfRangeError("a number must be finite")
    return value


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


# --- an answer: a line from the worker -------------------------------------------------------------------


def refusal(command: str | None, error: str) -> Answer:
    """The answer of a worker that can't follow, or has not understood, a command."""
    return {"command": command, "ok": False, "error": error}


def understood(run: Path, command: str, line: bytes) -> Answer:
    """The answer in a line from the worker; RefusedError where it is a refusal."""
    if not line.endswith(b"\n"):
        raise CannotGoOnError(f"{run.name}: the worker ended before it answered {command}")
    answer: Answer = json.loads(line)
    if not answer.get("ok"):
        raise RefusedError(f"{run.name}: {command}: {answer.get('error')}")
    return answer
