"""Verifying: hand-ins are graded once more, whatever is in their folders."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import ExitCode
from engine.labs.handin import write
from engine.labs.verdict import Result, Verdict, versions
from engine.labs.verify import compared, verified
from tests.helpers.graded_lab import begin, make_lab, work_on
from tests.helpers.processes import Child, fork_grader


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-in that was graded here, in the folder that has labs/slow. To be copied, not changed."""
    home = tmp_path_factory.mktemp("class")
    lab = make_lab(home)
    begin(lab, work_on(lab, home / "work"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        fork_grader(monkeypatch)
        done = Child(["lab", "check", "slow", "--json"], tmp_path_factory.mktemp("printed"), cwd=home).start().end()
        assert done.code == 0, done
        monkeypatch.chdir(home)
        return write(lab, home / "mina")


@pytest.fixture
def hand_in(handed_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in the class's folder."""
    shutil.copytree(handed_in.parent / "labs", tmp_path / "labs")
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(handed_in, tmp_path / "mina"))


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Change a file, and the hash that is kept of it, as somebody who cheats would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "handin.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / "handin.json").write_text(json.dumps(manifest))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_grader")
def test_honest_work_agrees_and_a_polished_verdict_does_not(
    hand_in: Path, descent: Callable[..., Child], tmp_path: Path
) -> None:
    """An instructor would believe what a file says, or doubt what is right."""
    cheat = Path(shutil.copytree(hand_in, tmp_path / "=cheat"))
    verdict = json.loads((cheat / "verdict.json").read_text())
    verdict["checks"][0]["value"] = 1e-9
    rewrite(cheat, "verdict.json", json.dumps(verdict).encode())
    words = ["lab", "verify", str(hand_in), str(cheat), "--allow-code", "--csv", "table.csv"]
    done = descent(*words, "--json").end()
    assert done.code == ExitCode.CHECK_FAILED
    honest, polished = done.json["handins"]
    assert (honest["outcome"], honest["handed_in"], honest["ours"]) == ("agrees", "4/4", "4/4"), honest
    assert polished["outcome"] == "does not agree"
    assert polished["why"].startswith("loss: 1e-09 handed in")
    assert "no sandbox" in done.err
    with (tmp_path / "table.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["mina", "'=cheat"]


def test_code_runs_only_where_it_is_asked_for(hand_in: Path) -> None:
    """Whoever hands in could do on the instructor's machine what they like."""
    rewrite(hand_in, "slow.py", b"open('/tmp/never', 'w')\n")
    row = verified(hand_in, allow_code=False)
    assert (row.outcome, row.why) == ("not run", "it has code; --allow-code runs it")


def _removed(folder: Path) -> None:
    (folder / "verdict.json").unlink()


def _no_json(folder: Path) -> None:
    (folder / "handin.json").write_text("{")


def _deep(folder: Path) -> None:
    (folder / "handin.json").write_text("[" * 100_000)


def _other_lab(folder: Path) -> None:
    (folder / "handin.json").write_text('{"format": 1, "lab": "../../etc", "sha256": {}}')


def _edited(folder: Path) -> None:
    (folder / "slow.toml").write_text("title = 'other'")


def _huge(folder: Path) -> None:
    with (folder / "verdict.json").open("wb") as file:
        file.truncate(1 << 40)


def _link(folder: Path) -> None:
    (folder / "verdict.json").unlink()
    (folder / "verdict.json").symlink_to("/etc/passwd")


def _pipe(folder: Path) -> None:
    (folder / "verdict.json").unlink()
    os.mkfifo(folder / "verdict.json")


def _no_preset(folder: Path) -> None:
    rewrite(folder, "slow.toml", b"\xff\xfe")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_removed, "verdict.json: can't be read"),
        (_no_json, "handin.json is not JSON"),
        (_deep, "handin.json is not JSON"),
        (_other_lab, "no such lab"),
        (_edited, "slow.toml was changed after the hand-in was written"),
        (_huge, "too much for a file of a hand-in"),
        (_link, "is not a regular file"),
        (_pipe, "is not a regular file"),
        (_no_preset, "is not UTF-8"),
    ],
)
def test_a_broken_hand_in_is_a_line_of_the_table(hand_in: Path, spoil: Any, why: str) -> None:
    """One bad folder would end the table of a whole class, or never be done with."""
    spoil(hand_in)
    row = verified(hand_in, allow_code=True)
    assert row.outcome == "broken"
    assert why in row.why


def test_another_machine_is_no_accusation() -> None:
    """A value that differs in its last digits would look like cheating."""
    ours = Verdict("slow", (Result("loss", "", 0.25, True),))

    def outcome(value: float, *, passed: bool = True, same_lab: bool = True, **machine: str) -> str:
        check = {"id": "loss", "value": value, "passed": passed}
        return compared({"checks": [check], "versions": {**versions(), **machine}}, ours, same_lab=same_lab)[0]

    assert outcome(0.2501) == "agrees"
    assert outcome(0.26) == "does not agree"
    assert outcome(0.25, passed=False) == "does not agree"
    assert outcome(0.26, torch="1.0") == "not comparable"
    assert outcome(0.26, processor="another") == "not comparable"
    assert outcome(0.26, same_lab=False) == "not comparable"
    assert outcome(0.2501, torch="1.0") == "agrees"
