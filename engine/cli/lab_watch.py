"""Runs `descent lab watch`: a quick grading with one seed whenever a file is saved. It counts for nothing."""

import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import _
from engine.cli import lab_view
from engine.labs.flow import require_predictions
from engine.labs.grading import process_words, verdict_of
from engine.labs.library import find_lab
from engine.labs.submission import Submission, content, of_learner

LOOK = 0.3  # seconds between looks at the files


def watch_again(lab_id: str) -> int:
    """Watch until Ctrl-C; the exit code."""
    lab = find_lab(lab_id)
    require_predictions(lab)
    work = of_learner(lab)
    with suppress(KeyboardInterrupt):
        _watch(work, work.files())
    return ExitCode.DONE


def _watch(work: Submission, files: list[Path]) -> None:
    seen = content(files)  # before the line that invites to save: what is saved right after it counts
    run = Quick(work.lab.id)
    try:
        stdio.say(_("Watching {files}. Save to run; Ctrl-C ends.", files=", ".join(path.name for path in files)))
        while True:
            now = content(files)
            if now != seen:
                seen = now
                again = run.is_running
                stdio.say(_("saved again; starting anew …") if again else _("saved; running with one seed …"))
                run.start()
            found = run.result()
            if found is not None:
                _say(found, work.lab.id)
            time.sleep(LOOK)
    finally:
        run.end()


def _say(found: dict[str, Any], lab_id: str) -> None:
    if "error" in found:
        stdio.complain(str(found["error"]))
        return
    for check in found["checks"]:
        lab_view.show_check(check)
    if found["problem"]:
        stdio.say(stdio.lines(found["problem"]))
    counts = {key: found[key] for key in ("met", "of", "seconds")}
    stdio.say(
        _("{met} of {of} met in {seconds:.0f} s; one seed: only `descent lab check {id}` counts", **counts, id=lab_id)
    )


class Quick:
    """A quick grading in a process of its own, at most one at a time."""

    def __init__(self, lab_id: str) -> None:
        self._command = [*process_words(lab_id), "--quick"]
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - not a pipe: nobody reads it before the end

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start one; the one under way is ended."""
        self.end()
        self._printed.seek(0)
        self._printed.truncate()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._printed, stderr=subprocess.DEVNULL
        )

    def result(self) -> dict[str, Any] | None:
        """The verdict, or {"error": …}, once; None while there is none."""
        if self._process is None or self._process.poll() is None:
            return None
        process, self._process = self._process, None
        self._printed.seek(0)
        try:
            return verdict_of(self._printed.read(), f"exit code {process.returncode}")
        except DescentError as error:
            return {"error": str(error)}

    def end(self) -> None:
        """End the one under way, and what it has started."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
