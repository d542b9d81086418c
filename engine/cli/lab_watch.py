"""Runs `descent lab watch`: a quick grading with one seed whenever a file is saved. It does not count."""

import time
from contextlib import suppress
from pathlib import Path

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import _
from engine.cli import lab_view
from engine.labs.flow import require_predictions
from engine.labs.grader import Grader
from engine.labs.library import find_lab
from engine.labs.submission import Submission, content, of_learner

LOOK = 0.3  # seconds between looks at the files


def watch_again(lab_id: str) -> int:
    """Watch until Ctrl-C and return the exit code."""
    lab = find_lab(lab_id)
    require_predictions(lab)
    work = of_learner(lab)
    with suppress(KeyboardInterrupt):
        _watch(work, work.files())
    return ExitCode.DONE


def _watch(work: Submission, files: list[Path]) -> None:
    seen = content(files)  # read before the message, so that a file saved right after it is noticed
    grader: Grader | None = None
    try:
        stdio.say(_("Watching {files}. Save to run; Ctrl-C ends.", files=", ".join(path.name for path in files)))
        while True:
            now = content(files)
            if now != seen:
                seen = now
                again = grader is not None
                stdio.say(_("saved again; starting anew …") if again else _("saved; running with one seed …"))
                if grader is not None:
                    grader.end()
                grader = Grader(work.lab.id, quick=True, tell=lab_view.tell_waiting)
            if grader is not None and grader.is_done:
                _say_verdict(grader, work.lab.id)
                grader = None
            time.sleep(LOOK)
    finally:
        if grader is not None:
            grader.end()


def _say_verdict(grader: Grader, lab_id: str) -> None:
    try:
        with grader:
            found = grader.wait()
    except DescentError as error:
        stdio.complain(str(error))
        return
    for check in found["checks"]:
        lab_view.show_check(check)
    if found["problem"]:
        stdio.say(stdio.lines(found["problem"]))
    counts = {key: found[key] for key in ("met", "of", "seconds")}
    stdio.say(
        _("{met} of {of} met in {seconds:.0f} s; one seed: only `descent lab check {id}` counts", **counts, id=lab_id)
    )
