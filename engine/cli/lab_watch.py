"""Runs `descent lab watch`: a quick grading with one seed whenever a file is saved. It counts for nothing."""

import time
from contextlib import suppress
from pathlib import Path

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import Language, Message
from engine.cli import lab_view
from engine.labs.flow import require_predictions
from engine.labs.grader import Grader
from engine.labs.library import find_lab
from engine.labs.submission import Submission, content, of_learner

LOOK = 0.3  # seconds between looks at the files

_WATCHING = Message("Watching {files}. Save to run; Ctrl-C ends.", "{files}: 저장하면 실행합니다. Ctrl-C로 끝냅니다.")
_RUNNING = Message("saved; running with one seed …", "저장됨. 시드 하나로 실행 중 …")
_AGAIN = Message("saved again; starting anew …", "다시 저장됨. 새로 시작합니다 …")
_DONE = Message(
    "{met} of {of} met in {seconds:.0f} s; one seed: only `descent lab check {id}` counts",
    "{of}개 중 {met}개 만족({seconds:.0f}초). 시드 하나의 결과이므로 채점은 descent lab check {id}로 하세요",
)


def watch_again(lab_id: str, language: Language) -> int:
    """Watch until Ctrl-C; the exit code."""
    lab = find_lab(lab_id)
    require_predictions(lab)
    work = of_learner(lab)
    with suppress(KeyboardInterrupt):
        _watch(work, work.files(), language)
    return ExitCode.DONE


def _watch(work: Submission, files: list[Path], language: Language) -> None:
    seen = content(files)  # before the line that invites to save: what is saved right after it counts
    grader: Grader | None = None
    try:
        stdio.say(_WATCHING.with_(files=", ".join(path.name for path in files)).in_(language))
        while True:
            now = content(files)
            if now != seen:
                seen = now
                stdio.say((_RUNNING if grader is None else _AGAIN).in_(language))
                if grader is not None:
                    grader.end()
                grader = Grader(work.lab.id, language, quick=True)
            if grader is not None and grader.is_done:
                _say_verdict(grader, work.lab.id, language)
                grader = None
            time.sleep(LOOK)
    finally:
        if grader is not None:
            grader.end()


def _say_verdict(grader: Grader, lab_id: str, language: Language) -> None:
    try:
        with grader:
            found = grader.wait()
    except DescentError as error:
        stdio.complain(str(error))
        return
    for check in found["checks"]:
        lab_view.show_check(check, language)
    if found["problem"]:
        stdio.say(stdio.lines(found["problem"]))
    counts = {key: found[key] for key in ("met", "of", "seconds")}
    stdio.say(_DONE.with_(**counts, id=lab_id).in_(language))
