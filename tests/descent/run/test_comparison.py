"""Comparing runs must name exactly what differs between them and who came out best, or a wrong run is trained on."""

import json
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import DescentError, ExitCode
from descent.run import comparison, find
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from engine import cli
from tests.engine.launch.test_fork import fork, run

Capture = pytest.CaptureFixture[str]
COMMON = ["data.size=400", "train.threads=1", "train.batch_size=32"]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """A run, its fork at step 40 with another rate, and one of another seed. To be read only."""
    runs = tmp_path_factory.mktemp("family") / "runs"
    parent = run(runs, "parent", *COMMON, "train.steps=40", "train.evaluate_every=20")
    child = fork(parent, 40, "child", "optimizer.lr=0.01", "train.steps=50")
    other = run(runs, "other", *COMMON, "train.steps=60", "train.evaluate_every=20", "train.seed=7")
    return [parent, child, other]


@pytest.mark.slow
def test_only_settings_that_differ_are_listed(family: list[RunFolder]) -> None:
    found = comparison.compared(family)
    rows = {row.key: row.values for row in found.differences}
    assert rows == {
        "optimizer.lr": ("0.1", "0.01", "0.1"),
        "train.steps": ("40", "50", "60"),
        "train.seed": ("0", "0", "7"),
    }


def test_a_fork_names_its_parent_and_step_and_the_two_find_each_other(family: list[RunFolder]) -> None:
    parent, child, other = family
    finals = comparison.compared(family).finals
    assert [final.parent for final in finals] == [None, ("parent", 40), None]
    assert comparison.origin_text(finals[1]) == "fork of parent @ step 40"
    known = [folder.path for folder in family]
    assert comparison.relatives(parent, known) == [child.path]
    assert comparison.relatives(child, known) == [parent.path]
    assert comparison.relatives(other, known) == []


def test_the_best_is_the_least_loss_and_the_greatest_accuracy(family: list[RunFolder]) -> None:
    found = comparison.compared(family)
    for key, places in found.best.items():
        values = [final.metrics[key] for final in found.finals]
        top = max(values) if key.endswith("accuracy") else min(values)
        assert places == tuple(place for place, value in enumerate(values) if value == top)
    assert {"train_loss", "val_loss"} <= set(found.best)


def with_event(folder: RunFolder, **event: Any) -> None:
    with (folder.path / "events.jsonl").open("a") as log:
        log.write(json.dumps({"time": 1.0, **event}) + "\n")


def recorded(runs: Path, name: str, preset: str) -> RunFolder:
    """A run that has begun and not got far."""
    (runs / name / "checkpoints").mkdir(parents=True)
    folder = RunFolder(runs / name)
    folder.preset.write_text(preset)
    with_event(folder, event="state", state="stopped")
    return folder


def test_a_number_of_the_best_model_says_so(tmp_path: Path, capsys: Capture) -> None:
    """Else it is taken for the last one, which the other run's column shows."""
    two = [recorded(tmp_path, name, '[data]\nname = "digits"\n') for name in "ab"]
    for folder in two:
        Layout.of(accuracy=False, members=({"member": 0, "seed": 0, "values": {}},), layers=()).save(folder.path)
        for step, loss in ((1, 0.2), (2, 0.4)):
            with_event(folder, event="evaluation", step=step, split="validation", member=0, loss=loss)
    with_event(two[1], event="best", step=2, steps=[1])
    words = ["compare", *(str(folder.path) for folder in two)]
    assert cli.main(words) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "B: val: of the best model, step 1\n" in said
    assert "A: " not in said
    assert cli.main([*words, "--json"]) == ExitCode.DONE
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [each.get("best", {}).get("step") for each in runs] == [None, 1]


def test_scripts_that_differ_are_told_of(tmp_path: Path) -> None:
    """A change of the code itself would look as if chance had made the difference."""
    two = [recorded(tmp_path, name, config) for name, config in (("a", ""), ("b", "[config]\nlr = 0.1\n"))]
    common = {"script": "/home/me/train.py", "command": ["python"], "folder": "/home/me", "commit": "0123456789abc"}
    for folder, digest, is_changed in ((two[0], "a" * 64, False), (two[1], "b" * 64, True)):
        start = common | {"digest": digest, "is_changed": is_changed, "arguments": ["--lr", "0.1"]}
        (folder.path / "loop.json").write_text(json.dumps(start))
    assert {row.key: row.values for row in comparison.compared(two).differences} == {
        "script": ("train.py #aaaaaaaa", "train.py #bbbbbbbb"),
        "commit": ("012345678", "012345678 with changes"),
        "arguments": ("--lr 0.1", comparison.NONE),
        "config.lr": (comparison.NONE, "0.1"),
    }


def test_losses_of_different_kinds_and_different_data_have_no_best(tmp_path: Path) -> None:
    text = '[data]\nname = "digits"\n[loss]\nname = "{}"\n'
    two = [recorded(tmp_path, "a", text.format("cross-entropy")), recorded(tmp_path, "b", text.format("hinge"))]
    for folder, value in zip(two, (0.2, 0.4), strict=True):
        with_event(folder, event="evaluation", step=1, split="validation", member=0, loss=value, accuracy=value)
    assert comparison.compared(two).best == {"val_accuracy": (1,)}
    two[1].preset.write_text('[data]\nname = "moons"\n[loss]\nname = "cross-entropy"\n')
    assert comparison.compared(two).best == {}


def test_what_was_set_while_it_trained_stands_behind_an_arrow(tmp_path: Path) -> None:
    text = "[optimizer]\nlr = 0.1\n"
    two = [recorded(tmp_path, name, text) for name in "ab"]
    edits = ["optimizer.lr=0.05", "lr_scale=0.5"]
    with_event(two[1], event="command", step=3, command="set", arguments={"edits": edits})
    rows = {row.key: row.values for row in comparison.compared(two).differences}
    assert rows == {"optimizer.lr": ("0.1", "0.1 → 0.05"), "lr_scale": ("–", "0.5")}


def test_several_members_count_by_their_mean(tmp_path: Path) -> None:
    folder = recorded(tmp_path, "a", "[optimizer]\nlr = 0.1\n")
    members = tuple({"member": member, "seed": member, "values": {}} for member in range(2))
    Layout.of(accuracy=False, members=members, layers=()).save(folder.path)
    for step, values in ((5, (9.0, 9.0)), (10, (0.2, 0.4))):
        for member, value in enumerate(values):
            with_event(folder, event="evaluation", step=step, split="validation", member=member, loss=value)
    assert comparison.final(folder).metrics == {"val_loss": pytest.approx(0.3)}


def test_a_damaged_run_hides_no_other(family: list[RunFolder], tmp_path: Path) -> None:
    torn = recorded(tmp_path, "torn", "[optimizer")
    (torn.path / "run.json").write_text("{")
    found = comparison.compared([family[0], torn])
    assert found.finals[1].problem.startswith("run torn: run.json is damaged: Expecting")
    assert found.finals[0].step == 40


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_or_too_many_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(DescentError, match=f"2 to 8 runs can be compared, not {count}"):
        comparison.checked([RunFolder(tmp_path / str(number)) for number in range(count)])


def test_the_command_prints_both_tables_and_one_object(family: list[RunFolder], capsys: Capture) -> None:
    words = ["compare", "parent", "child", "--runs-dir", str(family[0].path.parent)]
    assert cli.main(words) == ExitCode.DONE
    printed = capsys.readouterr().out
    assert "B: fork of parent @ step 40" in printed
    rows = [line.split() for line in printed.splitlines()[-3:]]
    assert rows == [["SETTING", "A", "B"], ["optimizer.lr", "0.1", "0.01"], ["train.steps", "40", "50"]]
    assert cli.main([*words, "--json"]) == ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert [each["run"] for each in found["runs"]] == ["parent", "child"]
    assert found["runs"][1]["parent"] == {"run": "parent", "step": 40}
    assert found["differences"] == {"optimizer.lr": ["0.1", "0.01"], "train.steps": ["40", "50"]}


def test_a_wrong_name_is_told_with_the_likely_one(family: list[RunFolder], capsys: Capture) -> None:
    assert cli.main(["compare", "parent", "chidl", "--runs-dir", str(family[0].path.parent)]) == ExitCode.WRONG_USE
    assert "did you mean child?" in capsys.readouterr().err
    assert find.find_run("child", family[0].path.parent) == family[1].path


def test_settings_of_a_loop_are_those_in_force(tmp_path: Path) -> None:
    """A fork goes on with what its parent had set, which is in its checkpoint and in no file of settings."""
    parent, child, other = (recorded(tmp_path, name, "[optimizer]\nlr = 0.1\n") for name in ("one", "two", "three"))
    for folder, start in ((parent, 1.0), (child, 2.0), (other, 1.0)):
        (folder.path / "loop.json").write_text("{}")
        beta = {"name": "beta", "value": start, "minimum": None, "maximum": None}
        facts = {"settings": [beta], "started": 1.0}
        (folder.path / "run.json").write_text(json.dumps(facts))
    given = {
        "event": "command",
        "step": 3,
        "command": "set",
        "arguments": {"edits": ["beta=2.0", "optimizer.lr=0.2"]},
    }
    with_event(parent, **given)
    child.events_file.write_text(json.dumps({"time": 1.0, **given}) + "\n" + child.events_file.read_text())
    rows = {row.key: row.values for row in comparison.compared([parent, child, other]).differences}
    assert rows == {
        "beta": ("1.0 → 2.0", "2.0", "1.0"),
        "optimizer.lr": ("0.1 → 0.2", "0.1 → 0.2", "0.1"),
    }
