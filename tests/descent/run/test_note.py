"""What a user has noted on a run must survive copies, and must not keep the run from being read."""

import json
import shutil
from pathlib import Path

import pytest

from descent.common.errors import DescentError
from descent.run.note import FILE, LONGEST, Note, read_note, write_note
from engine import cli


def test_it_is_kept_in_the_folder_and_copied_with_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert read_note(run) == Note()
    write_note(run, Note("long run, to see it overfit \x1b[2J #demo, #week3 #demo", pinned=True))
    shutil.copytree(run, tmp_path / "copy")
    found = read_note(tmp_path / "copy")
    assert found.tags == ("demo", "week3")
    assert "\x1b" not in found.text
    assert found.pinned
    write_note(run, Note())
    assert not (run / FILE).exists()


@pytest.mark.parametrize("stored", ["", "[]", "{", '{"text": 3, "pinned": "yes"}', "[" * 100_000])
def test_a_damaged_one_is_none(tmp_path: Path, stored: str) -> None:
    """A run would be listed as damaged for a remark on it."""
    (tmp_path / FILE).write_text(stored)
    assert read_note(tmp_path) == Note()


def test_what_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DescentError, match="500 characters, not 501"):
        write_note(tmp_path, Note("x" * (LONGEST + 1)))


def test_the_command_notes_and_the_lists_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a script nor a user without a screen could tell runs apart by what they were for."""
    monkeypatch.setenv("DESCENT_RUNS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "preset.toml").write_text("")

    def answer(*words: str) -> str:
        assert cli.main(list(words)) == 0
        return capsys.readouterr().out

    assert json.loads(answer("note", "mine", "overfits", "#demo", "--pin", "--json")) == {
        "run": "mine", "note": "overfits #demo", "tags": ["demo"], "pinned": True,
    }  # fmt: skip
    [entry] = json.loads(answer("runs", "--json"))["runs"]
    assert (entry["note"], entry["tags"], entry["pinned"]) == ("overfits #demo", ["demo"], True)
    assert "▾ overfits #demo" in answer("runs")
    assert json.loads(answer("note", "mine", "--unpin", "--json"))["note"] == "overfits #demo"
    assert json.loads(answer("note", "mine", "--clear", "--json")) == {
        "run": "mine", "note": "", "tags": [], "pinned": False,
    }  # fmt: skip
