"""A class: who is in it, what is due when, and what its hand-ins say about students and about labs."""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from descent.common.errors import DescentError
from descent.common.files import read_regular
from descent.common.i18n import _
from descent.common.text import clean, did_you_mean, shorten, show, why_unreadable
from engine.labs.handed_in import LARGEST
from engine.labs.library import Lab, find_lab
from engine.labs.progress import KEPT_ATTEMPTS, Attempt
from engine.labs.regrade import Opened
from engine.labs.verify import Row

ROSTER, DUE = "roster.csv", "due.csv"
_IDS = ("id", "student", "login", "number", "학번")  # heads of the column that hand-ins name
_NAMES = ("name", "full name", "이름")
_LABS = ("lab", "실습")
_DATES = ("due", "마감")
_CLOCKS_DIFFER = timedelta(days=1)  # at most, from what a student's machine says to what this one says
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Student:
    """Somebody of the class. id: what their hand-ins say: name, number or login."""

    id: str
    name: str = ""
    is_listed: bool = True

    @property
    def shown(self) -> str:
        return f"{self.id} {self.name}".strip()


@dataclass(frozen=True)
class HandIn:
    """The hand-in that counts: of several of a student for a lab the latest.

    late: how long after it was due. is_undated: there is a date, and the hand-in says no time that can be.
    """

    row: Row
    opened: Opened
    late: timedelta | None = None
    is_undated: bool = False

    @property
    def is_verified(self) -> bool:
        return self.row.score is not None

    @property
    def share(self) -> float | None:
        """The share of criteria that are met: as it was verified, else as the hand-in says, else None."""
        met, slash, of = self.row.handed_in.partition("/")
        return self.row.score if self.is_verified else (int(met) / max(1, int(of)) if slash else None)


@dataclass
class LabStatistics:
    """What a lab is like for the class.

    failed: criterion -> students who did not meet it in their latest attempt; at_first: in their first one. hinted:
    criterion, "" for the whole lab -> the highest levels that students have seen.
    """

    lab: str
    students: int = 0
    passed: int = 0
    attempts: list[int] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    at_first: Counter[str] = field(default_factory=Counter)
    hinted: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Class:
    """students: the listed ones, then others who have handed in. labs: ids. hand_ins: by student's id and lab."""

    students: tuple[Student, ...]
    labs: tuple[str, ...]
    hand_ins: Mapping[tuple[str, str], HandIn]
    due: Mapping[str, datetime]
    unreadable: tuple[Row, ...] = ()
    doubts: tuple[str, ...] = ()  # about whose work a hand-in is

    def of(self, student: Student, lab: str) -> HandIn | None:
        return self.hand_ins.get((student.id, lab))


# --- the roster and the dates ---


def read_roster(path: Path, note: Callable[[str], None] = lambda text: None) -> list[Student]:
    """Return the students of a CSV file with the column `id`, and optionally `name`. Raises DescentError.

    note: called with what is wrong with the file, but keeps nobody from reading it.
    """
    found: dict[str, Student] = {}
    for line, row in _rows(path, note, (_IDS,), optional=(_NAMES,)):
        number = _value(row, _IDS)
        if not number:
            continue
        if number.casefold() in found:
            raise _twice(path, line, number)
        found[number.casefold()] = Student(number, _value(row, _NAMES))
    return list(found.values())


def read_due(path: Path, note: Callable[[str], None] = lambda text: None) -> dict[str, datetime]:
    """Return when labs are due, from a CSV file with the columns `lab` and `due`. Raises DescentError.

    due: 2026-03-15, the end of that day, or 2026-03-15 18:00; in this machine's time zone, or with an offset, +09:00.
    note: as `read_roster` has it.
    """
    found: dict[str, datetime] = {}
    for line, row in _rows(path, note, (_LABS, _DATES)):
        lab = _value(row, _LABS)
        try:
            find_lab(lab)
        except DescentError as error:  # with a wrong name, nothing would ever be late
            raise DescentError(
                _("{file}, line {line}: {error}", file=clean(str(path)), line=line, error=error)
            ) from None
        if lab in found:
            raise _twice(path, line, lab)
        found[lab] = _date(_value(row, _DATES), path, line)
    return found


def _twice(path: Path, line: int, given: str) -> DescentError:
    return DescentError(
        _("{file}, line {line}: {id} is listed twice", file=clean(str(path)), line=line, id=show(given))
    )


def _date(text: str, path: Path, line: int) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DescentError(
            _(
                "{file}, line {line}: {given}: must be a date, 2026-03-15, or a time, 2026-03-15 18:00",
                file=clean(str(path)),
                line=line,
                given=show(text),
            )
        ) from None
    if len(text) <= len("2026-03-15"):
        found += timedelta(days=1)
    return found.astimezone(UTC)


def _rows(
    path: Path, note: Callable[[str], None], needed: Sequence[Sequence[str]], optional: Sequence[Sequence[str]] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a CSV file by the heads of its columns, in lower case. Raises DescentError.

    needed, optional: for each column the names that it may have. A file that a school gives has others, too, so those
    are no error; but one of them may be a misspelt name.
    """
    text = _text(path, note)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    head = [name.strip().casefold() for name in next(reader, [])]
    for names in needed:
        if not set(names) & set(head):
            raise DescentError(
                _(
                    "{file}, line 1: needs a column {names}; it has {there}",
                    file=clean(str(path)),
                    names=" | ".join(names),
                    there=clean(", ".join(head)) or "–",
                )
            )
    known = [name for names in (*needed, *optional) for name in names]
    if ignored := [name for name in head if name and name not in known]:
        note(
            _(
                "{file}, line 1: these columns are not read: {ignored}; the names that are: {known}{meant}",
                file=clean(str(path)),
                ignored=shorten(clean(", ".join(ignored)), 200),
                known=" | ".join(known),
                meant=next(filter(None, (did_you_mean(name, known) for name in ignored)), ""),
            )
        )
    lines = [(reader.line_num, dict(zip(head, row, strict=False))) for row in reader]
    return [(line, row) for line, row in lines if any(cell.strip() for cell in row.values())]


def _text(path: Path, note: Callable[[str], None]) -> str:
    """Return what a file holds: UTF-8 or, as spreadsheets write too, UTF-16 and CP949. Raises DescentError."""
    try:
        content = read_regular(path, LARGEST)
    except OSError as error:
        raise DescentError(
            _("{file}: can't be read: {reason}", file=clean(str(path)), reason=why_unreadable(error))
        ) from None
    for encoding in ("utf-16",) if content.startswith(_UTF_16) else ("utf-8-sig", "cp949"):
        with suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            if encoding == "cp949":
                note(
                    _(
                        "{file}: is read as CP949; if its names look wrong, save it as CSV UTF-8",
                        file=clean(str(path)),
                    )
                )
            return text
    reason = _("it is neither UTF-8 nor CP949; save it as CSV UTF-8")
    raise DescentError(_("{file}: can't be read: {reason}", file=clean(str(path)), reason=reason))


def _value(row: Mapping[str, str], names: Sequence[str]) -> str:
    return next((clean(row[name].strip()) for name in names if row.get(name, "").strip()), "")


# --- the table ---


def gather(opened: Iterable[Opened], roster: Sequence[Student], due: Mapping[str, datetime]) -> Class:
    """Return the class's table. Whoever has handed in and is not on the roster comes last."""
    listed, shared = _by_words(roster)
    others: dict[str, Student] = {}
    works: dict[tuple[Student, str], list[Opened]] = {}
    unreadable = []
    order: dict[str, int] = {}
    nameless: dict[str, str] = {}
    for one in opened:
        row = one.row
        if one.lab is None:
            unreadable.append(row)
            continue
        account = row.uploaded or {}
        words = [str(account.get("name", "")), str(account.get("id", "")), row.student, row.login]
        student = next((listed[word] for word in map(_key, words) if word in listed), None)
        if student is None:
            number = row.student or row.login or row.name
            if _key(number) in shared:
                nameless.setdefault(_key(number), number)
                number = f"{number} ({row.login or row.name})"
            student = others.setdefault(_key(number), Student(number, is_listed=False))
        order[one.lab.id] = one.lab.model.order
        works.setdefault((student, one.lab.id), []).append(one)
    found = {}
    doubts = [
        _(
            "{name}: {count} students of the roster have this name, so their hand-ins are listed apart, by login; "
            "`lab report --student` with a student's id says whose they are",
            name=name,
            count=shared[key],
        )
        for key, name in nameless.items()
    ]
    for (student, lab), there in works.items():
        latest = max(there, key=lambda one: (not one.row.owner, one.row.written))
        hand_in = found[student.id, lab] = _hand_in(latest, due.get(lab))
        whose = {"student": student.shown, "lab": lab}
        if hand_in.is_undated:
            said = show(latest.row.written)
            doubts.append(
                _("{student}, {lab}: {said} is no time at which it can have been written", **whose, said=said)
            )
        if (latest.row.uploaded or {}).get("late") and hand_in.late is None:
            doubts.append(_("{student}, {lab}: late, by what Canvas says", **whose))
        if len(hands := dict.fromkeys(filter(None, map(_hand, there)))) > 1:
            doubts.append(
                _(
                    "{student}, {lab}: hand-ins of {people}; the one of {counted} counts",
                    **whose,
                    people=", ".join(hands),
                    counted=_hand(latest) or latest.row.name,
                )
            )
    labs = sorted({*order, *due}, key=lambda lab: (order.get(lab, 1 << 30), lab))
    students = (*roster, *sorted(others.values(), key=lambda one: one.id))
    return Class(students, tuple(labs), found, due, tuple(unreadable), tuple(doubts))


def _by_words(roster: Sequence[Student]) -> tuple[dict[str, Student], Counter[str]]:
    """Return the students by ids and by names that one alone has, and how many have each of the other names."""
    named = Counter(_key(student.name) for student in roster if student.name)
    listed = {_key(one.name): one for one in roster if named[_key(one.name)] == 1}
    listed |= {_key(one.id): one for one in roster}
    return listed, Counter({name: count for name, count in named.items() if count > 1 and name not in listed})


def _key(word: str) -> str:
    """Return a name or number as it is compared: macOS writes é and 가 as several characters."""
    return unicodedata.normalize("NFC", word).casefold()


def _hand(one: Opened) -> str:
    """Return who has handed something in: the owner of the file, the account, or the login that it names."""
    row = one.row
    return row.owner or str((row.uploaded or {}).get("name", "")) or row.login


def _hand_in(one: Opened, due: datetime | None) -> HandIn:
    """Return a hand-in, with how late it is by the clock where it was written."""
    if due is None:
        return HandIn(one.row, one)
    try:
        written = datetime.fromisoformat(one.row.written)
        late = written - due
        is_undated = written > datetime.now(UTC) + _CLOCKS_DIFFER
    except (ValueError, TypeError):  # no time, or one without a zone
        return HandIn(one.row, one, is_undated=True)
    return HandIn(one.row, one, late if late > timedelta() else None, is_undated)


def late_in_words(late: timedelta) -> str:
    """Return "2 d", "3 h" or "5 min", rounded up: a minute late is late."""
    minutes = max(1, -int(-late.total_seconds() // 60))
    if minutes < 60:
        return _("{count} min", count=minutes)
    hours = -(-minutes // 60)
    return _("{count} h", count=hours) if hours <= 48 else _("{count} d", count=-(-hours // 24))


# --- the labs ---


def statistics(found: Class) -> list[LabStatistics]:
    """Return for each lab which criteria fail and which hints were needed."""
    result = []
    for lab in found.labs:
        entry = LabStatistics(lab)
        for (_student, of), hand_in in found.hand_ins.items():
            if of == lab:
                _count(entry, hand_in)
        result.append(entry)
    return result


def _count(entry: LabStatistics, hand_in: HandIn) -> None:
    about = hand_in.opened.about
    tried, attempts = history(about), about.get("attempts")
    entry.students += 1
    entry.passed += hand_in.share == 1.0
    entry.attempts.append(attempts if isinstance(attempts, int) and attempts > len(tried) else len(tried))
    if hand_in.is_verified:
        entry.failed.update(hand_in.row.not_met)
    elif tried:
        entry.failed.update(_not_met(tried[-1]))
    if tried:
        entry.at_first.update(_not_met(tried[0]))
    for check, level in hints(about).items():
        entry.hinted.setdefault(check, []).append(level)


def history(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the attempts that a hand-in lists, those of another shape left out: anybody may have written it."""
    try:
        found = [Attempt.model_validate(one) for one in about.get("history") or ()][:KEPT_ATTEMPTS]
    except (ValidationError, TypeError):
        return []
    return [one.model_dump(mode="json") for one in found]


def hints(about: Mapping[str, Any]) -> dict[str, int]:
    """Return the levels of the hints that were seen, by the check's id; "": those of the whole lab."""
    seen = about.get("hints")
    levels = list(seen.items())[:100] if isinstance(seen, dict) else []
    return {shorten(clean(key), 64): level for key, level in levels if type(level) is int and 0 < level <= 3}


def _not_met(attempt: Mapping[str, Any]) -> list[str]:
    return [shorten(clean(one["id"]), 64) for one in attempt["checks"] if not one["passed"]]


def text_of(lab: Lab | None, check: str) -> str:
    """Return a criterion's text, or its id if the lab has none of that id."""
    if not check:
        return _("the whole lab")
    texts = {one.id: str(one.text) for one in lab.model.checks} if lab is not None else {}
    return texts.get(check, check)


def as_json(found: Class) -> dict[str, Any]:
    """Return the object that `descent class --json` prints."""
    students = [
        {
            "id": one.id,
            "name": one.name,
            "listed": one.is_listed,
            "labs": {lab: _as_json(hand_in) for lab in found.labs if (hand_in := found.of(one, lab)) is not None},
        }
        for one in found.students
    ]
    labs = [{**vars(one), "failed": dict(one.failed), "at_first": dict(one.at_first)} for one in statistics(found)]
    broken = [{"name": row.name, "why": row.why} for row in found.unreadable]
    return {
        "students": students,
        "labs": labs,
        "due": {k: v.isoformat() for k, v in found.due.items()},
        "broken": broken,
        "doubts": list(found.doubts),
    }


def _as_json(hand_in: HandIn) -> dict[str, Any]:
    row = hand_in.row
    late = None if hand_in.late is None else round(hand_in.late.total_seconds())
    return {
        "share": hand_in.share,
        "verified": hand_in.is_verified,
        "outcome": row.outcome,
        "written": row.written,
        "late_seconds": late,
    }
