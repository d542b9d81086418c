"""The end of a command: whatever it raised becomes one clean message and an exit code."""

import contextlib
import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.files import DISK_FULL
from descent.common.i18n import _


def end(command: Callable[[], Any], *, as_json: bool) -> int:
    """Run `command` and return its exit code. Everything that it raises becomes a message on stderr.

    With `as_json`, a failure also prints one JSON object on stdout: {"error": text, "exit_code": n}.
    """
    _open_streams()
    return _flushed(_run(command, as_json=as_json))


def _open_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr (`>&-`) an empty stream instead."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # open takes the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without UTF-8 shows \xd7 for ×, and does not end a run
            stream.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    """Flush all output and return the exit code.

    Python would flush later by itself, and complain where that fails.
    """
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError as error:
            stdio.discard(descriptor)
            if error.errno in DISK_FULL and code == ExitCode.DONE:
                code = _failed(_("no space left for the output"), ExitCode.CANNOT_GO_ON, as_json=False)
    return code


def _run(command: Callable[[], Any], *, as_json: bool) -> int:
    from typer import Abort, BadParameter

    try:
        code = command()
    except BrokenPipeError:
        code = _reader_gone()
    except SystemExit as error:
        # Typer's own answer to a reader that is gone is exit code 1.
        code = _reader_gone() if isinstance(error.__context__, BrokenPipeError) else error.code
    except (KeyboardInterrupt, Abort):
        return _failed(_("interrupted"), ExitCode.INTERRUPTED, as_json)
    except Exception as error:
        # Typer keeps its copy of click to itself; the base of its public error is click's UsageError.
        if isinstance(error, BadParameter.__base__ or BadParameter):
            return _wrong_use(error, as_json)
        return _failed(*_verdict(error), as_json)
    return code if isinstance(code, int) else ExitCode.DONE


def _reader_gone() -> int:
    """Drop the rest of the output.

    A reader that stops early, as in `descent presets list | head -1`, is no failure.
    """
    stdio.discard(1)
    return ExitCode.DONE


def _verdict(error: Exception) -> tuple[str, ExitCode]:
    """Return what went wrong, in words, and the exit code for it."""
    match error:
        case DescentError():
            return str(error), error.exit_code
        case MemoryError():
            return _("out of memory"), ExitCode.CANNOT_GO_ON
        case OSError() if error.errno in DISK_FULL:
            if error.filename:
                text = _(
                    "{file} can't be written: the disk is full; free some space, then try again", file=error.filename
                )
                return text, ExitCode.CANNOT_GO_ON
            return _("the disk is full; free some space, then try again"), ExitCode.CANNOT_GO_ON
        case _:
            return _bug(error), ExitCode.BUG


def _failed(text: str, code: ExitCode, as_json: bool) -> int:
    stdio.complain(text)
    if as_json:
        stdio.say(json.dumps({"error": stdio.lines(text), "exit_code": int(code)}))
    return code


def _wrong_use(error: Any, as_json: bool) -> int:
    """Show Typer's own message: usage, the wrong option, the likely meant one."""
    with contextlib.suppress(OSError):
        error.show()
    if as_json:
        stdio.say(json.dumps({"error": error.format_message(), "exit_code": int(ExitCode.WRONG_USE)}))
    return ExitCode.WRONG_USE


def _bug(error: Exception) -> str:
    """Keep the traceback in the user's state directory, and return the message that says where."""
    from descent.common.paths import made_state_dir

    text = _("this is a bug in Descent: {kind}: {error}", kind=type(error).__name__, error=error)
    report = f"{' '.join(sys.argv)}\n{''.join(traceback.format_exception(error))}"
    try:
        log = made_state_dir() / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        log.write_text(report, encoding="utf-8", errors="backslashreplace")
    except OSError:
        sys.stderr.write(report)
        return text
    return "\n".join([text, _("The details are in {file}", file=log)])
