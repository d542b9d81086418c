"""The protocol of both sides: the commands, how a line is written and read, and refusals."""

import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from descent.common.errors import CannotGoOnError, DescentError
from descent.common.i18n import _

Answer = dict[str, Any]

COMMANDS = ("pause", "resume", "step", "set", "checkpoint", "evaluate", "picture", "extend", "action",
            "rewind", "stop")  # fmt: skip
# Who gives a command: a person at a console or in a shell, a program through the handle, an assistant through MCP.
Giver = Literal["console", "shell", "program", "assistant"]
GIVERS: tuple[Giver, ...] = get_args(Giver)

LONGEST_LINE = 64 * 1024  # bytes; the longest command has a few hundred
DEEPEST = (
    4  # levels of lists and objects; the loop, whose stack is deeper than the server's, writes them into the log
)


class RefusedError(DescentError):
    """The worker's answer to a command that it can't follow. The text says why."""


class NotRunningError(DescentError):
    """A command was given to a run that no worker trains."""


# --- a command: a line to the worker ---------------------------------------------------------------------


class Given(NamedTuple):
    """A command as the worker has received it. given_by: None from a client that does not say who it is."""

    command: str
    arguments: dict[str, Any]
    given_by: str | None


def line_of(command: str, arguments: dict[str, Any] | None, given_by: Giver) -> bytes:
    """Return the line that gives a command to the worker."""
    frame = {"command": command, "arguments": arguments or {}, "given_by": given_by}
    return json.dumps(frame).encode() + b"\n"


class _OutOfRangeError(ValueError):
    """A number that 64 bits, or JSON, can't hold."""


def parsed(line: bytes) -> Given:
    """Return the command in a line. Raises ValueError, with the reason, if it holds none."""
    try:
        message = json.loads(line, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except _OutOfRangeError:
        raise
    except (ValueError, RecursionError):
        raise ValueError(_("not a line of JSON")) from None
    if not isinstance(message, dict) or not isinstance(message.get("command"), str):
        raise ValueError(_("a command must be an object such as {example}", example='{"command": "pause"}'))
    arguments = message.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ValueError(_('"arguments" must be an object'))
    if not _is_shallow(arguments, DEEPEST):
        raise ValueError(_('"arguments" may have at most {levels} levels of lists and objects', levels=DEEPEST))
    given_by = message.get("given_by")
    if given_by is not None and given_by not in GIVERS:
        raise ValueError(_('"given_by" must be one of {allowed}', allowed=", ".join(GIVERS)))
    return Given(message["command"], arguments, given_by)


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise _OutOfRangeError(_("a whole number must fit into 64 bits"))
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _OutOfRangeError(_("a number must be finite"))
    return value


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


# --- an answer: a line from the worker -------------------------------------------------------------------


def refusal(command: str | None, error: str) -> Answer:
    """Return the answer of a worker that can't follow a command, or can't read it."""
    return {"command": command, "ok": False, "error": error}


def too_late(command: str) -> Answer:
    """Return the answer to a command that came as the run ended. `ended` tells it from a refusal."""
    return refusal(command, _("the run has ended")) | {"ended": True}


def understood(run: Path, command: str, line: bytes) -> Answer:
    """Return the answer in a line from the worker.

    Raises RefusedError if it is a refusal, and NotRunningError if the run ended before it could follow.
    """
    if not line.endswith(b"\n"):
        raise CannotGoOnError(
            _("{run}: the worker ended before it answered {command}", run=run.name, command=command)
        )
    answer: Answer = json.loads(line)
    if not answer.get("ok"):
        kind = NotRunningError if answer.get("ended") else RefusedError
        raise kind(f"{run.name}: {command}: {answer.get('error')}")
    return answer
