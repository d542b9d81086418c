"""A run in this process: its worker under a display, and the result when it has ended."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common import stdio
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.i18n import N_, _
from descent.common.numbers import number, time_taken
from descent.common.signals import Signals
from descent.common.text import clean
from descent.run.folder import Claim, RunFolder, failed_at_start
from descent.run.remove import advice
from descent.run.results import summary
from engine.launch import loading
from engine.launch.display import Display
from engine.launch.options import Options

if TYPE_CHECKING:
    from engine.training.worker import Ending


_MEMBERS = 12  # or candidates, in the result at most
_LOG_LINES = 20  # last lines that the user's own code has printed, when its run is removed
_ENDED = {
    "finished": N_("finished at step {step:,} after {time} of training"),
    "stopped": N_("stopped at step {step:,} after {time} of training"),
    "failed": N_("failed at step {step:,} after {time} of training"),
}
Extra = Callable[[], tuple[dict[str, Any], str]]  # more for the JSON object, and a line of the result


def train(
    folder: RunFolder,
    name: str,
    root: Path,
    signals: Signals,
    options: Options,
    *,
    fresh: bool = False,
    code: Mapping[str, str] | None = None,
    extra: Extra | None = None,
) -> int:
    """Train in this process, under a display. Returns the exit code.

    fresh: whether to remove a run that fails before its first step. code: maps the run's copies of code to the user's
    files. extra: called when the run has ended, for more of the result. Raises DescentError if another worker has the
    run.
    """
    claim = Claim(folder)
    with stdio.sent_to(folder.output) as (out, err):
        display = Display(name, None if options.quiet else (err if options.as_json else out))
        signals.on_first = display.say_stopping
        signals.on_second = display.give_terminal_back
        display.say(_("run {run}", run=folder.id))
        display.start()
        try:
            worker = loading.worker()  # while the display is already shown
            ending: Ending = worker.work(claim, name, root, display, signals)
        except CannotGoOnError as no_torch:
            claim.events.state("failed", reason=str(no_torch))
            claim.release()
            if fresh:
                shutil.rmtree(folder.path, ignore_errors=True)
            raise
        finally:
            is_read = display.finish()
            signals.give_back()
    error = ending.error
    if error is not None:
        # An error in the user's code names the run's copy. The message shall name the user's own file.
        for copied, original in (code or {}).items():
            error = error.replace(copied, original)
        if fresh and _remove_unbegun(folder, code=bool(code)):
            failed = DescentError(error)
            failed.exit_code = ExitCode(ending.exit_code)
            raise failed
        stdio.complain(error, patient=is_read)
    ending = replace(ending, error=error)
    quiet = options.quiet or not (options.as_json or is_read)
    print_result(folder, ending, as_json=options.as_json, quiet=quiet, extra=extra)
    return ending.exit_code


def _remove_unbegun(folder: RunFolder, *, code: bool) -> bool:
    """Remove a run that failed before it kept a step of its own, so that its id is free for the next try.

    Returns whether it was removed.
    """
    if not failed_at_start("failed", summary(folder, "failed")["step"], folder.origin()):
        return False
    if code:  # print what the user's code has printed, because its log is removed with the folder
        printed = folder.output.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in printed[-_LOG_LINES:]:
            stdio.say(f"  | {clean(line)}", sys.stderr)
    shutil.rmtree(folder.path, ignore_errors=True)
    return True


def print_result(
    folder: RunFolder, ending: "Ending | None", *, as_json: bool, quiet: bool, extra: Extra | None = None
) -> None:
    """Print the result, for people or as one JSON object."""
    result = summary(folder, ending.state if ending is not None else None)
    if ending is not None and ending.error is not None:
        result["error"] = ending.error
    more, line = extra() if extra is not None else ({}, "")
    result |= more
    if as_json:
        stdio.say(json.dumps(result))
    elif not quiet:
        for said in [*_receipt(folder, result, ending), *([line] if line else [])]:
            stdio.say(said)


def _receipt(folder: RunFolder, result: dict[str, Any], ending: "Ending | None") -> list[str]:
    lines = [_(_ENDED[result["state"]], step=result["step"], time=time_taken(result["seconds"]))]
    if "members" in result:
        from engine.launch import members_view

        lines += ["", *members_view.table(result, most=_MEMBERS), ""]
    elif result["metrics"]:
        lines.append("  ".join(f"{key} {number(value)}" for key, value in result["metrics"].items()))
    if ending is not None and ending.receipt is not None:
        lines.append(_("checkpoint {file}", file=clean(str(ending.receipt))))
    if result["state"] in ("stopped", "failed"):
        lines.append(advice(folder))
    return lines


def tell(line: str, *, quiet: bool) -> None:
    """Print a note for the user on stderr, because stdout may carry JSON."""
    if not quiet:
        stdio.say(line, sys.stderr)
