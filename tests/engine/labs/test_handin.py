"""Handing in: the folder holds what was graded, and a save starts a quick grading."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from descent.common.errors import DescentError
from descent.run.events import Events
from descent.run.folder import create
from engine import cli
from engine.cli import lab_watch
from engine.labs import handin, progress
from engine.labs.handin import write
from tests.helpers.graded_lab import SOLVED, START, begin, make_lab, work_on
from tests.helpers.processes import process
from tests.helpers.waiting import wait_for


@pytest.mark.slow
def test_a_hand_in_holds_the_work_and_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """An instructor could not see whose it is, what was done, or whether it was changed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "m.kim")
    monkeypatch.setenv("LOGNAME", "m.kim")
    lab = make_lab(tmp_path)
    work = work_on(lab, tmp_path / "work")
    begin(lab, work)
    with pytest.raises(DescentError, match="descent lab check slow"):
        write(lab, tmp_path, "early")
    run = create(tmp_path / "runs", "slow-mine", work.file().read_text(), {})
    Events(run.path).write("command", step=40, command="set", arguments={"key": "optimizer.lr", "value": 0.5})
    progress.hinted(lab.id, 2, "slope")
    assert process(["lab", "check", "slow"]).code == 0
    done = process(["lab", "report", "slow", "--student", "김민아 (2021-12)"])
    assert done.code == 0, done
    file = tmp_path / "slow-김민아_2021-12.zip"
    assert done.out.strip() == str(file)
    files = content(file)
    expected = {"slow.toml", "slow.py", "verdict.json", "predictions.json", "edits.json", "metrics.csv"}
    assert set(files) == expected | {"report.html", "handin.json"}
    assert files["slow.py"].decode() == SOLVED
    [edited] = json.loads(files["edits.json"])
    assert (edited["run"], edited["commands"][0]["step"]) == ("slow-mine", 40)
    page = files["report.html"].decode()
    for part in (
        "set optimizer.lr 0.5 (40)",
        "<td>optimizer.lr</td><td>0.01</td><td>0.5</td>",
        "return 2 * x",
        "김민아",
    ):
        assert part in page, part
    plots = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len([ElementTree.fromstring(plot) for plot in plots]) == 2  # loss and gradient norm
    assert len(files["metrics.csv"].splitlines()) > 100
    said = json.loads(files["handin.json"])
    assert (said["student"], said["login"], said["attempts"]) == ("김민아 (2021-12)", "m.kim", 1)
    assert said["hints"] == {"slope": 2}
    assert {one["id"]: one["passed"] for one in said["history"][0]["checks"]}["slope"] is True
    assert datetime.fromisoformat(said["written"]).utcoffset() == timedelta(0)
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in set(files) - {"handin.json"}}
    assert said["sha256"] == hashes
    again = process(["lab", "report", "slow"])  # the name is kept, and the old one is replaced
    assert (again.out.strip(), again.err.strip()) == (str(file), "the hand-in that was there is replaced")
    (tmp_path / "work" / "slow.py").write_text(START)
    with pytest.raises(DescentError, match=r"slow\.py was edited after grading"):
        write(lab, tmp_path, "late")
    assert content(file)["slow.py"].decode() == SOLVED


def content(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(file: Path, manifest: dict[str, Any]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("handin.json", json.dumps(manifest))
    return file


@pytest.mark.parametrize(
    ("said", "is_mine"),
    [({}, True), ({"lab": "xor"}, False), ({"student": "jun"}, False), ({"login": "jun"}, False)],
)
def test_only_a_hand_in_of_one_s_own_is_replaced(tmp_path: Path, said: dict[str, str], is_mine: bool) -> None:
    """In a folder for all, or under a name of one's own, somebody else's work would be gone."""
    about = {"lab": "slow", "student": "mina", "login": "mina"}
    assert handin.is_mine(zipped(tmp_path / "a.zip", {**about, **said}), about) is is_mine
    (tmp_path / "thesis.zip").write_bytes(b"PK")
    assert not handin.is_mine(tmp_path / "thesis.zip", about)


def test_a_hand_in_can_be_read_by_the_group(tmp_path: Path) -> None:
    """Who grades as another user would see no hand-in."""
    umask = os.umask(0o077)
    try:
        handin.write_zip(tmp_path / "in" / "slow-mina.zip", {"handin.json": b"{}"})
    finally:
        os.umask(umask)
    assert (tmp_path / "in" / "slow-mina.zip").stat().st_mode & 0o777 == 0o640


def test_who_hands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """All hand-ins of a class would have the same name, or a student would be asked each time."""
    monkeypatch.delenv("DESCENT_STUDENT", raising=False)
    assert handin.known_student() is None
    progress.named("mina")
    assert handin.known_student() == "mina"
    monkeypatch.setenv("DESCENT_STUDENT", "2021-12")
    assert handin.known_student() == "2021-12"
    assert handin.file_name("gd-line", "../김 민아;") == "gd-line-김_민아.zip"
    for name in ("", " \t", "x" * 65):
        with pytest.raises(DescentError, match="1 to 64 characters"):
            handin.student_named(name)


@pytest.mark.slow
def test_a_save_starts_a_quick_grading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None) -> None:
    """`lab watch` would sit there, or leave processes behind at its end."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    work = work_on(lab, tmp_path / "work", code=START)
    begin(lab, work)
    printed = tmp_path / "printed"
    with printed.open("wb") as out:
        watch = subprocess.Popen(
            [sys.executable, "-m", "descent", "lab", "watch", "slow", "--lang", "en"], stdout=out
        )
    try:
        wait_for(lambda: "Watching slow.toml, slow.py" in printed.read_text(), "the first line")
        assert work.code is not None
        work.code.write_text(SOLVED)
        wait_for(lambda: "4 of 4 met" in printed.read_text(), "the verdict")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        watch.wait()
    assert progress.load().of("slow").count == 0  # it counts for nothing


def test_a_save_as_soon_as_it_watches_is_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who saves as the first line appears would wait for a verdict that never comes."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    work = work_on(lab, tmp_path / "work", code=START)
    begin(lab, work)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            assert work.code is not None
            work.code.write_text(SOLVED)

    def rest(_: float) -> None:
        raise KeyboardInterrupt  # after the first look

    monkeypatch.setattr(lab_watch.stdio, "say", say)
    monkeypatch.setattr(lab_watch, "time", SimpleNamespace(sleep=rest))
    grader = SimpleNamespace(is_done=False, end=lambda: None)
    monkeypatch.setattr(lab_watch, "Grader", lambda *_, **__: grader)
    assert lab_watch.watch_again("slow") == 0
    assert said[1:] == ["saved; running with one seed …"]


@pytest.mark.parametrize(
    "words",
    [
        ("lab", "report", "slow", "there"),
        ("lab", "verify", "x", "--csv", "there"),
        ("lab", "verify", "x", "--moodle", "there"),
        ("lab", "verify", "x", "--canvas", "there"),
        ("class", "x", "--csv", "there"),
        ("class", "x", "--pages", "there"),
        ("presets", "copy", "digits-mlp", "there"),
        ("predict", "run", "x", "--out", "there"),
        ("export", "run", "--out", "there"),
        ("export", "run", "--tensorboard", "there"),
    ],
)
def test_what_is_only_written_need_not_be_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    """The folder of a class shows nobody what others have handed in: no student could hand in there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: mode != os.R_OK and may(path, mode, **more))
    cli.main(list(words))  # something else is missing for most of them
    assert "not readable" not in capsys.readouterr().err
