"""Output of the commands for instructors: hand-ins graded again."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from descent.common import stdio
from descent.common.errors import DescentError, ExitCode
from descent.common.i18n import _, ngettext
from descent.common.text import clean
from engine.cli import tables
from engine.labs import class_pages, classroom, gradebook, regrade
from engine.labs.handed_in import HandedIn, find
from engine.labs.sandbox.enclosure import LEVELS, protection
from engine.labs.verify import OUTCOMES, Row


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
        line = _("descent: protection from the code that was handed in: {kept}", kept=protection().text())
        stdio.say(line, sys.stderr)
    handed_in = find(paths)
    rows: list[Row] = []
    gradings = regrade.verify_all(handed_in, settings, _tell, _tell_waiting)
    interrupted = False
    try:
        for row in gradings:
            rows.append(row)  # noqa: PERF402 - what is graded before Ctrl-C is kept
    except KeyboardInterrupt:
        interrupted = True
        gradings.close()
    rows.sort(key=lambda row: (row.lab, row.student or row.name, row.name))
    if as_json:
        kept = asdict(protection()) if settings.allow_code else None
        tables.print_json({"handins": [asdict(row) for row in rows], "protection": kept})
    else:
        _print(rows)
    if table is not None:
        gradebook.write_verified(table, rows)
    for system, file in (("moodle", moodle), ("canvas", canvas)):
        if file is not None:
            _write_grades(system, file, rows)
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


def _write_grades(system: str, file: Path, rows: Sequence[Row]) -> None:
    """Write the gradebook of a learning management system. What was not downloaded from there is not in it."""
    written = {"moodle": gradebook.write_moodle, "canvas": gradebook.write_canvas}[system](file, rows)
    shown = clean(str(file))
    if not written:
        stdio.complain(_("{file}: not written: no hand-in is of such a download", file=shown))
        return
    others = [row.name for row in rows if row.uploaded is None or row.uploaded["system"] != system]
    if others:
        names = clean(", ".join(others[:5]) + (", …" if others[5:] else ""))
        stdio.complain(_("{file}: left out, not being of such a download: {names}", file=shown, names=names))


def _tell(done: int, of: int, row: Row) -> None:
    if of > 1:
        outcome = _(OUTCOMES[row.outcome])
        line = _("{done} of {of}: {name}: {outcome}", done=done, of=of, name=row.name, outcome=outcome)
        stdio.say(clean(line), sys.stderr)


def _tell_waiting(one: HandedIn, for_what: str) -> None:
    stdio.say(clean(f"{one.name}: {for_what}"), sys.stderr)


def _print(rows: Sequence[Row]) -> None:
    has_hidden = any(row.hidden for row in rows)
    cells = []
    for row in rows:
        hidden = [row.hidden] if has_hidden else []
        outcome = _(OUTCOMES[row.outcome])
        cells.append([row.name, row.student, row.lab, row.handed_in, row.ours, *hidden, outcome, row.remarks])
    hidden = [_("HIDDEN")] if has_hidden else []
    head = [_("HAND-IN"), _("STUDENT"), _("LAB"), _("HANDED IN"), _("OURS"), *hidden, _("OUTCOME"), _("WHY")]
    tables.print_table(head, cells, whole=(head[0], head[-2]))


# --- a class ---


def show_class(
    folder: Path,
    *,
    roster: Path | None,
    due: Path | None,
    instructor: Path | None,
    table: Path | None,
    pages: Path | None,
    as_json: bool,
) -> int:
    """Print students × labs of the hand-ins in a folder, and what the labs are like."""
    if not folder.is_dir():
        raise DescentError(_("{folder}: no such folder", folder=clean(str(folder))))
    listed = roster or folder / classroom.ROSTER
    dates = due or folder / classroom.DUE
    students = classroom.read_roster(listed, stdio.complain) if roster or listed.is_file() else []
    when = classroom.read_due(dates, stdio.complain) if due or dates.is_file() else {}
    opened = regrade.looked_at(
        [one for one in find([folder]) if not one.problem or one.path != folder],
        regrade.Settings(least=LEVELS[0], instructor=instructor),
    )
    found = classroom.gather(opened, students, when)
    head = [_("STUDENT"), *found.labs]
    if as_json:
        tables.print_json(classroom.as_json(found))
    else:
        cells = [[one.shown, *(class_pages.cell(found.of(one, lab)) for lab in found.labs)] for one in found.students]
        tables.print_in_blocks(head, cells)
        stdio.say(_(class_pages.KEY))
        stdio.say("")
        tables.print_table(class_pages.statistics_head(), class_pages.statistics_rows(found), right=[_("ATTEMPTS")])
        for row in found.unreadable:
            stdio.complain(f"{row.name}: {row.why}")
        for doubt in found.doubts:
            stdio.complain(clean(doubt))
    waiting = sum(not one.is_verified for one in found.hand_ins.values())
    if waiting and not as_json:
        text = ngettext(
            "{count} hand-in is not verified yet: descent lab verify {folder} --allow-code",
            "{count} hand-ins are not verified yet: descent lab verify {folder} --allow-code",
            waiting,
            folder=shlex.quote(str(folder)),
        )
        stdio.say(clean(text), sys.stderr)
    if table is not None:
        _write_class(table, found)
    if pages is not None:
        class_pages.write(found, pages)
    return ExitCode.DONE


def _write_class(path: Path, found: classroom.Class) -> None:
    """Write a row for each student, and of each lab the grade, whether it is verified, and how late it was."""
    head = ["student", "name", *(f"{lab}{part}" for lab in found.labs for part in ("", "_verified", "_late_minutes"))]
    rows = []
    for student in found.students:
        cells: list[object] = [student.id, student.name]
        for lab in found.labs:
            hand_in = found.of(student, lab)
            if hand_in is None:
                cells += [None, None, None]
                continue
            share, late = hand_in.share, hand_in.late
            grade = None if share is None else round(100 * share, 2)
            minutes = 0 if late is None else max(1, -int(-late.total_seconds() // 60))
            dated = None if hand_in.is_undated else minutes
            cells += [grade, "yes" if hand_in.is_verified else "no", dated]
        rows.append(cells)
    gradebook.write_table(path, head, rows)
