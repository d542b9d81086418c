"""Tables of grades for spreadsheets, and for the gradebooks of Moodle and Canvas."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from descent.common.files import write_output
from descent.common.text import clean, unwritable
from engine.labs.verify import Row

_BOM = b"\xef\xbb\xbf"  # without it Excel takes UTF-8 for the system's own encoding
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")  # what a spreadsheet may run
_POINTS = 100  # of a full grade, as both gradebooks have it by default
_MOODLE = ("Identifier", "Full name", "Grade", "Last modified (grade)", "Feedback comments")
_CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]], *, bom: bool = True) -> None:
    """Write a CSV file that a spreadsheet reads as it is meant. Raises DescentError if it can't be written.

    Numbers stay numbers. A text that would be run as a formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_cell(name) for name in head])
    writer.writerows([_cell(value) for value in row] for row in rows)
    try:
        write_output(path, (_BOM if bom else b"") + text.getvalue().encode())
    except OSError as error:
        raise unwritable(path, error) from None


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else value
    text = clean(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def points(row: Row) -> float | None:
    """Return the grade, from 0 to 100, or None for what was not graded."""
    return None if row.score is None else round(_POINTS * row.score, 2)


def write_verified(path: Path, rows: Iterable[Row]) -> None:
    """Write what `lab verify` found. Counts have columns of their own: "3/4" would be read as a date."""
    counts = ("handed_in", "ours", "hidden")
    head = ["name", "student", "login", "lab", "written"]
    head += [f"{count}_{part}" for count in counts for part in ("met", "of")]
    head += ["grade", "outcome", "why", "similar", "file_of"]
    lines = []
    for row in rows:
        counted = [number for count in counts for number in _counted(getattr(row, count))]
        who = [row.name, row.student, row.login, row.lab, row.written.replace("T", " ").removesuffix("+00:00")]
        lines.append([*who, *counted, points(row), row.outcome, row.why, row.similar, row.owner])
    write_table(path, head, lines)


def _counted(met: str) -> tuple[int | None, int | None]:
    one, slash, of = met.partition("/")
    return (int(one), int(of)) if slash else (None, None)


def write_moodle(path: Path, rows: Iterable[Row]) -> list[Path]:
    """Write Moodle's grading worksheet, one for each lab, and return the files: an assignment has one grade."""
    found = _latest(rows, "moodle")
    labs = list(dict.fromkeys(_lab(row) for row in found if _lab(row))) or [""][: len(found)]
    files = {lab: path if len(labs) == 1 else path.with_stem(f"{path.stem}-{lab}") for lab in labs}
    for lab, file in files.items():
        graded = [row for row in found if _lab(row) == lab]
        ids = {_uploaded(row)["id"] for row in graded}
        # What can't be read may have been meant for any of them.
        others = [row for row in found if not _lab(row) and _uploaded(row)["id"] not in ids]
        lines = [
            (f"Participant {_uploaded(row)['id']}", _uploaded(row)["name"], points(row), "", _feedback(row))
            for row in graded + others
        ]
        write_table(file, _MOODLE, lines, bom=False)
    return list(files.values())


def write_canvas(path: Path, rows: Iterable[Row]) -> list[Path]:
    """Write Canvas's gradebook, with a column for each lab, and return the file."""
    found = _latest(rows, "canvas")
    labs = list(dict.fromkeys(_lab(row) for row in found if _lab(row)))
    students: dict[str, dict[str, float | None]] = {}
    names: dict[str, str] = {}
    for row in found:
        who = _uploaded(row)
        names[who["id"]] = who["name"]
        students.setdefault(who["id"], {})[_lab(row)] = points(row)
    lines: list[tuple[Any, ...]] = [
        (names[number], int(number), "", "", "", *(grades.get(lab) for lab in labs))
        for number, grades in students.items()
    ]
    if not lines:
        return []
    # Without this row, an assignment that Canvas makes of a new column has no points.
    possible = ("    Points Possible", "", "", "", "", *(_POINTS for _lab in labs))
    write_table(path, (*_CANVAS, *labs), [possible, *lines], bom=False)
    return [path]


def _lab(row: Row) -> str:
    """Return the lab that a row is a grade of, "" for what can't be read: anybody may have written its name."""
    return "" if row.outcome == "broken" else row.lab


def _latest(rows: Iterable[Row], system: str) -> list[Row]:
    """Return the rows of a system, of several of one student for one lab the one that was written last."""
    found: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row.written):
        if row.uploaded is not None and row.uploaded["system"] == system:
            found[row.uploaded["id"], _lab(row)] = row
    return list(found.values())


def _uploaded(row: Row) -> Mapping[str, Any]:
    assert row.uploaded is not None
    return row.uploaded


def _feedback(row: Row) -> str:
    counted = row.hidden or row.ours
    return f"{row.lab}: {counted}{'' if not row.not_met else ' – ' + ', '.join(row.not_met)}" if counted else row.why
