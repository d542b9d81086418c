"""A learner compares optimizers, seeds, folds and layers by these pictures: they must show what was trained."""

import copy
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent import warm
from descent.common import turn
from descent.common.errors import DescentError
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine import pictures
from engine.pictures import from_rows
from engine.pictures.request import of_ended, picture_of
from engine.preset.loading import load_preset
from engine.training import step
from engine.training.build import build
from engine.training.pictures import make, paths
from engine.training.train_state import TrainState
from tests.engine.training.conftest import Train

OPTIMIZERS = {
    "GD": ["optimizer.name=sgd"],
    "momentum": ["optimizer.name=sgd", "optimizer.momentum=0.9"],
    "Nesterov": ["optimizer.name=sgd", "optimizer.momentum=0.9", "optimizer.nesterov=true"],
    "Adagrad": ["optimizer.name=adagrad"],
    "RMSProp": ["optimizer.name=rmsprop"],
    "Adam": ["optimizer.name=adam"],
    "AdamW": ["optimizer.name=adamw", "optimizer.weight_decay=0.01"],
}


def last(folder: RunFolder) -> TrainState:
    """The run as it was at its end."""
    run = build(load_preset(folder.preset), folder, folder.path, torch.device("cpu"), fresh=False)
    state, _ = checkpoint.latest(folder)
    assert state is not None
    run.restore(state)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_path_is_the_way_that_such_a_run_takes(train: Train, name: str) -> None:
    """A learner would choose an optimizer by a way that it does not take."""
    folder = train("ravine-point", "optimizer.lr=0.1", "train.steps=40", *OPTIMIZERS[name])
    metrics = Metrics(folder.path)
    taken = np.stack([metrics.column("parameter.x"), metrics.column("parameter.y")], axis=1)
    found = make(last(folder), "paths", {"rates": "run", "steps": 40}, folder)
    which = found["optimizers"].tolist().index(name)
    assert found["ways"][which][0].tolist() == [-7, 2]
    np.testing.assert_allclose(found["ways"][which][1:], taken, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["path"][1:], taken, rtol=1e-6)


def test_a_fit_of_many_has_the_curve_of_each_and_their_mean(train: Train) -> None:
    """How far fits to other samples lie apart is their variance, and one curve alone has none."""
    folder = train("linear-regression", "train.steps=3", "members.repeats=3", "members.samples=5")
    run = last(folder)
    found = make(run, "fit", folder=folder)
    alone = [make(run, "fit", {"member": member}, folder) for member in range(3)]  # each over its own samples
    of_each = [np.polyval(np.polyfit(one["x"], one["y"][:, 0], 1), found["x"]) for one in alone]
    np.testing.assert_allclose(found["others"].T, of_each, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["mean"], np.mean(of_each, axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_each_optimizer_has_the_rate_that_serves_it_best(train: Train) -> None:
    """One rate for all would make the best of them look the worst."""
    folder = train("ravine-point", "train.steps=5")
    run = last(folder)
    best = make(run, "paths", {"steps": 60}, folder)
    for rate in paths.RATES:
        run.preset = run.preset.changed([f"optimizer.lr={rate}"])
        own = make(run, "paths", {"steps": 60, "rates": "run"}, folder)
        assert (own["means"] >= best["means"] - 1e-6).all()
    assert np.isfinite(best["ways"]).all()


@pytest.mark.slow
def test_a_line_has_paths_too_and_more_parameters_have_none(train: Train) -> None:
    """The bowl of the first exercise would show one way alone."""
    folder = train("linear-regression", "train.steps=5", "loss.l2=0.1")
    found = make(last(folder), "paths", {"resolution": 12}, folder)
    x, y = (tensor.double().numpy() for tensor in last(folder).dataset.train)
    w, b = found["x"][3], found["y"][7]
    assert found["loss"][7, 3] == pytest.approx(np.mean((w * x + b - y) ** 2) + 0.1 * w * w, rel=1e-4)
    with pytest.raises(DescentError, match="paths on a map need 2"):
        make(last(train("moons-mlp", "train.steps=2")), "paths")


@pytest.mark.slow
def test_the_tally_counts_those_that_are_right_and_shows_what_they_choose(train: Train) -> None:
    """A learner would count on a width that solves it less often."""
    folder = train("xor-mlp", "members.repeats=6", "model.widths=[2]", "train.steps=400")
    run = last(folder)
    before = copy.deepcopy(run.capture(0.0)["model"])
    found = make(run, "tally", {"resolution": 9, "least": 100})
    alone = [run.alone(member) for member in range(6)]
    inputs, targets = run.dataset.train
    with torch.no_grad():
        right = [float(((one.model(inputs)[:, 0] > 0) == targets).float().mean()) for one in alone]
    assert found["accuracy"].tolist() == pytest.approx(right)
    assert found["solved"].tolist() == [share == 1 for share in right]
    place = torch.tensor([[found["x"][2], found["y"][7]]], dtype=torch.float32)
    votes = np.mean([one.model(place).item() > 0 for one in alone])
    assert found["probability"][7, 2].tolist() == pytest.approx([1 - votes, votes])
    assert all(torch.equal(before[name], tensor) for name, tensor in run.weights().items())
    with pytest.raises(DescentError, match="only one model trains in this run"):
        make(last(train("xor-mlp", "train.steps=2")), "tally")


def test_folds_have_their_own_scaling_in_the_tally(train: Train) -> None:
    """Each fold would be asked in the units of another."""
    folder = train("moons-mlp", "members.folds=3", 'data.scaling="standard"', "train.epochs=5", "data.n=300")
    run = last(folder)
    found = make(run, "tally", {})
    assert found["accuracy"].tolist() == [result.accuracy for result in run.evaluate("validation")]


@pytest.mark.slow
def test_the_spread_is_that_of_the_scores(train: Train) -> None:
    """A student would report the wrong mean of the folds."""
    folder = train("digits-mlp", "members.folds=4", "train.epochs=1", "data.size=400")
    found = from_rows.make(folder, "spread", {"metric": "auto"})
    wanted = {"event": "evaluation", "split": "validation"}
    scores = {e["member"]: e["accuracy"] for e in folder.events() if wanted.items() <= e.items()}
    assert found["values"].tolist() == [scores[member] for member in range(4)]
    assert found["folds"].tolist() == [0, 1, 2, 3]
    assert found["mean"] == pytest.approx([statistics.fmean(scores.values())])
    assert found["sd"] == pytest.approx([statistics.stdev(scores.values())])
    assert found["se"] == pytest.approx(found["sd"] / 2)
    losses = from_rows.make(folder, "spread", {"metric": "val_loss"})
    assert losses["values"].min() > 0
    with pytest.raises(DescentError, match="this run has no test_accuracy; it has"):
        from_rows.make(train("ravine-point", "members.repeats=2"), "spread", {"metric": "test_accuracy"})


def test_candidates_are_spread_apart_and_the_winner_is_marked(train: Train) -> None:
    """The spread over good and bad rates together says nothing."""
    sweep = 'members.sweep."optimizer.lr"=[0.001, 0.1]'
    folder = train("digits-mlp", sweep, "members.repeats=2", "train.epochs=1", "data.size=400")
    found = from_rows.make(folder, "spread", {"metric": "auto"})
    assert found["groups"].tolist() == ["lr 0.001", "lr 0.1"]
    assert found["group"].tolist() == [0, 0, 1, 1]
    assert found["best"].tolist() == [1]


def test_results_by_setting_are_of_the_runs_of_one_preset(train: Train) -> None:
    """A learner would be shown another preset's runs, or the results of settings that they did not choose."""
    few = ("train.steps=2", "data.size=100", "members.repeats=2")
    first = train("digits-mlp", *few, "optimizer.lr=0.01")
    train("ravine-point", "train.steps=2")
    train("digits-mlp", *few, "optimizer.lr=0.1", "train.seed=7")
    folder = train("digits-mlp", *few, "optimizer.lr=0.1", "train.keep=2")
    found = from_rows.make(folder, "trials", {"metric": "auto"})
    assert str(found["metric"]) == "val_accuracy"
    assert found["labels"].tolist() == ["lr 0.01, seed 0", "lr 0.1, seed 7", "lr 0.1, seed 0"]
    assert (int(found["now"]), str(found["key"]), found["x"].tolist()) == (2, "", [])
    scores = [e["accuracy"] for e in first.events() if e["event"] == "evaluation" and e["split"] == "validation"]
    assert found["values"][0] == pytest.approx(statistics.fmean(scores[-2:]))


def test_results_by_setting_name_the_section_and_leave_out_what_a_run_does_not_have(train: Train) -> None:
    """A learner would read "name cosine, final None" instead of the schedule that they chose."""
    few = ("train.steps=2", "data.size=100")
    train("digits-mlp", *few, "schedule.name=constant")
    folder = train("digits-mlp", *few, "schedule.name=cosine")
    found = from_rows.make(folder, "trials", {"metric": "auto"})
    assert found["labels"].tolist() == ["schedule constant", "schedule cosine, final 0"]


@pytest.mark.slow
def test_results_by_width_lie_on_an_axis(train: Train) -> None:
    """A network of one layer has its width in a list, and a study of the width would have no curve."""
    few = ("train.steps=2", "data.size=100")
    for width in (4, 8):
        folder = train("digits-mlp", *few, f"model.widths=[{width}]")
    found = from_rows.make(folder, "trials", {"metric": "auto"})
    assert (str(found["key"]), found["x"].tolist()) == ("model.widths", [4.0, 8.0])
    found = from_rows.make(train("digits-mlp", *few, "model.widths=[8, 8]"), "trials", {"metric": "auto"})
    assert (str(found["key"]), found["x"].tolist()) == ("", [])


def test_the_ensembles_score_is_beside_those_of_its_members(train: Train) -> None:
    """The mean prediction would be compared with the members' validation, or not at all."""
    folder = train("digits-mlp", "members.repeats=3", "train.steps=5", "data.size=100")
    together = folder.last("ensemble")
    assert together is not None
    found = from_rows.make(folder, "spread", {"metric": "auto"})
    assert (str(found["metric"]), float(found["ensemble"])) == ("test_accuracy", together["accuracy"])
    assert np.isnan(from_rows.make(folder, "spread", {"metric": "val_loss"})["ensemble"])


@pytest.mark.parametrize("overrides", [[], ["members.repeats=2"]])
def test_gradients_by_layer_are_the_first_and_the_last_measured(train: Train, overrides: list[str]) -> None:
    """A vanishing gradient would be seen where there is none."""
    folder = train("digits-mlp", "train.steps=23", "data.size=200", *overrides)
    found = from_rows.make(folder, "gradients-by-layer", {})
    rows, layout = Metrics(folder.path).rows(), Metrics(folder.path).layout
    assert layout is not None
    assert found["layers"].tolist() == ["hidden1", "head"]
    assert (int(found["first_step"]), int(found["last_step"])) == (0, 20)
    for i, name in enumerate(("hidden1", "head")):
        column = rows[:, :, layout.columns.index(f"layer.{name}.grad_norm")].mean(axis=1)
        assert found["first"][i] == pytest.approx(column[0])
        assert found["last"][i] == pytest.approx(column[20])


def test_what_the_rows_tell_needs_no_worker(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading torch takes seconds, and the data may be gone."""

    def refuse(*words: Any, **options: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(warm, "start", refuse)
    folder = train("digits-mlp", "train.steps=5", "members.repeats=2")
    answer = picture_of(folder, "gradients-by-layer", {}, "shell")
    assert pictures.read(Path(answer["picture"])).step == answer["step"] == 5
    assert "no score" not in str(of_ended(folder, {"spread": {}})["spread"])


WITHOUT_MEMORY = """
import sys
from descent.common import turn
from descent.common.machine import Memory
turn.seen = lambda: turn.Seen(Memory(0, 1 << 30), under_way=1)
turn._LONGEST, turn._LOOK = 0.02, 0.02
sys.exit(turn.main(*sys.argv[1:]))
"""


def test_a_picture_of_an_ended_run_waits_for_memory(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty students who open their pictures at once would have the kernel end somebody's run."""

    def start(module: str, *words: str, **streams: Any) -> "subprocess.Popen[bytes]":
        assert module == turn.__name__
        return subprocess.Popen([sys.executable, "-c", WITHOUT_MEMORY, *words], **streams)

    folder = train("digits-mlp", "train.steps=5", "data.size=200")
    monkeypatch.setattr(warm, "start", start)
    said: list[str] = []
    with pytest.raises(DescentError, match="too little memory"):
        of_ended(folder, {"confusion": {}}, said.append)
    assert said == ["waits for memory, behind 1 other"]


def test_a_member_of_an_ended_run_is_looked_at_by_its_number(train: Train) -> None:
    """Every member's picture would be that of an untrained model, or of the first."""
    from engine.training.pictures import ended

    folder = train("linear-regression", "members.repeats=2", "train.steps=3")
    run, _ = ended.last_state(folder, folder.path)
    for member in range(2):
        weight = run.weights()["linear.weight"][member].item()
        assert make(run, "surface", {"member": str(member)}, folder)["now"][0] == pytest.approx(weight)
    with pytest.raises(DescentError, match="has the members 0 to 1"):
        make(run, "surface", {"member": 2}, folder)


def test_a_recorded_loop_is_not_changed_by_looking(train: Train, tmp_path: Path) -> None:
    """A run with members that somebody watched would end elsewhere."""
    ends = []
    for looked_at in (False, True):
        preset = load_preset("xor-mlp", ["members.repeats=3", "train.threads=1"])
        run = build(preset, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
        for _ in range(6):
            step.train_step(run, run.batches.next(), run.learning_rate(), measured=True)
            run.step += 1
            run.batches.epoch_is_over()
            if looked_at:
                make(run, "tally")
                make(run, "boundary", {"member": 1})
        ends.append({name: tensor.clone() for name, tensor in run.weights().items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
