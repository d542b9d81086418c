"""A damaged run folder is one clear line: no bug of Descent, no end of a list, and nothing to wait for."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from descent.common.errors import DamagedError, ExitCode
from descent.run import folder
from descent.run.folder import RunFolder, verify_checkpoint
from descent.run.metrics import Metrics
from descent.run.results import result_of
from tests.helpers import damage
from tests.helpers.old_runs import FOLDER, VERSION
from tests.helpers.processes import Child

KEPT = FOLDER / VERSION / "runs"
NAMES = sorted(path.name for path in KEPT.iterdir())
Descent = Callable[..., Child]


@pytest.fixture
def plain(runs: Path) -> RunFolder:
    """A finished run that is to be damaged, beside one that is whole."""
    shutil.copytree(KEPT / "stopped", runs / "whole")
    return RunFolder(Path(shutil.copytree(KEPT / "plain", runs / "plain")))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_no_damage_is_a_bug(tmp_path: Path, seed: int) -> None:
    """A byte that a disk has lost would end in a traceback, or a pipe would hang `show`, `runs` and the console."""
    for number in range(25):
        rng = random.Random(f"{seed}-{number}")
        name = rng.choice(NAMES)
        run = tmp_path / str(number) / name
        shutil.copytree(KEPT / name, run)
        how = damage.damage(run, rng)
        assert list(damage.bugs(RunFolder(run))) == [], f"{seed}-{number}: {name}, {how}"


@pytest.mark.parametrize(
    ("file", "lose", "what"),
    [
        ("run.json", Path.unlink, "it is missing, though {} steps were trained"),
        ("events.jsonl", Path.unlink, "it does not say that the run has trained, though {} steps were"),
        ("events.jsonl", lambda file: file.write_text("[1]\n"), "it does not say that the run has trained"),
    ],
)
@pytest.mark.slow
def test_a_run_that_has_lost_what_it_began_with_does_not_begin_again(
    runs: Path, file: str, lose: Callable[[Path], object], what: str, descent: Descent
) -> None:
    """Its rows would be written over, with other settings of the machine, and nothing would say so."""
    run = RunFolder(Path(shutil.copytree(KEPT / "stopped", runs / "plain")))
    before_rows = Metrics(run.path).rows().copy()
    lose(run.path / file)
    refused = descent("resume", str(run.path)).end()
    assert refused.code == ExitCode.WRONG_USE
    assert f"run plain: {file} is damaged: {what.format(len(before_rows))}" in refused.err
    assert Metrics(run.path).rows().tobytes() == before_rows.tobytes()


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("run.json", '{"started": 1, "threads": [1]}', "threads must be a whole number, 0 or more, not [1]"),
        ("run.json", "[]", "it must hold an object, not []"),
        ("run.json", "{}", "started is missing"),
        ("metrics.json", '{"columns": ["loss"], "layers": []}', "members is missing"),
        (
            "metrics.json",
            '{"columns": ["loss"], "members": [{"seed": 0, "values": {}}], "layers": [{"name": 3, "kind": ""}]}',
            "layers[0].name must be a text, not 3",
        ),
        ("metrics.json", '{"columns": ["lr"], "members": [{"seed": 0, "values": {}}], "layers": []}', "no column"),
        ("events.jsonl", '{"event": "state", "state": "dancing"}\n', "state must be starting | running"),
        ("events.jsonl", '{"event": "evaluation", "split": "test"}\n', "step is missing"),
    ],
)
def test_the_message_says_where_and_what(plain: RunFolder, file: str, content: str, what: str) -> None:
    """Nobody could tell which file to restore."""
    (plain.path / file).write_text(content)
    with pytest.raises(DamagedError) as caught:
        result_of(plain)
    assert str(caught.value).startswith(f"run plain: {file} is damaged: ")
    assert what in str(caught.value)
    assert str(caught.value).endswith("restore this file, or delete the run: descent rm plain")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["metrics.json", "events.jsonl", "checkpoints/step-80.json", "output.log"])
@pytest.mark.parametrize("place", ["a folder", "a pipe", "a loop of links"])
def test_what_is_no_file_stops_no_command(plain: RunFolder, descent: Descent, file: str, place: str) -> None:
    """`descent show` would wait for ever for a pipe, and `descent runs` with it, for all runs."""
    (plain.path / file).unlink(missing_ok=True)
    damage.PLACES[place](plain.path / file, b"", random.Random(0))
    listed = descent("runs", "--json").end()
    assert listed.code == 0
    assert {each["run"] for each in listed.json["runs"]} == {"plain", "whole"}
    for words in (["show"], ["fork"], ["replay"], ["resume"], ["compare", "whole"]):
        done = descent(*words, "plain", "--json").end()
        assert done.code != ExitCode.BUG, (words, done)
        assert "Traceback" not in done.err, (words, done)
    assert descent("rm", "plain", "--yes").end().code == 0
    assert not plain.path.exists()


@pytest.mark.slow
def test_escape_sequences_of_a_run_reach_no_terminal(plain: RunFolder, descent: Descent) -> None:
    """A run folder from somebody else could clear the screen, or write what looks like an answer of Descent."""
    evil = "\x1b[2J\x1b]0;title\x07\u202e"
    facts = json.loads((plain.path / "run.json").read_text())
    facts |= {key: evil + str(facts[key]) for key in ("preset", "host", "device_name", "device")}
    (plain.path / "run.json").write_text(json.dumps(facts))
    layout = json.loads((plain.path / "metrics.json").read_text())
    layout["members"] = [{"member": m, "seed": m, "values": {evil: evil}} for m in range(2)]
    (plain.path / "metrics.json").write_text(json.dumps(layout))
    with (plain.path / "events.jsonl").open("a") as log:
        log.write(json.dumps({"time": 1.0, "event": "state", "state": "failed", "reason": evil}) + "\n")
    parent = {"run": evil, "dir": evil, "step": 0, "changed": [evil]}
    (plain.path / "parent.json").write_text(json.dumps(parent))
    os.rename(plain.path, plain.path.with_name("evil\x1b[2J"))
    for words in (["show", "last"], ["runs"], ["compare", "last", "whole"], ["resume", "last"], ["replay", "last"]):
        done = descent(*words).end()
        assert not set("\x1b\x07\u202e") & set(done.out + done.err), (words, done)


@pytest.mark.parametrize("place", ["a folder", "a pipe"])
def test_a_checkpoint_that_is_no_file_counts_as_damaged(plain: RunFolder, place: str) -> None:
    """The model of an earlier one would be exported without a word, or each resume end where it is written again."""
    last = plain.checkpoints()[-1]
    plain.checkpoint(last).unlink()
    damage.PLACES[place](plain.checkpoint(last), b"", random.Random(0))
    assert plain.checkpoints()[-1] == last
    with pytest.raises(ValueError, match=f"step-{last}.pt is damaged"):
        verify_checkpoint(plain.checkpoint(last))
    if place == "a folder":
        with pytest.raises(DamagedError, match=rf"checkpoints/step-{last}\.pt is damaged: it is no regular file"):
            plain.check_writable()
    else:
        plain.check_writable()


@pytest.mark.slow
def test_show_tells_of_a_damaged_checkpoint_and_a_lost_best_model(plain: RunFolder, descent: Descent) -> None:
    """A person would believe that the best model is kept, and learn of its loss only when it is needed."""
    step = plain.checkpoints()[1]
    with (plain.path / "events.jsonl").open("a") as log:
        log.write(json.dumps({"time": 1.0, "event": "best", "step": step, "steps": [step]}) + "\n")
    assert "problem" not in result_of(plain).to_json()["best"]
    path = plain.checkpoint(step)
    os.truncate(path, path.stat().st_size // 2)
    told = f"step-{step}.pt is damaged (File is not a zip file)"
    shown = descent("show", "plain").end()
    assert f"{path}; lost: {told}" in shown.out
    assert shown.code == 0
    found = descent("show", "plain", "--json").end().json
    assert found["damaged"] == {str(step): told}
    assert found["best"] == {"step": step, "checkpoint": str(path), "problem": told}
    path.unlink()
    assert result_of(plain).to_json()["best"]["problem"] == f"step-{step}.pt is missing"


def test_a_large_checkpoint_that_was_cut_off_is_noticed_without_reading_it(
    plain: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`descent show` would take seconds for each gigabyte, or not tell of the damage at all."""
    monkeypatch.setattr(folder, "_READ_WHOLE", 10)
    path = plain.checkpoint(0)
    assert folder.problem_with(path) is None
    os.truncate(path, path.stat().st_size // 2)
    assert folder.problem_with(path) == "step-0.pt is damaged (File is not a zip file)"
