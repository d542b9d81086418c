"""What a line to a worker may say: an object of a command and its arguments, in values that any reader can hold."""

import json
import math
from typing import Any

LONGEST_LINE = 64 * 1024  # bytes; the longest command has a few hundred
DEEPEST = 4  # levels of lists and objects: what the server's thread parses, a deeper stack writes into the log


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
