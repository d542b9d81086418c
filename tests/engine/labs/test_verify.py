"""Verifying: hand-ins are graded once more, whatever is in their folders."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent import warm
from descent.common.errors import ExitCode
from descent.common.paths import state_dir
from engine.labs import verify
from engine.labs.handed_in import HandedIn
from engine.labs.handin import write
from engine.labs.messages import CheckError
from engine.labs.regrade import Settings, _keep, looked_at, verify_all
from engine.labs.sandbox.client import Learner
from engine.labs.sandbox.enclosure import LEVELS, Level, Protection, protection
from engine.labs.verdict import Result, Verdict, versions
from engine.labs.verify import compared, verified
from tests.helpers.graded_lab import SOLVED, begin, make_lab, work_on
from tests.helpers.processes import Child
from tests.helpers.small_lab import LAB, PRESET
from tests.helpers.small_lab import make_lab as make_small_lab
from tests.helpers.verdicts import whole
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow  # the hand-in that they all copy is graded first


@pytest.fixture(scope="module")
def handed_in(warm_process: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-in that was graded here, in the folder that has labs/slow. To be copied, not changed."""
    home = tmp_path_factory.mktemp("class")
    lab = make_lab(home)
    begin(lab, work_on(lab, home / "work"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("DESCENT_WARM")
        done = Child(["lab", "check", "slow", "--json"], tmp_path_factory.mktemp("printed"), cwd=home).start().end()
        assert done.code == 0, done
        monkeypatch.chdir(home)
        written = write(lab, home, "mina").path
        with zipfile.ZipFile(written) as archive:
            archive.extractall(home / "mina")
        return home / "mina"


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


@pytest.mark.usefixtures("warm")
def test_honest_work_agrees_and_a_polished_verdict_does_not(
    hand_in: Path, descent: Callable[..., Child], tmp_path: Path
) -> None:
    """An instructor would believe what a file says, or doubt what is right."""
    cheat = Path(shutil.copytree(hand_in, tmp_path / "=cheat"))
    verdict = json.loads((cheat / "verdict.json").read_text())
    verdict["checks"][0]["value"] = 1e-9
    rewrite(cheat, "verdict.json", json.dumps(verdict).encode())
    words = ["lab", "verify", str(hand_in), str(cheat), "--allow-code", "--unprotected", "--csv", "table.csv"]
    done = descent(*words, "--json").end()
    assert done.code == ExitCode.CHECK_FAILED
    polished, honest = sorted(done.json["handins"], key=lambda row: row["name"])
    assert (honest["outcome"], honest["handed_in"], honest["ours"]) == ("agrees", "4/4", "4/4"), honest
    assert polished["outcome"] == "does not agree"
    assert polished["why"].startswith("loss: 1e-09 handed in")
    assert f"protection from the code that was handed in: {protection().text()}" in done.err
    assert done.json["protection"] == {"level": protection().level, "by": protection().by}
    with (tmp_path / "table.csv").open(encoding="utf-8-sig") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["'=cheat", "mina"]
    assert (rows["mina"]["ours_met"], rows["mina"]["ours_of"], rows["mina"]["grade"]) == ("4", "4", "100.0")


HIDDEN = """
[lab.hidden]
set = ["train.seed=900"]

[[lab.hidden.checks]]
id = "far"
text = { en = "slope(100)", ko = "slope(100)" }
value = 'abs(learner("slope", 100.0) - 200.0)'
most = 1e-6
"""


@pytest.mark.usefixtures("warm")
def test_what_is_graded_stays_and_hidden_criteria_count(
    hand_in: Path, descent: Callable[..., Child], tmp_path: Path
) -> None:
    """Whoever writes down the answers of the visible checks would pass, and each call would grade a class anew."""
    (tmp_path / "ours" / "slow").mkdir(parents=True)
    (tmp_path / "ours" / "slow" / "hidden.toml").write_text(HIDDEN)
    cheat = Path(shutil.copytree(hand_in, tmp_path / "cheat"))
    rewrite(cheat, "slow.py", SOLVED.replace("return 2 * x", "return 2 * x if x < 50 else 0").encode())
    words = ["lab", "verify", str(hand_in), str(cheat), "--json", "--allow-code", "--unprotected"]
    wrong = descent(*words, "--instructor", "our").end()
    assert wrong.code == ExitCode.WRONG_USE
    assert "our: no such folder; --instructor or $DESCENT_INSTRUCTOR names" in wrong.err + wrong.json["error"]
    words += ["--instructor", "ours"]
    done = descent(*words).end()
    row, honest = done.json["handins"]
    assert (row["ours"], row["hidden"], row["not_met"]) == ("4/4", "4/5", ["far"])
    assert row["why"] == "hidden: far not met"
    assert (honest["outcome"], honest["ours"], honest["hidden"]) == ("agrees", "4/4", "5/5")
    kept = list((state_dir() / "verified").glob("*.json"))
    assert len(kept) == 2
    for file in kept:  # taken from there, not graded anew
        file.write_text(json.dumps({**json.loads(file.read_text()), "ours": "1/4"}))
    assert [row["ours"] for row in descent(*words).end().json["handins"]] == ["1/4", "1/4"]
    assert [row["ours"] for row in descent(*words, "--again").end().json["handins"]] == ["4/4", "4/4"]


WITHOUT_MEMORY = """
import sys
from descent.common.machine import Memory
from descent.common import turn
from engine.labs import verify
turn.seen = lambda: turn.Seen(Memory(0, 1 << 30), under_way=3)
turn._LONGEST, turn._LOOK = 0.02, 0.02
sys.exit(verify.main(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_grading_begins_when_there_is_memory_and_says_what_it_waits_for(
    hand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty at once would have the kernel end somebody's run, and mark an honest hand-in as broken."""

    def start(module: str, asked: str, **streams: Any) -> "subprocess.Popen[bytes]":
        assert module == verify.__name__
        return subprocess.Popen([sys.executable, "-c", WITHOUT_MEMORY, asked], **streams)

    monkeypatch.setattr(warm, "start", start)
    said: list[tuple[str, str]] = []
    settings = Settings(allow_code=True, least="limits")
    [row] = verify_all(
        [HandedIn(hand_in)],
        settings,
        lambda done, of, row: None,
        lambda one, for_what: said.append((one.name, for_what)),
    )
    assert said == [("mina", "waits for memory, behind 3 others")]
    assert (row.outcome, row.ours, row.level) == ("not run", "", "")
    assert row.why.startswith("too little memory"), row
    assert "attempt" not in row.why
    [asked_again] = looked_at([HandedIn(hand_in)], settings)
    assert asked_again.row.outcome == "not run"  # nothing is kept, so that the same command grades it


@pytest.mark.usefixtures("warm")
def test_after_ctrl_c_the_same_command_grades_the_others(
    hand_in: Path, descent: Callable[..., Child], tmp_path: Path
) -> None:
    """An instructor would wait for a whole class once more, or miss those that were in the midst of their grading."""
    count = 4
    for number in range(count):
        copy = Path(shutil.copytree(hand_in, tmp_path / "class" / f"student-{number}"))
        rewrite(copy, "slow.py", f"{SOLVED}# of student {number}\n".encode())
    words = ["lab", "verify", "class", "--json", "--allow-code", "--unprotected", "--jobs", "2"]
    begun = descent(*words)
    said = begun.folder / "err"
    wait_for(lambda: said.is_file() and f"1 of {count}" in said.read_text(), "the first grading")
    begun.send(signal.SIGINT)
    interrupted = begun.end()
    assert interrupted.code == ExitCode.INTERRUPTED, interrupted
    done = {row["name"] for row in interrupted.json["handins"]}
    assert 1 <= len(done) < count
    assert f"interrupted: {len(done)} of {count} are graded, and kept" in interrupted.err
    kept = list((state_dir() / "verified").glob("*.json"))
    assert {json.loads(file.read_text())["name"] for file in kept} == done
    for file in kept:  # marked, to see that they are taken from there
        file.write_text(json.dumps({**json.loads(file.read_text()), "ours": "1/4"}))
    rows = descent(*words).end().json["handins"]
    assert len(rows) == count
    for row in rows:
        assert (row["outcome"], row["ours"]) == ("agrees", "1/4" if row["name"] in done else "4/4")


@pytest.mark.usefixtures("warm")
def test_what_ran_unprotected_is_graded_anew_where_protection_is_asked_for(
    hand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that could write into the instructor's files may have written its own grade, and it would stay."""
    with monkeypatch.context() as weak:
        weak.setattr(verify, "protection", lambda: Protection("limits"))
        row = verified(HandedIn(hand_in), allow_code=True, least="limits")
    assert (row.outcome, row.level) == ("agrees", "limits")
    [opened] = looked_at([HandedIn(hand_in)], Settings(allow_code=True, least="limits"))
    assert opened.row.outcome == "not run"
    _keep(opened.key, row)
    assert [_taken(hand_in, least) for least in LEVELS] == ["agrees", "not run", "not run"]
    _keep(opened.key, row.but(level="namespaces"))
    assert [_taken(hand_in, least) for least in LEVELS] == ["agrees", "agrees", "agrees"]


def _taken(hand_in: Path, least: Level) -> str:
    [opened] = looked_at([HandedIn(hand_in)], Settings(least=least))
    return opened.row.outcome


def test_code_runs_only_where_it_is_asked_for(hand_in: Path) -> None:
    """Whoever hands in could do on the instructor's machine what they like."""
    rewrite(hand_in, "slow.py", b"open('/tmp/never', 'w')\n")
    row = verified(HandedIn(hand_in), allow_code=False)
    assert (row.outcome, row.why) == ("not run", "it has code; --allow-code runs it")


def test_code_of_others_runs_only_where_it_can_be_kept_from_the_files(
    hand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without protection, a hand-in would read and delete what the instructor has."""
    monkeypatch.setattr(verify, "protection", lambda: Protection("limits"))
    row = verified(HandedIn(hand_in), allow_code=True)
    assert row.outcome == "not run"
    assert "--unprotected" in row.why


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
        (_huge, "verdict.json is damaged: File too large"),
        (_link, "it is a link, and what it leads to is not read"),
        (_pipe, "it is a pipe or a device, not a file"),
        (_no_preset, "is not UTF-8"),
    ],
)
def test_a_broken_hand_in_is_a_line_of_the_table(hand_in: Path, spoil: Any, why: str) -> None:
    """One bad folder would end the table of a whole class, or never be done with."""
    spoil(hand_in)
    row = verified(HandedIn(hand_in), allow_code=True, least="limits")
    assert row.outcome == "broken"
    assert why in row.why
    assert tempfile.gettempdir() not in row.why  # it says nothing of copies that are gone


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"checks": "none"}, "checks must be a list"),
        ({"checks": [3]}, "checks[0] must be an object"),
        ({"met": 5}, "met and of are not those of its checks"),
        ({"of": "\x1b[2J"}, "of must be a whole number"),
        ({"changed": {"optimizer.lr": 3}}, "changed.optimizer.lr must be two values"),
        ({"predictions": None}, "predictions must be a list"),
    ],
)
def test_a_verdict_that_descent_did_not_write(hand_in: Path, changed: dict[str, Any], why: str) -> None:
    """A hand-in would be told to agree, with more criteria met than its checks say."""
    verdict = json.loads((hand_in / "verdict.json").read_text())
    rewrite(hand_in, "verdict.json", json.dumps(verdict | changed).encode())
    row = verified(HandedIn(hand_in), allow_code=False)
    assert (row.outcome, row.handed_in) == ("broken", "")
    assert row.why.startswith(f"verdict.json is damaged: {why}")


# --- hand-ins that want to run code or to read what is not theirs ---


ALL_MAY_CHANGE = 'changes = ["data", "model", "loss", "optimizer", "schedule", "train", "members"]'
EVIL = (
    "from pathlib import Path\nPath({marker!r}).touch()\ndef f(*given, **named): raise RuntimeError('ran')\nNet = f\n"
)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`hostile(old, new)` writes a hand-in of the lab `open`, which has no code, with that change of its preset."""
    monkeypatch.chdir(tmp_path)
    make_small_lab(tmp_path / "labs", "open", lab=LAB.replace('changes = ["optimizer.lr"]', ALL_MAY_CHANGE))
    (tmp_path / "evil.py").write_text(EVIL.format(marker=str(tmp_path / "ran")))
    np.savez(tmp_path / "private.npz", x=np.ones((50, 1), np.float32), y=np.ones(50, np.float32))

    def write_folder(old: str, new: str, name: str = "mina") -> Path:
        folder = tmp_path / "handed-in" / name
        folder.mkdir(parents=True)
        assert old in PRESET
        verdict = whole([{"id": "loss", "value": 0.0}])
        (folder / "handin.json").write_text(json.dumps({"format": 1, "lab": "open", "sha256": {}}))
        rewrite(folder, "verdict.json", json.dumps(verdict).encode())
        rewrite(folder, "predictions.json", b'{"bias": 1.0}')
        preset = PRESET.replace(old, new.replace("HERE", str(tmp_path)))
        rewrite(folder, "open.toml", f'lab = "open"\n{preset}'.encode())
        return folder

    return write_folder


def verified_by_command(descent: Callable[..., Child], folder: Path, *words: str) -> dict[str, Any]:
    """The row of a hand-in, as `descent lab verify` prints it."""
    done = descent("lab", "verify", str(folder), *words, "--json").end()
    assert done.code == ExitCode.CHECK_FAILED, done
    row = done.json["handins"][0]
    assert isinstance(row, dict)
    return row


NO_CODE = "this lab takes no code"
NO_FILE = "a lab has no other files or runs"
LOSS, MODEL, DATA = 'name = "mse"', 'name = "linear"', 'name = "line"'


HOSTILE = [
    (LOSS, 'name = "code"\ncode = "HERE/evil.py:f"', f'loss.code = "HERE/evil.py:f": {NO_CODE}'),
    (LOSS, 'code = "../../evil.py:f"', NO_CODE),
    (LOSS, 'code = "open.py:f"', NO_CODE),
    (MODEL, 'name = "code"\ncode = "HERE/evil.py:Net"', NO_CODE),
    (DATA, 'name = "code"\ncode = "HERE/evil.py:f"', NO_CODE),
    ("epochs = 20", 'epochs = 20\ncode = "HERE/evil.py:f"', NO_CODE),
    (MODEL, 'name = "linear"\nfrom = "last"', f'model.from = "last": {NO_FILE}'),
    (MODEL, 'name = "torchvision"\narchitecture = "resnet18"\nweights = "HERE/private.npz"', NO_FILE),
    (DATA, 'name = "npz"\npath = "HERE/private.npz"', NO_FILE),
    (DATA, 'name = "pickle"\npath = "../../private.npz"', NO_FILE),
    (DATA, 'name = "images"\npath = "photos.zip"', NO_FILE),
    (DATA, 'name = "csv"\ntarget = "x"\npath = "/etc/passwd"', NO_FILE),
]


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("allow", [(), ("--allow-code",)], ids=["", "allowed"])
def test_a_hand_in_chooses_no_code_and_no_file(
    hostile: Callable[..., Path], descent: Callable[..., Child], tmp_path: Path, allow: tuple[str, ...]
) -> None:
    """Whoever hands in would run code as the instructor, or have the instructor's files read."""
    for number, (old, new, _why) in enumerate(HOSTILE):
        folder = hostile(old, new, f"mina-{number:02}")
    done = descent("lab", "verify", str(folder.parent), *allow, "--json").end()
    assert done.code == ExitCode.CHECK_FAILED, done
    rows = sorted(done.json["handins"], key=lambda row: row["name"])
    assert [row["name"] for row in rows] == [f"mina-{number:02}" for number in range(len(HOSTILE))]
    for row, (_old, new, why) in zip(rows, HOSTILE, strict=True):
        assert row["outcome"] == "not comparable", (new, row)
        assert why.replace("HERE", str(tmp_path))[:40] in row["why"], new
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("name", ["open.py", "code.py"])
def test_a_link_out_of_a_hand_in_leads_nowhere(
    hostile: Callable[..., Path], descent: Callable[..., Child], tmp_path: Path, name: str
) -> None:
    """A name that looks like the hand-in's own would stand for any file of the instructor's."""
    folder = hostile(LOSS, f'name = "code"\ncode = "{name}:f"')
    (folder / name).symlink_to(tmp_path / "evil.py")
    assert NO_CODE in verified_by_command(descent, folder)["why"]
    preset = (folder / "open.toml").rename(tmp_path / "elsewhere.toml")
    (folder / "open.toml").symlink_to(preset)
    assert "open.toml: can't be read: it is a link" in verified_by_command(descent, folder)["why"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("start_in", [".", "handed-in", "handed-in/mina"])
def test_a_hand_in_brings_no_lab_of_its_own(
    hostile: Callable[..., Path], descent: Callable[..., Child], tmp_path: Path, start_in: str
) -> None:
    """A hand-in beside the others would be found as a lab, with code of its own that nothing then differs from."""
    folder = hostile(LOSS, f'name = "code"\ncode = "{tmp_path}/evil.py:f"')
    given = PRESET.replace(LOSS, f'name = "code"\ncode = "{tmp_path}/evil.py:f"')
    (folder / "lab.toml").write_text(given + LAB)
    manifest = json.loads((folder / "handin.json").read_text())
    (folder / "handin.json").write_text(json.dumps({**manifest, "lab": "mina"}))
    rewrite(folder, "mina.toml", (folder / "open.toml").read_bytes())
    words = ["lab", "verify", str(folder), "--json"]
    done = descent(*words, cwd=tmp_path / start_in).end()
    why = done.json["handins"][0]["why"]
    assert "among the hand-ins" in why or '"mina": no such lab' in why
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("warm")
def test_consent_to_a_lab_s_code_is_consent_to_that_file_alone(
    hand_in: Path, descent: Callable[..., Child], tmp_path: Path
) -> None:
    """--allow-code for what was handed in would run any file that the preset names."""
    lab = tmp_path / "labs" / "slow" / "lab.toml"
    lab.write_text(lab.read_text().replace('changes = ["optimizer.lr", "train.epochs"]', ALL_MAY_CHANGE))
    (tmp_path / "evil.py").write_text(EVIL.format(marker=str(tmp_path / "ran")))
    preset = (hand_in / "slow.toml").read_text()
    rewrite(hand_in, "slow.toml", preset.replace(LOSS, f'name = "code"\ncode = "{tmp_path}/evil.py:f"').encode())
    row = verified_by_command(descent, hand_in, "--allow-code", "--unprotected")
    assert "takes code from slow.py only" in row["why"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("warm")
def test_a_grader_s_processes_run_no_code_by_themselves(tmp_path: Path) -> None:
    """Whatever starts one of them with a preset from elsewhere would have it run its code."""
    (tmp_path / "evil.py").write_text(EVIL.format(marker=str(tmp_path / "ran")))
    (tmp_path / "p.toml").write_text(PRESET.replace(LOSS, 'name = "code"\ncode = "evil.py:f"'))
    done = warm.run("engine.launch.batch", str(tmp_path / "runs"), str(tmp_path), "", f"one={tmp_path}/p.toml")
    assert "code that you have not agreed to yet" in json.loads(done.stdout)["error"], done
    learner = Learner(tmp_path / "evil.py", "evil.py", tmp_path, agreed="0" * 64)
    with pytest.raises(CheckError, match="code that you have not agreed to yet"):
        learner.call("f", [])
    learner.end()
    assert not (tmp_path / "ran").exists()


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
