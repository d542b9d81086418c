"""`descent lab …` is how a learner without a screen gets through the course, and what the console asks."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from descent.common import stdio
from descent.common.errors import ExitCode
from descent.common.i18n import kept_file
from descent.common.paths import state_dir
from engine import cli
from engine.labs import progress
from engine.labs.library import Lab, load_lab
from tests.helpers.processes import DESCENT
from tests.helpers.small_lab import LAB, PRESET, make_lab
from tests.helpers.waiting import DEADLINE

WAY = """
[[lab.predictions]]
id = "way"
kind = "choice"
text = { en = "Which way?", ko = "어느 쪽일까요?" }
choices = [{ id = "up", text = { en = "Up", ko = "위" } }, { id = "down", text = { en = "Down", ko = "아래" } }]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    make_lab(folder / "labs")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert cli.main(["lab", *words]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    found = json.loads(said(capsys, "list", "--json").splitlines()[-1])
    return {entry["id"]: entry for entry in found["labs"]}


@pytest.mark.slow
def test_a_whole_lab_without_a_screen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command must say what comes next, or a learner over a slow line is stuck."""
    out = said(capsys, "start", "slow-line")
    assert "The loss falls **slowly**." in out
    assert "1. Make it faster." in out
    assert "descent lab predict slow-line" in out
    out = said(capsys, "predict", "slow-line", "bias=1.5")
    assert "Where does b end?\n    1.5" in out
    assert "descent console slow-line" in out
    assert "descent lab check slow-line" in out
    assert "Hint 1 of 3" in said(capsys, "hint", "slow-line")
    assert "lr = 0.5" in said(capsys, "hint", "slow-line", "--level", "3")
    assert "opens once the lab is passed" in said(capsys, "explain", "slow-line", code=ExitCode.WRONG_USE)
    progress.attempted("slow-line", passed=True, met=1, of=1, checks=[])
    assert "descent lab explain slow-line" in said(capsys)
    assert "Because of the rate." in said(capsys, "explain", "slow-line")
    out = said(capsys, "solution", "slow-line")
    assert "Fifty times as fast." in out
    assert "--set optimizer.lr=0.5" in out
    assert listed(capsys)["slow-line"]["state"] == "passed"
    again = said(capsys, "start", "slow-line", "--again")  # to go on with it, passed as it is
    assert "Next: slow-line" in again
    assert "descent console slow-line" in again


@pytest.mark.slow
def test_from_another_folder_the_way_back_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner who comes back tomorrow would be told commands that find nothing."""
    assert "cd " not in said(capsys, "start", "slow-line")
    (here.parent / "else").mkdir()
    monkeypatch.setenv("DESCENT_PRESETS", str(here))
    monkeypatch.chdir(here.parent / "else")
    assert f"cd {here}" in said(capsys)
    (here / "slow-line.toml").unlink()
    out = said(capsys)
    assert "cd " not in out
    assert "descent lab start slow-line" in out


@pytest.mark.slow
def test_the_list_as_json_and_as_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that follows a class could not tell who is where; one broken lab would hide the others."""
    make_lab(here, "torn", lab="[lab")
    fresh = listed(capsys)["slow-line"]
    assert fresh == {
        "id": "slow-line",
        "title": "A slow line",
        "topic": "lines",
        "builds_on": [],
        "homework": False,
        "state": "new",
        "attempts": 0,
        "best": None,
    }
    progress.attempted("slow-line", passed=False, met=1, of=4, checks=[])
    progress.attempted("slow-line", passed=True, met=3, of=4, checks=[])
    found = listed(capsys)
    assert (found["slow-line"]["attempts"], found["slow-line"]["best"]) == (2, 0.75)
    assert found["torn"]["state"] == "broken"
    assert "torn/lab.toml" in str(found["torn"]["error"])
    table = said(capsys, "list")
    assert re.search(r"✓ +slow-line +A slow line +2 +75%", table)
    assert re.search(r"torn: broken: torn/lab\.toml", table)


@pytest.mark.slow
def test_korean_is_kept_and_fits(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wide letters would tear the table, or each command would need --lang ko."""
    long = LAB.replace("느린 직선", "아주 느린 직선을 천천히 그리고 또 천천히 맞추는 아주 긴 제목의 실습")
    make_lab(here, "wide", lab=long)
    assert "과제" in said(capsys, "start", "slow-line", "--lang", "ko")
    assert "내 예측" in said(capsys, "predict", "slow-line", "bias=1")
    assert "먼저 예측하세요" in said(capsys, "start", "wide") + _refused(capsys)
    monkeypatch.setattr(stdio, "width", lambda: 60)
    table = said(capsys, "list")
    assert "시도" in table
    assert max(map(cell_len, table.splitlines())) <= 60
    row, other = (next(line for line in table.splitlines() if name in line) for name in ("slow-line", "wide"))
    assert cell_len(row[: row.index("느린")]) == cell_len(other[: other.index("아주")])
    assert "Tasks" in said(capsys, "start", "slow-line", "--again", "--lang", "en")


@pytest.mark.slow
def test_a_language_that_can_t_be_kept_is_spoken_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """On a full disk the next command would be in English again, and nobody would know why."""
    kept_file().parent.parent.mkdir(parents=True, exist_ok=True)
    kept_file().parent.write_text("in the way")
    assert cli.main(["lab", "list", "--lang", "ko"]) == 0
    captured = capsys.readouterr()
    assert "시도" in captured.out
    assert f"descent: {kept_file()}: " in captured.err


def _refused(capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["run", "wide"]) == ExitCode.WRONG_USE
    return capsys.readouterr().err


def test_where_nobody_can_answer_the_questions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch job would wait for an answer for ever."""
    assert cli.main(["lab", "predict", "slow-line"]) == ExitCode.WRONG_USE
    captured = capsys.readouterr()
    assert "Where does b end?" in captured.out
    assert "descent lab predict slow-line bias=…" in captured.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["start", "slow_lien"], "no such lab; did you mean slow-line"),
        (["predict", "slow-line", "bias"], "must have the form KEY=VALUE"),
        (["predict", "slow-line", "bias=x"], 'bias = "x": must be a number'),
        (["hint", "slow-line", "--level", "7"], "must be from 1 to 3"),
        (["list", "--lang", "fr"], "must be en or ko"),
        (["new", "../x"], "a lab's id has only a-z"),
        (["strat", "slow-line"], "start"),
    ],
)
def test_wrong_words_are_answered(capsys: pytest.CaptureFixture[str], words: list[str], text: str) -> None:
    """A typo would end in a traceback or without a hint."""
    assert text in said(capsys, *words, code=ExitCode.WRONG_USE)


@pytest.mark.slow
def test_one_is_asked_one_by_one(here: Path) -> None:
    """A learner would have to know the names of all predictions."""
    make_lab(here, "two", lab=LAB.replace("[[lab.tasks]]", f"{WAY}\n[[lab.tasks]]"))
    screen, terminal = pty.openpty()
    child = subprocess.Popen([*DESCENT, "lab", "predict", "two"], stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    printed = b""

    def answer(question: bytes, words: bytes) -> None:
        nonlocal printed
        while question not in printed:
            printed += os.read(screen, 4096)
        printed = b""
        os.write(screen, words + b"\n")

    answer(b"bias = ", b"much")
    answer(b"must be a number", b"1.5")
    answer(b"way = ", b"2")
    with contextlib.suppress(OSError):  # what a terminal says once nobody writes to it
        while os.read(screen, 4096):
            pass
    os.close(screen)
    assert child.wait(DEADLINE) == 0
    assert progress.load().of("two").predictions == {"bias": 1.5, "way": "down"}


@pytest.mark.slow
def test_a_broken_state_is_said_once_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """One bad byte, and no lab could ever be opened again."""
    state_dir().mkdir(parents=True)
    (state_dir() / "labs.json").write_text("{")
    assert cli.main(["lab", "list"]) == 0
    captured = capsys.readouterr()
    assert "labs.broken-1.json" in captured.err
    assert "slow-line" in captured.out
    assert cli.main(["lab", "list"]) == 0
    assert capsys.readouterr().err == ""


def test_a_state_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learner with a full quota would believe that a prediction was kept."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    error = said(capsys, "predict", "slow-line", "bias=1", code=ExitCode.WRONG_USE)
    assert "XDG_STATE_HOME" in error


def test_a_new_lab_is_whole_and_can_be_started(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An instructor's first lab would begin with someone else's errors."""
    assert str(here / "my-lab" / "lab.toml") in said(capsys, "new", "my-lab")
    made = load_lab(here / "my-lab")
    assert isinstance(made, Lab)
    solved = made.preset().changed(made.solution().set)
    assert solved.optimizer.lr != made.preset().optimizer.lr
    assert set(made.solution().predictions) == {one.id for one in made.model.predictions}
    assert "descent lab predict my-lab" in said(capsys, "start", "my-lab")
    assert "exists already" in said(capsys, "new", "my-lab", code=ExitCode.WRONG_USE)


@pytest.mark.slow
def test_texts_of_a_lab_do_not_drive_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lab from the web could clear the screen, or end in an error of markup."""
    evil = LAB.replace("The loss falls **slowly**.", "x\\u001b[2Jy [/red] [bold]z").replace("One knob.", "\\u009b2J")
    make_lab(here, "evil", lab=evil.replace("A slow line", "\\u001b]0;t\\u0007 [/]"), preset=PRESET)
    out = said(capsys, "start", "evil") + said(capsys, "list") + said(capsys, "hint", "evil")
    assert "[/red] [bold]z" in out
    assert "\x1b" not in out
    assert "\x9b" not in out


@pytest.mark.slow
def test_the_labs_begin_light() -> None:
    """`descent lab list` and Home would wait for torch."""
    code = "import engine.cli.lab_view, engine.labs.flow, engine.labs.template, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "sklearn", "textual", "tui"} & set(done.stdout.split())


@pytest.mark.slow
def test_a_lab_in_the_place_of_a_command_is_opened(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner who types `descent lab outliers` would read "No such command"."""
    out = said(capsys, "slow-line")
    assert "Next: slow-line" in out
    assert "descent lab start slow-line" in out
    opened: list[str] = []
    monkeypatch.setattr("engine.cli.lab._has_screen", lambda: True)
    monkeypatch.setattr("tui.open_console", lambda *, lab: opened.append(lab) or 0)
    said(capsys, "slow-line")
    said(capsys)
    assert opened == ["slow-line", "slow-line"]


@pytest.mark.parametrize(("word", "meant"), [("chekc", "check"), ("slow-lin", "slow-line")])
def test_a_word_that_is_no_lab_and_no_command_is_told_what_is_meant(
    here: Path, capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    """A learner would look for the slip in a list of commands."""
    assert f"did you mean descent lab {meant}?" in said(capsys, word, code=2)
    assert "there are: list, start" in said(capsys, "zzzzzz", code=2)


def test_a_lab_that_moves_to_another_folder_says_so(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner would go on with the files of the first folder, and the empty ones be graded."""
    assert "moves here" not in said(capsys, "start", "slow-line")
    other = here / "other"
    make_lab(other / "labs")
    monkeypatch.chdir(other)
    out = said(capsys, "start", "slow-line")
    assert "moves here" in out
    assert str(here) in out
