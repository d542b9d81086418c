"""How a command ends: from whatever was raised to one clean message and an exit code."""

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from engine.errors import DescentError, ExitCode
from engine.texts import clean

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_READER_GONE = 1  # as for any tool whose output nobody reads to the end: `descent presets list | head -1`


def end(command: Callable[[], Any], *, as_json: bool) -> int:
    """Run `command`; its exit code. Everything that it raises becomes a message on stderr.

    With `as_json`, a failure also prints one JSON object on stdout: {"error": text, "exit_code": n}.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without UTF-8 shows \xd7 for ×, and does not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(command, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more as it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _READER_GONE
    return code


def _run(command: Callable[[], Any], *, as_json: bool) -> int:
    from typer import Abort, BadParameter

    try:
        code = command()
        return code if isinstance(code, int) else ExitCode.DONE
    except BrokenPipeError:
        raise
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.DONE
    except (KeyboardInterrupt, Abort):
        return _failed("interrupted", ExitCode.INTERRUPTED, as_json)
    except Exception as error:
        # Typer keeps its copy of click to itself; the base of its public error is click's UsageError.
        if isinstance(error, BadParameter.__base__ or BadParameter):
            return _wrong_use(error, as_json)
        return _failed(*_verdict(error), as_json)


def _verdict(error: Exception) -> tuple[str, ExitCode]:
    """What went wrong, in words, and whose fault that is."""
    match error:
        case DescentError():
            return str(error), error.exit_code
        case MemoryError():
            return "out of memory", ExitCode.CANNOT_GO_ON
        case OSError() if error.errno in _DISK_FULL:
            return f"no space left: {error.filename or 'the disk is full'}", ExitCode.CANNOT_GO_ON
        case _:
            return _bug(error), ExitCode.BUG


def _failed(text: str, code: ExitCode, as_json: bool) -> int:
    text = "\n".join(clean(line) for line in text.splitlines())
    print(f"descent: {text}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": text, "exit_code": int(code)}))
    return code


def _wrong_use(error: Any, as_json: bool) -> int:
    """Typer's own words: usage, the wrong option, the likely meant one."""
    error.show()
    if as_json:
        print(json.dumps({"error": error.format_message(), "exit_code": int(ExitCode.WRONG_USE)}))
    return ExitCode.WRONG_USE


def _bug(error: Exception) -> str:
    """Keep the traceback in the user's state; the line that says where."""
    from engine.places import made_state_dir

    text = f"this is a bug in Descent: {type(error).__name__}: {error}"
    report = f"{' '.join(sys.argv)}\n{''.join(traceback.format_exception(error))}"
    try:
        log = made_state_dir() / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        log.write_text(report, encoding="utf-8", errors="backslashreplace")
    except OSError:
        sys.stderr.write(report)
        return text
    return f"{text}\nThe details are in {log}"
