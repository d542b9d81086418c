"""A run in this process: its worker under a display, and the result when it has ended."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from descent.common import stdio
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.common.text import clean
from descent.run.folder import Claim, RunFolder, failed_at_start
from descent.run.metrics import Metrics
from descent.run.progress import Ending
from engine.launch import loading
from engine.launch.display import Display
from engine.launch.lab_run import note_end
from engine.launch.options import Options, Outcome

_LOG_LINES = 20  # of the user's own code's last words, where its run is removed
Extra = Callable[[], tuple[dict[str, Any], str]]  # more for the JSON object, and a line of the receipt


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
    try:
        claim = Claim(folder)
    except OSError:  # the disk is full
        if fresh:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    with stdio.sent_to(folder.output) as (out, err):
        display = Display(name, None if options.quiet else (err if options.as_json else out))
        signals.on_first = display.say_stopping
        signals.on_second = display.give_terminal_back
        display.say(_("run {run}", run=folder.id))
        display.start()
        try:
            worker = loading.worker()  # while the display is already shown
            ending: Ending = worker.work(
                claim, name, root, display, signals, listens=options.listens, ranks=options.ranks
            )
        except CannotGoOnError as no_torch:
            claim.events.state("failed", reason=str(no_torch))
            claim.release()
            if fresh:
                shutil.rmtree(folder.path, ignore_errors=True)
            raise
        finally:
            is_read = display.finish()
            signals.give_back()
    if not is_read:
        stdio.give_up(2 if options.as_json else 1)
    error = ending.error
    if error is not None:
        # An error in the user's code names the run's copy. The message shall name the user's own file.
        for copied, original in (code or {}).items():
            error = error.replace(copied, original)
        if fresh and _remove_unbegun(folder, options, code=bool(code)):
            failed = DescentError(error)
            failed.exit_code = ExitCode(ending.exit_code)
            raise failed
    note_end(folder, name, ending)
    more, line = extra() if extra is not None else ({}, "")
    options.show(Outcome(folder, replace(ending, error=error), more=more, line=line))
    return ending.exit_code


def _remove_unbegun(folder: RunFolder, options: Options, *, code: bool) -> bool:
    """Remove a run that failed before it kept a step of its own, so that its id is free for the next try.

    Returns whether it was removed.
    """
    if not failed_at_start("failed", len(Metrics(folder.path)), folder.origin()):
        return False
    if code:  # print what the user's code has printed, because its log is removed with the folder
        printed = folder.output.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in printed[-_LOG_LINES:]:
            options.tell(f"  | {clean(line)}")
    shutil.rmtree(folder.path, ignore_errors=True)
    return True
