"""Output of the commands for instructors: hand-ins graded again."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from descent.common import stdio
from descent.common.errors import ExitCode
from descent.common.i18n import N_, _
from descent.common.text import clean
from engine.cli import tables
from engine.labs import gradebook, regrade
from engine.labs.handed_in import find
from engine.labs.verify import OUTCOMES, Row

_NO_SANDBOX = N_(
    "descent: the code that was handed in runs with all your rights. "
    "Time and memory are limited, but this is no sandbox."
)


def verify(
    paths: Sequence[Path],
    settings: regrade.Settings,
    *,
    table: Path | None = None,
    moodle: Path | None = None,
    canvas: Path | None = None,
    as_json: bool = False,
) -> int:
    """Grade hand-ins again and print a table. Return 0 if all agree, else 1.

    After Ctrl-C the table has what was graded until then; it is kept, and the same command goes on with the rest.
    """
    if settings.allow_code:
        stdio.say(_(_NO_SANDBOX), sys.stderr)
    handed_in = find(paths)
    rows: list[Row] = []
    gradings = regrade.verify_all(handed_in, settings, _tell)
    interrupted = False
    try:
        for row in gradings:
            rows.append(row)  # noqa: PERF402 - what is graded before Ctrl-C is kept
    except KeyboardInterrupt:
        interrupted = True
        gradings.close()
    rows.sort(key=lambda row: (row.lab, row.student or row.name, row.name))
    if as_json:
        tables.print_json({"handins": [asdict(row) for row in rows]})
    else:
        _print(rows)
    written = []
    if table is not None:
        gradebook.write_verified(table, rows)
    for system, file in ((gradebook.write_moodle, moodle), (gradebook.write_canvas, canvas)):
        if file is not None:
            written += system(file, rows)
            if not written:
                stdio.complain(_("{file}: not written: no hand-in is of such a download", file=clean(str(file))))
    if interrupted:
        stdio.complain(
            _(
                "interrupted: {done} of {of} are graded, and kept; the same command goes on with the others",
                done=len(rows),
                of=len(handed_in),
            )
        )
        return ExitCode.INTERRUPTED
    return ExitCode.DONE if all(row.outcome == "agrees" for row in rows) else ExitCode.CHECK_FAILED


def _tell(done: int, of: int, row: Row) -> None:
    if of > 1:
        outcome = _(OUTCOMES[row.outcome])
        line = _("{done} of {of}: {name}: {outcome}", done=done, of=of, name=row.name, outcome=outcome)
        stdio.say(clean(line), sys.stderr)


def _print(rows: Sequence[Row]) -> None:
    has_hidden = any(row.hidden for row in rows)
    cells = []
    for row in rows:
        hidden = [row.hidden] if has_hidden else []
        why = "; ".join(filter(None, (row.why, row.similar)))
        outcome = _(OUTCOMES[row.outcome])
        cells.append([row.name, row.student, row.lab, row.handed_in, row.ours, *hidden, outcome, why])
    hidden = [_("HIDDEN")] if has_hidden else []
    head = [_("HAND-IN"), _("STUDENT"), _("LAB"), _("HANDED IN"), _("OURS"), *hidden, _("OUTCOME"), _("WHY")]
    tables.print_table(head, cells, whole=(head[0], head[-2]))
