"""A class at a glance: who has handed in what, what is late, and which criterion and hints are the hard ones."""

import csv
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import DescentError
from engine.labs.classroom import late_in_words, read_due, read_roster
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
        ("id,name\n1,이준\n".encode("cp949"), "it is not UTF-8; save it as CSV UTF-8"),
    ],
)
def test_a_wrong_roster_is_named_by_its_line(tmp_path: Path, content: str | bytes, why: str) -> None:
    """A class would lack students, and nobody knew why."""
    (tmp_path / "roster.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DescentError, match=why):
        read_roster(tmp_path / "roster.csv")


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
