"""The knobs of a lab: a learner would have to find a line in an editor to try another number."""

import re
from pathlib import Path
from typing import Any

import pytest

from descent.common.errors import DescentError
from engine.labs import knobs, library
from engine.labs.library import BrokenLab, Lab
from engine.preset.loading import load_preset
from tests.helpers.small_lab import LAB, PRESET, make_lab


def lab_in(place: Path, keys: str, preset: str = PRESET) -> library.Lab:
    """A lab whose learner may change everything. keys: the value of `knobs`."""
    changes = 'changes = ["data", "model", "loss", "optimizer", "train"]'
    text = LAB.replace('changes = ["optimizer.lr"]', f"{changes}\nknobs = {keys}")
    return library.load_lab(make_lab(place, lab=text, preset=preset))


def knob_at(place: Path, key: str, settings: str = "") -> tuple[knobs.Setting, library.Lab, Path]:
    """The knob `key` in a learner's file whose optimizer has these settings."""
    lab = lab_in(place / "lab", f'[{{ key = "{key}" }}]')
    path = place / "mine.toml"
    path.write_text(PRESET.replace("lr = 0.01  # too slow\n", settings or "lr = 0.01\n"))
    return knobs.read(lab, None, path).settings[0], lab, path


@pytest.mark.parametrize(
    ("key", "settings", "less", "more"),
    [
        ("optimizer.lr", "lr = 0.1\n", 0.05, 0.2),
        ("optimizer.lr", "lr = 0.3\n", 0.2, 0.5),
        ("optimizer.lr", "lr = 7\n", 5, 10),
        ("optimizer.momentum", "lr = 0.1\nmomentum = 0.9\n", 0.8, None),  # it must be less than 1
        ("optimizer.momentum", "lr = 0.1\n", None, 0.1),  # the default is 0
        ("optimizer.weight_decay", "lr = 0.1\n", None, 1e-5),
        ("optimizer.weight_decay", "lr = 0.1\nweight_decay = 1e-5\n", 0.0, 2e-5),
        ("optimizer.nesterov", "lr = 0.1\nmomentum = 0.9\n", None, True),
        ("train.epochs", "lr = 0.1\n", 10, 50),
        ("train.seed", "lr = 0.1\n", None, 1),
    ],
)
def test_the_steps_fit_the_kind_of_setting(tmp_path: Path, key: str, settings: str, less: Any, more: Any) -> None:
    """A rate would change by a hundredth at a time, or leave what the preset may say."""
    found = knob_at(tmp_path, key, settings)[0]
    assert (found.less, found.more) == (less, more)


def test_a_turn_leaves_comments_and_layout_as_they_are(tmp_path: Path) -> None:
    """What the learner noted in the file would be gone after a key."""
    lab = lab_in(tmp_path / "lab", '[{ key = "optimizer.lr" }]')
    path = tmp_path / "mine.toml"
    text = "# mine\r\n" + PRESET.replace("lr = 0.01  # too slow", "lr   =   0.01  # too slow").replace("\n", "\r\n")
    path.write_bytes(text.encode())
    path.chmod(0o640)
    after = knobs.turn(lab, None, path, "optimizer.lr", 1)
    assert path.read_bytes().decode() == text.replace("0.01", "0.02")
    assert path.stat().st_mode & 0o777 == 0o640
    assert after.settings[0].value == 0.02


def test_another_kind_takes_the_keys_of_the_old_one_away(tmp_path: Path) -> None:
    """The preset could not be trained any more: adam has no momentum."""
    _found, lab, path = knob_at(tmp_path, "optimizer.name", "lr = 0.1  # mine\nmomentum = 0.9\n")
    while (now := knobs.read(lab, None, path)).settings[0].value != "adam":
        assert now.settings[0].more is not None
        knobs.turn(lab, None, path, "optimizer.name", 1)
    assert "momentum" not in path.read_text()
    assert "lr = 0.1  # mine" in path.read_text()
    assert load_preset(path).settings.optimizer.name == "adam"


def test_what_the_file_says_is_what_the_knobs_say(tmp_path: Path) -> None:
    """After an edit in an editor the panel would show, and turn from, another value than the one that trains."""
    _found, lab, path = knob_at(tmp_path, "optimizer.lr", "lr = 0.1\n")
    path.write_text(path.read_text().replace("lr = 0.1", "lr = 0.4"))
    assert knobs.turn(lab, None, path, "optimizer.lr", -1).settings[0].value == 0.2


@pytest.mark.parametrize(("wrong", "said"), [("lr = fast", "line"), ("lr = -1", "optimizer.lr")])
def test_a_file_that_can_t_be_trained_says_why(tmp_path: Path, wrong: str, said: str) -> None:
    """Enter would lead to an error far from the line that is wrong."""
    _found, lab, path = knob_at(tmp_path, "optimizer.lr", f"{wrong}\n")
    problem = knobs.read(lab, None, path).problem
    assert "mine.toml" in problem
    assert said in problem


def test_a_file_that_is_no_toml_is_never_written(tmp_path: Path) -> None:
    """A half-typed line would be lost."""
    _found, lab, path = knob_at(tmp_path, "optimizer.lr", "lr = fast\n")
    before = path.read_text()
    with pytest.raises(DescentError, match=r"mine\.toml"):
        knobs.turn(lab, None, path, "optimizer.lr", 1)
    assert path.read_text() == before


def test_choices_of_the_lab_come_in_its_order(tmp_path: Path) -> None:
    """A lab could not say which few values are worth a try."""
    preset = PRESET.replace('name = "linear"', 'name = "mlp"\nwidths = [5]')
    lab = lab_in(tmp_path / "lab", '[{ key = "model.widths", choices = [[2], [4], [8]] }]', preset)
    path = tmp_path / "mine.toml"
    path.write_text(preset.replace("[5]", "[4]  # of one layer"))
    assert knobs.read(lab, None, path).settings[0].less == [2]
    knobs.turn(lab, None, path, "model.widths", 1)
    assert "widths = [8]  # of one layer" in path.read_text()
    assert knobs.read(lab, None, path).settings[0].more is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            '[{ key = "optimizer.momentun" }]',
            "no preset has this setting; did you mean optimizer.momentum?",
        ),
        ('[{ key = "schedule.name" }]', "must be among `changes`"),
    ],
)
def test_a_knob_that_could_not_count_is_refused(tmp_path: Path, keys: str, said: str) -> None:
    """The learner would turn it, and the grader would refuse what they did."""
    lab_in(tmp_path / "fine", '[{ key = "optimizer.lr" }]')
    folder = tmp_path / "fine" / "slow-line"
    text = (folder / "lab.toml").read_text()
    (folder / "lab.toml").write_text(text.replace('[{ key = "optimizer.lr" }]', keys))
    found = library._read("slow-line", folder, "")
    assert isinstance(found, BrokenLab)
    assert said in found.error


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ('["optimizer.lr", "optimizer.mom"]', "lab.changes: optimizer.mom: no preset has this setting"),
        ('["optimiser"]', "lab.changes: optimiser: no preset has this setting; did you mean optimizer?"),
        ('["optimizer.lr", "train.early_stopping.patience", "members"]', ""),
    ],
)
def test_what_may_be_changed_is_a_setting(tmp_path: Path, changes: str, said: str) -> None:
    """A misspelt one would be found by the first learner whose change the grader refuses."""
    lab_in(tmp_path / "fine", '[{ key = "optimizer.lr" }]')
    folder = tmp_path / "fine" / "slow-line"
    text = (folder / "lab.toml").read_text()
    (folder / "lab.toml").write_text(re.sub(r"(?m)^changes = .*$", f"changes = {changes}", text))
    found = library._read("slow-line", folder, "")
    assert (said in found.error) if isinstance(found, BrokenLab) else not said


@pytest.mark.slow
def turned_on(lab: Lab, path: Path, key: str) -> knobs.Setting:
    """The knob; where the preset's model, say, has no such setting, after another knob has given it one that has."""
    kind = f"{key.partition('.')[0]}.name"
    kinds = [value for other in lab.model.knobs if other.key == kind != key for value in other.choices]
    for name in [None, *kinds]:
        if name is not None:
            knobs.write(path, {kind: name})
        found = next(one for one in knobs.read(lab, None, path).settings if one.key == key)
        if found.less is not None or found.more is not None:
            return found
    raise AssertionError(f"{lab.id}: {key} can't be turned")


@pytest.mark.slow
def test_each_value_of_a_shipped_knob_makes_a_preset_that_can_be_trained(tmp_path: Path) -> None:
    """A learner would turn a knob and read an error."""
    from engine.labs import flow

    for lab in library.labs():
        for name, text in flow.learners_files(lab).items():
            (tmp_path / name).write_text(text)
        path = tmp_path / f"{lab.id}.toml"
        start = path.read_text()
        for knob in lab.model.knobs:
            path.write_text(start)
            found = turned_on(lab, path, knob.key)
            for value in knob.choices or [one for one in (found.less, found.more) if one is not None]:
                knobs.write(path, {knob.key: value})
                assert not knobs.read(lab, None, path).problem, (lab.id, knob.key, value)
