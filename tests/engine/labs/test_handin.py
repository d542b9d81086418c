"""Handing in: the folder holds what was graded, and a save starts a quick grading."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from descent.common.errors import DescentError
from descent.run.events import Events
from descent.run.folder import create
from engine.cli import lab_watch
from engine.labs import progress
from engine.labs.handin import write
from tests.helpers.graded_lab import SOLVED, START, begin, make_lab, work_on
from tests.helpers.processes import process
from tests.helpers.waiting import wait_for


@pytest.mark.slow
def test_a_hand_in_holds_the_work_and_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """An instructor could not see what was done, or whether it was changed afterwards."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    work = work_on(lab, tmp_path / "work")
    begin(lab, work)
    with pytest.raises(DescentError, match="descent lab check slow"):
        write(lab, tmp_path / "early")
    run = create(tmp_path / "runs", "slow-mine", work.file().read_text(), {})
    Events(run.path).write("command", step=40, command="set", arguments={"key": "optimizer.lr", "value": 0.5})
    assert process(["lab", "check", "slow"]).code == 0
    done = process(["lab", "report", "slow", "handed-in"])
    assert done.code == 0, done
    folder = tmp_path / "handed-in"
    names = {path.name for path in folder.iterdir()}
    expected = {"slow.toml", "slow.py", "verdict.json", "predictions.json", "edits.json", "metrics.csv", "report.md"}
    assert names == expected | {"plot.svg", "handin.json"}
    assert (folder / "slow.py").read_text() == SOLVED
    [edited] = json.loads((folder / "edits.json").read_text())
    assert (edited["run"], edited["commands"][0]["step"]) == ("slow-mine", 40)
    page = (folder / "report.md").read_text()
    assert "set optimizer.lr 0.5 (40)" in page
    assert "| optimizer.lr | 0.01 | 0.5 |" in page
    assert ElementTree.parse(folder / "plot.svg").getroot().tag.endswith("svg")
    assert len((folder / "metrics.csv").read_text().splitlines()) > 100
    hashes = json.loads((folder / "handin.json").read_text())["sha256"]
    assert hashes == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names - {"handin.json"}
    }
    with pytest.raises(DescentError, match="exists already; give another folder"):
        write(lab, folder)
    (tmp_path / "work" / "slow.py").write_text(START)
    with pytest.raises(DescentError, match=r"slow\.py was edited after grading"):
        write(lab, tmp_path / "late")


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
