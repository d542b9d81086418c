"""The pages of a class: one a student, and one for all, which shows students × labs and what the labs are like."""

from pathlib import Path

from descent.common.files import write_output
from descent.common.i18n import N_, _, ngettext
from descent.common.numbers import percent
from descent.common.text import unwritable
from engine.labs import page
from engine.labs.classroom import (
    Class,
    HandIn,
    LabStatistics,
    Student,
    hints,
    history,
    late_in_words,
    statistics,
    text_of,
)
from engine.labs.handin import file_name


def write(found: Class, folder: Path) -> list[Path]:
    """Write index.html and a page for each student into the folder. Raises DescentError if that fails."""
    pages = {"index.html": _index(found)}
    pages |= {
        file_name("student", one.id).replace(".zip", ".html"): student_page(found, one) for one in found.students
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            write_output(folder / name, text.encode())
    except OSError as error:
        raise unwritable(folder, error) from None
    return [folder / name for name in pages]


def cell(hand_in: HandIn | None) -> str:
    """Return a cell of the table: "3/4", "3/4 ?" if it was not verified, and how late it is. Nothing: "–"."""
    if hand_in is None:
        return "–"
    row = hand_in.row
    counted = row.hidden or row.ours
    shown = counted if counted else f"{row.handed_in} ?" if row.handed_in else "?"
    if row.outcome == "does not agree":
        shown += " !"
    if hand_in.is_undated:
        return f"{shown}  {_('late?')}"
    if hand_in.late is None:
        return shown
    return f"{shown}  {_('late: {time}', time=late_in_words(hand_in.late))}"


def _index(found: Class) -> str:
    rows = [[one.shown, *(cell(found.of(one, lab)) for lab in found.labs)] for one in found.students]
    parts = [page.table([_("student"), *found.labs], rows), page.paragraph(_(KEY))]
    parts += [page.heading(_("Labs")), page.table(statistics_head(), statistics_rows(found))]
    return page.document(_("Class"), parts)


KEY = N_("? not verified yet · ! what was handed in does not agree with what was graded · – nothing handed in")


def statistics_head() -> list[str]:
    """Return the heads of `statistics_rows`, in the current language."""
    return [_("LAB"), _("PASSED"), _("ATTEMPTS"), _("NOT MET"), _("NOT MET AT FIRST"), _("HINTS")]


def statistics_rows(found: Class) -> list[list[str]]:
    """Return a row for each lab: passed, attempts, the criteria that fail most, and the hints that were needed."""
    return [_statistics_row(found, one) for one in statistics(found)]


def _statistics_row(found: Class, one: LabStatistics) -> list[str]:
    lab = next((each.opened.lab for (_id, of), each in found.hand_ins.items() if of == one.lab), None)
    failed = "; ".join(f"{text_of(lab, check)} ({count})" for check, count in one.failed.most_common(3))
    first = "; ".join(f"{text_of(lab, check)} ({count})" for check, count in one.at_first.most_common(3))
    seen = "; ".join(
        ngettext(
            "{check}: level {level}, {count} student",
            "{check}: level {level}, {count} students",
            len(levels),
            check=text_of(lab, check),
            level=max(levels),
        )
        for check, levels in sorted(one.hinted.items(), key=lambda pair: -len(pair[1]))[:3]
    )
    attempts = f"{sum(one.attempts) / len(one.attempts):.1f}" if one.attempts else "–"
    share = percent(one.passed / one.students, 0) if one.students else "–"
    return [one.lab, f"{one.passed}/{one.students} ({share})", attempts, failed or "–", first or "–", seen or "–"]


def student_page(found: Class, student: Student) -> str:
    """Return the page of a student: every lab with its criteria, attempts and hints."""
    rows = [(lab, cell(found.of(student, lab))) for lab in found.labs]
    parts = [page.table((_("lab"), _("criteria met")), rows)]
    for lab in found.labs:
        hand_in = found.of(student, lab)
        if hand_in is None or (taught := hand_in.opened.lab) is None:
            continue
        opened, row = hand_in.opened, hand_in.row
        parts.append(page.heading(str(taught.model.title)))
        parts.append(page.paragraph(_("handed in: {time}", time=page.in_words(row.written))))
        parts += [page.paragraph(row.remarks)] if row.remarks else []
        if opened.verdict:
            parts.append(page.criteria(opened.verdict["checks"]))
        parts += [page.attempts(tried)] if (tried := history(opened.about)) else []
        parts += [page.hints(taught, seen)] if (seen := hints(opened.about)) else []
    return page.document(student.shown, parts)
