"""Spreadsheets and gradebooks read a table of grades as it is meant."""

import csv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from descent import warm
from engine.cli import handins_view
from engine.labs.gradebook import write_canvas, write_moodle, write_verified
from engine.labs.regrade import Settings
from engine.labs.verify import Row


def row(name: str, system: str = "moodle", number: str = "1", lab: str = "slow", **more: Any) -> Row:
    uploaded = {"system": system, "name": name, "id": number, "late": False}
    return Row(f"slow-{name}", lab, "4/4", "3/4", "does not agree", "why", uploaded=uploaded, student=name).but(
        **more
    )


def read(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_becomes_a_date_or_a_formula(tmp_path: Path) -> None:
    """3/4 would be the third of April, a name a program that the instructor's spreadsheet runs, and 김 a riddle."""
    rows = [row("=cmd|' /C calc'!A0"), row("김민아", why="\t=1+1", hidden="1/8", similar="@jun"), row("-1")]
    write_verified(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    found = read(tmp_path / "t.csv", "utf-8-sig")
    assert (found[0]["ours_met"], found[0]["ours_of"], found[0]["grade"]) == ("3", "4", "75.0")
    assert found[1]["grade"] == "12.5"
    cells = [cell for line in found for cell in line.values()]
    assert not [
        cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t")) or ("/" in cell and cell[0].isdigit())
    ]
    assert found[0]["student"] == "'=cmd|' /C calc'!A0"


def test_moodle_and_canvas_know_the_columns(tmp_path: Path) -> None:
    """The instructor would have to type the grades in."""
    rows = [
        row("mina", number="12", written="2026-03-01", ours="1/4"),
        row("mina", number="12", written="2026-03-02", not_met=["loss"]),
        row("jun", number="13", ours="", outcome="not run"),
        row("sora", "canvas", "77"),
        row("sora", "canvas", "77", lab="xor", ours="2/2"),
    ]
    [file] = write_moodle(tmp_path / "m.csv", rows)
    jun, mina = read(file)
    assert mina == {
        "Identifier": "Participant 12",
        "Full name": "mina",
        "Grade": "75.0",
        "Last modified (grade)": "",
        "Feedback comments": "slow: 3/4 – loss",
    }
    assert jun["Grade"] == ""
    [file] = write_canvas(tmp_path / "c.csv", rows)
    possible, sora = read(file)
    assert (possible["Student"].strip(), possible["slow"]) == ("Points Possible", "100")
    assert (sora["ID"], sora["Student"], sora["slow"], sora["xor"]) == ("77", "sora", "75.0", "100.0")
    assert list(sora)[:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    two = [row("mina", number="12"), row("mina", number="12", lab="xor")]
    assert [file.name for file in write_moodle(tmp_path / "m.csv", two)] == ["m-slow.csv", "m-xor.csv"]


def test_what_can_not_be_read_is_a_row_without_a_grade(tmp_path: Path) -> None:
    """Who hands in another file would be missing in the gradebook, and a made-up lab would name a file of its own."""
    rows = [
        row("mina", number="12"),
        row("jun", number="13", lab="", ours="", outcome="broken", why="no zip"),
        row("sora", number="14", lab="../../x", ours="", outcome="broken", why="unknown lab"),
        row("mina", number="12", lab="", ours="", outcome="broken"),
        row("yuna", "canvas", "5", lab="/", ours="", outcome="broken"),
        row("sea", "canvas", "6"),
    ]
    assert write_moodle(tmp_path / "m.csv", rows) == [tmp_path / "m.csv"]
    found = [(one["Full name"], one["Grade"], one["Feedback comments"]) for one in read(tmp_path / "m.csv")]
    assert found == [("mina", "75.0", "slow: 3/4"), ("jun", "", "no zip"), ("sora", "", "unknown lab")]
    write_canvas(tmp_path / "c.csv", rows)
    grades = [(one["Student"].strip(), one["slow"]) for one in read(tmp_path / "c.csv")]
    assert sorted(grades) == [("Points Possible", "100"), ("sea", "75.0"), ("yuna", "")]
    assert list(read(tmp_path / "c.csv")[0])[5:] == ["slow"]


def test_what_can_not_be_read_is_said_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grader would be started for each, only to say less than what was found at once."""
    monkeypatch.setattr(warm, "start", lambda *given, **more: pytest.fail("a grader was started"))
    with zipfile.ZipFile(tmp_path / "moodle.zip", "w") as archive:
        archive.writestr("Jun_13_assignsubmission_file_/hw.py", "print()")
        archive.writestr("Sora_14_assignsubmission_file_/slow.zip", b"PK")
    files = {"table": tmp_path / "t.csv", "moodle": tmp_path / "m.csv"}
    assert handins_view.verify([tmp_path / "moodle.zip"], Settings(), **files) == 1
    rows = {row["name"]: (row["outcome"], row["why"]) for row in read(tmp_path / "t.csv", "utf-8-sig")}
    assert rows["Jun"] == ("broken", "there is no hand-in in it: no handin.json and no zip; it has: hw.py")
    assert "no whole zip" in rows["Sora: slow"][1]
    assert {row["Full name"] for row in read(tmp_path / "m.csv")} == {"Jun", "Sora"}
    assert "2 of 2: Jun: broken" in capsys.readouterr().err


def test_hand_ins_that_no_gradebook_has_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A student would have no grade, and nobody noticed among thirty."""
    rows = [row("sora", "canvas", "77"), row("mina"), row("anonymous").but(uploaded=None)]
    handins_view._write_grades("canvas", tmp_path / "c.csv", rows)
    assert "c.csv: left out, not being of such a download: slow-mina, slow-anonymous" in capsys.readouterr().err
    handins_view._write_grades("canvas", tmp_path / "none.csv", rows[1:])
    assert "none.csv: not written" in capsys.readouterr().err
