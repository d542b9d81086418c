"""A student who compares settings must get every model asked for, and be told what can't be compared so."""

import math
from pathlib import Path

import pytest

from descent.common.errors import PresetError
from engine.preset import members, schema, sweep
from engine.preset.loading import Preset, load_preset
from engine.preset.schema import Range

GOOD = """
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 3
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.toml"
    file.write_text(GOOD)
    return file


def refused(source: Path, *overrides: str) -> str:
    with pytest.raises(PresetError) as caught:
        load_preset(source, overrides)
    return str(caught.value)


def rates(preset: Preset) -> list[float]:
    return [member.preset.optimizer.lr for member in members.roster(preset)]


# --- candidates ---


def test_a_grid_has_every_combination_once() -> None:
    candidates = sweep.grid({"optimizer.lr": [0.1, 0.01], "model.dropout": [0.0, 0.2, 0.5]})
    assert len(candidates) == 6
    assert candidates[:2] == [
        {"optimizer.lr": 0.1, "model.dropout": 0.0},
        {"optimizer.lr": 0.1, "model.dropout": 0.2},
    ]


def test_random_draws_fill_their_range_evenly_in_the_logarithm() -> None:
    """A search over learning rates would try nearly none of the small ones."""
    rates = Range(low=1e-4, high=1.0, log=True)
    ranges: sweep.Choices = {"optimizer.lr": rates, "optimizer.momentum": [0.0, 0.9]}
    drawn = sweep.random(ranges, 400, seed=0)
    logs = [math.log10(values["optimizer.lr"]) for values in drawn]
    assert min(logs) >= -4
    assert max(logs) <= 0
    assert 60 < sum(log < -3 for log in logs) < 140
    assert {values["optimizer.momentum"] for values in drawn} == {0.0, 0.9}
    assert sweep.random(ranges, 5, seed=0) == drawn[:5]
    assert sweep.random(ranges, 5, seed=1) != drawn[:5]


@pytest.mark.parametrize("log", [False, True])
def test_whole_numbers_stay_whole_and_no_candidate_comes_twice(log: bool) -> None:
    """A schedule can't warm up for 2.5 steps; the same model trained twice tells nothing."""
    ranges = {"schedule.warmup": Range(low=1, high=4, log=log)}
    drawn = [values["schedule.warmup"] for values in sweep.random(ranges, 4, 0, {"schedule.warmup"})]
    assert sorted(drawn) == [1, 2, 3, 4]
    assert all(isinstance(value, int) for value in drawn)
    with pytest.raises(PresetError, match="only 4 candidates"):
        sweep.random(ranges, 5, 0, {"schedule.warmup"})


# --- the roster ---


def test_a_plain_preset_is_one_member(good: Path) -> None:
    """Every run goes through the roster; one without [members] must train just what it says."""
    preset = load_preset(good)
    [member] = members.roster(preset)
    assert (member.member, member.seed, member.values, member.fold) == (0, 0, {}, None)
    assert member.preset.settings == preset.settings
    assert "members" not in preset.to_toml()


def test_candidates_are_compared_with_the_same_seeds(good: Path) -> None:
    """A candidate would win by its seed."""
    made = members.roster(
        load_preset(good, ["members.repeats=2", "members.sweep.optimizer.lr=[1, 0.2]", "train.seed=7"])
    )
    assert [(m.member, m.seed, m.values["optimizer.lr"]) for m in made] == [
        (0, 7, 1.0),
        (1, 8, 1.0),
        (2, 7, 0.2),
        (3, 8, 0.2),
    ]
    trained = [(m.preset.train.seed, m.preset.optimizer.lr) for m in made]
    assert trained == [(m.seed, m.values["optimizer.lr"]) for m in made]
    assert all(m.preset.members == schema.Members() for m in made)


def test_folds_share_their_seed(good: Path) -> None:
    """The folds would differ in more than their samples."""
    made = members.roster(load_preset(good, ["members.folds=3"]))
    assert [(m.seed, m.fold) for m in made] == [(0, 0), (0, 1), (0, 2)]


def test_random_search_draws_by_the_seed(good: Path) -> None:
    """A resumed run would train other candidates than it began with."""
    words = ['members.sweep."optimizer.lr"={low=1e-4, high=1, log=true}', "members.draws=6"]
    first = rates(load_preset(good, words))
    assert len(set(first)) == 6
    assert rates(load_preset(good, words)) == first
    assert rates(load_preset(good, [*words, "train.seed=1"])) != first


# --- the section ---


@pytest.mark.parametrize(
    "words",
    [
        ["members.repeats=10"],
        ["members.folds=5"],
        ['members.sweep."optimizer.lr"=[0.1, 0.01]', "members.repeats=2"],
        ['members.sweep={"optimizer.lr"={low=0.1, high=1}, "model.init"=["he", "xavier"]}', "members.draws=3"],
    ],
)
def test_a_run_keeps_its_members(good: Path, tmp_path: Path, words: list[str]) -> None:
    """The run's folder holds the preset; a resume would train other models."""
    preset = load_preset(good, words)
    kept = tmp_path / "kept.toml"
    kept.write_text(preset.to_toml())
    assert load_preset(kept).settings == preset.settings
    assert sweep.candidates(load_preset(kept).settings) == sweep.candidates(preset.settings)


def test_the_keys_of_a_sweep_need_no_quotes(good: Path) -> None:
    good.write_text(GOOD + "[members]\nsweep.optimizer.lr = [0.5]\n")
    assert rates(load_preset(good)) == [0.5]
    assert rates(load_preset(good, ["members.sweep.optimizer.lr=[0.3, 0.2]"])) == [0.3, 0.2]
    assert rates(load_preset(good, ['members.sweep."optimizer.lr"=[0.3]'])) == [0.3]


def test_folds_given_replace_the_repeats_of_the_file(good: Path) -> None:
    """`--folds 5` would be refused for a preset that is set up for repeats."""
    good.write_text(GOOD + "[members]\nrepeats = 10\n")
    assert len(members.roster(load_preset(good, ["members.folds=5"]))) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["members.repeats=0"], "members.repeats = 0: must be a whole number ≥ 1"),
        (["members.folds=1"], "members.folds = 1: must be a whole number ≥ 2"),
        (["members.repeats=2", "members.folds=3"], "can't be combined"),
        (["members.repeats=2000"], "2,000 repeats are 2,000 models; a run trains at most 1,024"),
        (["members.draws=3"], "there is no members.sweep to draw from"),
        (["members.sweep.model.widths=[[8], [16]]"], "descent study run PRESET --vary model.widths=[…]"),
        (["members.sweep.optimizer.learning_rate=[1.0]"], "did you mean optimizer.lr"),
        (["members.sweep.train.seed=[1, 2]"], "members.repeats"),
        (["members.sweep.optimizer.lr=[]"], "members.sweep.optimizer.lr = []: must be a list of one or more values"),
        (["members.sweep.optimizer.lr=0.1"], "or a table { low = …, high = … }"),
        (["members.sweep.optimizer.lr=[0.1, -1]"], "members.sweep: optimizer.lr = -1: must be a number > 0"),
        (["members.sweep.optimizer.lr=[0.1, 0.10]"], "optimizer.lr has 0.1 twice"),
        (["members.sweep.optimizer.beta1=[0.9]"], "optimizer.name = adam or adamw has it"),
        (
            ["optimizer.nesterov=true", "optimizer.momentum=0.5", "members.sweep.optimizer.momentum=[0.0, 0.9]"],
            "optimizer.momentum = 0.0: optimizer.nesterov = true needs",
        ),
        (["members.sweep.optimizer.lr={low=0.1, high=1}"], "members.draws is missing"),
        (["members.sweep.optimizer.lr={low=1, high=0.1}", "members.draws=2"], "range from 1 to 0.1 is empty"),
        (["members.sweep.loss.l2={low=0, high=1, log=true}", "members.draws=2"], "must begin above 0"),
        (
            ["members.sweep.optimizer.lr={low=0, high=1}", "members.draws=2"],
            "optimizer.lr = 0.0: must be",
        ),
        (["members.sweep.optimizer.lr={low=0, high=inf}", "members.draws=2"], "must be a number and finite"),
        (["members.sweep.optimizer.lr={low=0.1}", "members.draws=2"], "members.sweep.optimizer.lr.high: missing"),
        (["members.sweep.optimizer.lr=[0.1, 0.2]", "members.draws=3"], "has only 2 candidates"),
    ],
)
def test_what_can_not_be_trained_together_is_said(good: Path, words: list[str], said: str) -> None:
    """The error would come after the data are loaded, or not at all."""
    line = refused(good, *words)
    assert said in line
    assert "--set: " in line or "good.toml: " in line
