"""A class at a glance: who has handed in what, what is late, and which criterion and hints are the hard ones."""

import csv
import json
import os
import pwd
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import DescentError
from engine.labs.classroom import Student, late_in_words, read_due, read_roster
from tests.helpers.processes import Child
from tests.helpers.small_lab import make_lab
from tests.helpers.verdicts import whole

OF_LOSS = {"id": "loss", "value": 0.9, "passed": False}


def hand_in(folder: Path, student: str, written: str, *, passed: bool, **more: Any) -> None:
    """A hand-in of slow-line, as `lab report` writes it."""
    check = {**OF_LOSS, "passed": passed}
    first = {"time": "2026-03-01T09:00:00+00:00", "passed": False, "met": 0, "of": 1, "checks": [OF_LOSS]}
    last = {"time": written, "passed": passed, "met": int(passed), "of": 1, "checks": [check]}
    said = {"format": 2, "lab": "slow-line", "student": student, "written": written, "attempts": 2}
    said |= {"history": [first, last], "hints": {"loss": 2}, **more}
    with zipfile.ZipFile(folder / f"slow-line-{student}.zip", "w") as archive:
        archive.writestr("handin.json", json.dumps(said))
        archive.writestr("verdict.json", json.dumps(whole([check])))


@pytest.fixture
def a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_lab(tmp_path / "labs")
    folder = tmp_path / "handed-in"
    folder.mkdir()
    (folder / "roster.csv").write_text("\ufeffid;name\r\n2021-1;김민아\r\n2021-2;Jun\r\n", encoding="utf-8")
    (folder / "due.csv").write_text("lab,due\nslow-line,2026-03-02T12:00+00:00\n")
    hand_in(folder, "2021-1", "2026-03-02T11:00:00+00:00", passed=True)
    hand_in(folder, "sora", "2026-03-03T15:00:00+00:00", passed=False)
    return folder


def test_students_and_labs(a_class: Path, descent: Callable[..., Child], tmp_path: Path) -> None:
    """An instructor would have to open thirty zips to know who has not handed in."""
    done = descent("class", str(a_class), "--csv", "class.csv", "--pages", "pages", "--lang", "en").end()
    assert done.code == 0, done
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[1] == ["2021-1", "김민아", "1/1", "?"]
    assert lines[2] == ["2021-2", "Jun", "–"]
    assert lines[3] == ["sora", "0/1", "?", "late:", "27", "h"]
    assert "1/2 (50%)" in done.out
    assert "level 2, 2 students" in done.out
    (a_class / "slow-line-sora.zip").rename(tmp_path / "sora.zip")
    assert "level 2, 1 student\n" in descent("class", str(a_class), "--lang", "en").end().out + "\n"
    (tmp_path / "sora.zip").rename(a_class / "slow-line-sora.zip")
    assert "2 hand-ins are not verified yet" in done.err
    with (tmp_path / "class.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["student"], row["slow-line"], row["slow-line_late_minutes"]) for row in rows] == [
        ("2021-1", "100.0", "0"),
        ("2021-2", "", ""),
        ("sora", "0.0", "1620"),
    ]
    pages = {path.name: path.read_text() for path in (tmp_path / "pages").iterdir()}
    assert set(pages) == {"index.html", "student-2021-1.html", "student-2021-2.html", "student-sora.html"}
    assert "A slow line" in pages["student-sora.html"]
    assert "<td>The loss is small.</td><td>2</td>" in pages["student-sora.html"]
    assert "김민아" in pages["index.html"]


def test_what_anybody_may_have_written(a_class: Path, descent: Callable[..., Child]) -> None:
    """One hand-in of another shape would end the table of the whole class."""
    hand_in(a_class, "a", "yesterday", passed=True, history=[3], hints=[1], attempts="many")
    hand_in(a_class, "b", "2026-03-02", passed=True, history="x", hints={"loss": "2", "\x1b[2J": 3, "loss2": 99})
    hand_in(a_class, "<script>alert(1)<.script>", "", passed=True, hints={"<b>": 1})
    (a_class / "broken.zip").write_bytes(b"PK")
    done = descent("class", str(a_class), "--json", "--pages", "pages").end()
    assert done.code == 0, done
    assert {one["id"] for one in done.json["students"] if not one["listed"]} >= {"a", "b", "sora"}
    assert [one["name"] for one in done.json["broken"]] == ["broken"]
    assert done.json["labs"][0]["failed"] == {"loss": 1}
    assert "<script>" not in "".join(path.read_text() for path in Path("pages").iterdir())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("who,mail\nx,y\n", "line 1: needs a column id"),
        ("id,name\n1,a\n2,b\n1,c\n", 'line 4: "1" is listed twice'),
        ("", "line 1: needs a column id"),
        ("id,name\n1,Müller\n".encode("latin-1"), "it is neither UTF-8 nor CP949; save it as CSV UTF-8"),
    ],
)
def test_a_wrong_roster_is_named_by_its_line(tmp_path: Path, content: str | bytes, why: str) -> None:
    """A class would lack students, and nobody knew why."""
    (tmp_path / "roster.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DescentError, match=why):
        read_roster(tmp_path / "roster.csv")


@pytest.mark.parametrize(("encoding", "notes"), [("utf-8", 0), ("utf-8-sig", 0), ("utf-16", 0), ("cp949", 1)])
def test_a_roster_of_a_spreadsheet(tmp_path: Path, encoding: str, notes: int) -> None:
    """A list that Excel saved would be refused, or its names be unreadable without a word."""
    (tmp_path / "roster.csv").write_bytes("학번,이름\r\n1,이준\r\n".encode(encoding))
    said: list[str] = []
    assert read_roster(tmp_path / "roster.csv", said.append) == [Student("1", "이준")]
    assert len(said) == notes


def test_a_hand_in_is_nobody_else_s(a_class: Path, descent: Callable[..., Child]) -> None:
    """Of two students of one name, one would have the other's grade; and so would whom a hand-in names wrongly."""
    (a_class / "roster.csv").write_text("id,name\n1,Mina\n2,Mina\n3,Jun\n4,Sora\n5,5\n6,1\n7,이준\n")
    (a_class / "due.csv").unlink()
    for path in a_class.glob("*.zip"):
        path.unlink()
    time = "2026-03-02T11:00:00+00:00"
    hand_in(a_class, "Mina", time, passed=True, login="m1")
    hand_in(a_class, "1", time, passed=False, login="m2")
    hand_in(a_class, "4", time, passed=True, login="s4")
    other, account = a_class / "more", a_class / "Jun_77_assignsubmission_file_"
    for folder in (other, account):
        folder.mkdir()
    hand_in(other, "4", "2026-03-02T12:00:00+00:00", passed=False, login="j3")
    hand_in(account, "Sora", time, passed=True, login="s4")
    hand_in(a_class, unicodedata.normalize("NFD", "이준"), time, passed=True, login="l7")
    done = descent("class", str(a_class), "--json").end()
    shares = {one["id"]: one["labs"].get("slow-line", {}).get("share") for one in done.json["students"]}
    assert shares == {"1": 0.0, "2": None, "3": 1.0, "4": 0.0, "5": None, "6": None, "7": 1.0, "Mina (m1)": 1.0}
    doubts = done.json["doubts"]
    assert ["Mina: 2 students" in doubts[0], "4 Sora, slow-line: hand-ins of s4, j3; the one of j3" in doubts[1]] == [
        True
    ] * 2
    assert len(doubts) == 2
    shown = descent("class", str(a_class), "--lang", "en").end().err
    assert all(doubt in shown for doubt in doubts)


def test_a_time_that_can_t_be_is_not_in_time(a_class: Path, descent: Callable[..., Child]) -> None:
    """Who writes another time into the hand-in would never be late."""
    for student, time in (("a", "soon"), ("b", "2999-01-01T00:00:00+00:00"), ("c", "2026-03-02T11:00:00"), ("d", "")):
        hand_in(a_class, student, time, passed=False)
    hand_in(a_class, "Kim_LATE_12_34_slow-line", "2026-03-02T11:00:00+00:00", passed=False)
    (a_class / "slow-line-Kim_LATE_12_34_slow-line.zip").rename(a_class / "kim_LATE_12_34_slow-line.zip")
    done = descent("class", str(a_class), "--lang", "en", "--csv", "class.csv").end()
    lines = {line.split()[0]: line for line in done.out.splitlines() if "0/1" in line}
    assert all(lines[student].endswith("late?") for student in "abcd")
    for said in ('"soon" is no time', '"2999-01-01T00:00:00+00:00" is no time', "late, by what Canvas says"):
        assert said in done.err
    with Path("class.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["slow-line_late_minutes"] for row in csv.DictReader(file) if row["student"] in "abcd"} == {""}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_than_it_names(a_class: Path, descent: Callable[..., Child]) -> None:
    """In a folder that all can write into, a student would replace another's work by a worse one."""
    hand_in(a_class, "2021-1", "2026-03-02T11:00:00+00:00", passed=True, login="mina")
    folder = a_class / "more"
    folder.mkdir()
    hand_in(folder, "2021-1", "2026-03-02T11:30:00+00:00", passed=False, login="mina")
    os.chown(folder / "slow-line-2021-1.zip", pwd.getpwnam("nobody").pw_uid, -1)
    done = descent("class", str(a_class), "--json").end()
    assert done.json["students"][0]["labs"]["slow-line"]["share"] == 1.0
    assert "hand-ins of mina, nobody; the one of mina counts" in done.json["doubts"][0]
    rows = descent("lab", "verify", str(folder), "--json").end().json["handins"]
    assert [row["owner"] for row in rows] == ["nobody"]
    shown = descent("lab", "verify", str(folder), "--lang", "en").end().out
    assert "the file of nobody names mina" in " ".join(shown.split())


def test_columns_that_are_not_read_are_named(a_class: Path, descent: Callable[..., Child]) -> None:
    """With a misspelt head, a class would be without names, and nobody knew why."""
    (a_class / "roster.csv").write_text("id,nmae,email\n2021-1,Mina,m@x.org\n")
    (a_class / "due.csv").write_text("lab,due,grace\nslow-line,2026-03-02\n")
    done = descent("class", str(a_class), "--lang", "en").end()
    assert done.code == 0, done
    roster, due = [line for line in done.err.splitlines() if "not read" in line]
    assert "roster.csv, line 1: these columns are not read: nmae, email; the names that are: id | " in roster
    assert roster.endswith("; did you mean name?")
    assert "due.csv, line 1: these columns are not read: grace" in due
    (a_class / "roster.csv").write_text("id,name\n2021-1,Mina\n")
    (a_class / "due.csv").unlink()
    assert "not read" not in descent("class", str(a_class), "--lang", "en").end().err


def test_dates(tmp_path: Path) -> None:
    """Who hands in on the evening of the day would be late."""
    (tmp_path / "due.csv").write_text("lab,due\ngd-line,2026-03-15\nxor,2026-03-15 18:00+09:00\n")
    due = read_due(tmp_path / "due.csv")
    assert due["gd-line"] == datetime(2026, 3, 16).astimezone(UTC)
    assert due["xor"] == datetime(2026, 3, 15, 9, tzinfo=UTC)
    for content, why in (
        ("gd-line,next week", 'line 2: "next week": must be a date'),
        ("gd-lien,2026-03-15", "line 2: .*gd-lien"),
        ("gd-line,2026-03-15\ngd-line,2026-03-16", 'line 3: "gd-line" is listed twice'),
    ):
        (tmp_path / "due.csv").write_text(f"lab,due\n{content}\n")
        with pytest.raises(DescentError, match=why):
            read_due(tmp_path / "due.csv")
    lates = [timedelta(seconds=1), timedelta(minutes=61), timedelta(hours=49)]
    assert [late_in_words(late) for late in lates] == ["1 min", "2 h", "3 d"]
