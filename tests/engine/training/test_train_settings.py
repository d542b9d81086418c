"""Each setting of [train] must change the run as it says, and nothing else."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import BestModel, result_of
from engine.preset.schema import EarlyStopping
from engine.training.evaluation import Best
from engine.training.scored import scored
from tests.engine.training.conftest import Train
from tests.helpers.model_families import parsed
from tests.helpers.processes import process

FEW = ("data.size=300", "train.batch_size=50")
SMALL = (*FEW, "train.epochs=4")


def _loss(run: RunFolder) -> np.ndarray:
    return Metrics(run.path).column("loss")


def _final(run: RunFolder) -> checkpoint.State:
    state, complaints = checkpoint.latest(run)
    assert state is not None
    assert not complaints
    return state


@pytest.mark.slow
def test_epochs_and_steps_count_updates(train: Train) -> None:
    assert len(_loss(train("digits-mlp", *SMALL))) == 24
    assert len(_loss(train("digits-mlp", *FEW, "train.steps=10"))) == 10


def test_a_full_batch_makes_one_update_an_epoch(train: Train) -> None:
    run = train("digits-mlp", "data.size=300", "train.epochs=4", 'train.batch_size="full"')
    assert len(_loss(run)) == 4
    assert result_of(run).epoch == 4


@pytest.mark.slow
def test_a_batch_larger_than_the_split_is_the_whole_split(train: Train) -> None:
    """A small table could not be trained on with a shipped preset's batch size."""
    small = ("data.size=100", "train.epochs=4")
    run, full = (
        train("digits-mlp", *small, "train.batch_size=128"),
        train("digits-mlp", *small, 'train.batch_size="full"'),
    )
    assert _loss(run).tobytes() == _loss(full).tobytes()
    assert len(_loss(run)) == 4
    assert run.facts()["batch_size"] == full.facts()["batch_size"] < 128


@pytest.mark.slow
def test_the_seed_decides_everything_and_another_seed_something_else(train: Train) -> None:
    first, again = train("digits-mlp", *SMALL, "model.dropout=0.2"), train("digits-mlp", *SMALL, "model.dropout=0.2")
    other = train("digits-mlp", *SMALL, "model.dropout=0.2", "train.seed=1")
    assert _loss(first).tobytes() == _loss(again).tobytes()
    assert _loss(first).tobytes() != _loss(other).tobytes()


@pytest.mark.slow
def test_accumulation_makes_the_same_updates_from_smaller_parts(train: Train) -> None:
    whole, parts = train("digits-mlp", *SMALL), train("digits-mlp", *SMALL, "train.accumulate=3")
    assert _loss(parts) == pytest.approx(_loss(whole), rel=1e-4, abs=1e-5)
    assert Metrics(parts.path).column("accuracy") == pytest.approx(Metrics(whole.path).column("accuracy"), abs=1e-6)


@pytest.mark.slow
def test_clipping_holds_every_gradient_under_the_limit(train: Train) -> None:
    run = train("digits-mlp", *SMALL, "train.clip_norm=0.1")
    metrics = Metrics(run.path)
    assert (metrics.column("clipped_norm") <= 0.1 + 1e-6).all()
    assert (metrics.column("grad_norm") > 0.1).any()
    assert _loss(run).tobytes() != _loss(train("digits-mlp", *SMALL)).tobytes()


@pytest.mark.slow
def test_statistics_come_at_their_cadence_and_change_nothing(train: Train) -> None:
    often, seldom = (train("digits-mlp", *SMALL, f"train.statistics_every={n}") for n in (2, 7))
    assert _loss(often).tobytes() == _loss(seldom).tobytes()
    for run, every in ((often, 2), (seldom, 7)):
        norms = Metrics(run.path).column("grad_norm")
        assert np.flatnonzero(np.isfinite(norms)).tolist() == list(range(0, 24, every))


@pytest.mark.slow
def test_what_is_left_open_is_measured_kept_and_changes_no_number(train: Train) -> None:
    fixed, measured = (
        train(
            "digits-mlp", *SMALL, "model.dropout=0.3", f"train.statistics_every={value}", f"train.threads={threads}"
        )
        for value, threads in ((5, 1), ("auto", "auto"))
    )
    assert _loss(fixed).tobytes() == _loss(measured).tobytes()
    assert measured.facts()["statistics_every"] >= 1
    assert measured.facts()["threads"] == 1  # OMP_NUM_THREADS is the user's word


@pytest.mark.slow
def test_early_stopping_ends_the_run_and_tests_the_best_model(train: Train) -> None:
    run = train(
        "digits-mlp", "data.size=200", "train.epochs=300", "train.early_stopping={patience=3}", "optimizer.lr=0.3"
    )
    evaluations = [e for e in run.events() if e["event"] == "evaluation" and e["split"] == "validation"]
    losses = [e["loss"] for e in evaluations]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4
    assert len(_loss(run)) < 300 * run.facts()["steps_per_epoch"]
    tested = run.last("evaluation", split="test")
    assert tested is not None
    assert tested["step"] == evaluations[best]["step"]
    assert evaluations[best]["step"] in run.checkpoints()
    metrics = result_of(run).metrics
    assert (metrics["val_loss"], metrics["test_loss"]) == (losses[best], tested["loss"])
    assert _final(run)["step"] == len(_loss(run))

    chosen = result_of(run).best
    assert chosen == BestModel(tested["step"], run.checkpoint(tested["step"]))
    assert result_of(run).to_json()["best"] == {"step": tested["step"], "checkpoint": str(chosen.checkpoint)}
    state, _ = scored(run)
    assert state is not None
    assert state["step"] == tested["step"]
    later = train("digits-mlp", "data.size=200", "train.steps=1", f"model.from={run.path.name}")
    started = checkpoint.read(later.checkpoint(0))["model"]
    assert all(torch.equal(started[name], tensor) for name, tensor in state["model"].items())


def test_min_delta_steers_the_patience_and_not_the_choice_of_the_best() -> None:
    """A run that became better in small steps would be tested at an earlier, worse one."""
    best = Best(parsed(EarlyStopping, {"patience": 2, "min_delta": 0.1}))
    assert [best.observe(loss, step) for step, loss in enumerate([1.0, 0.95, 0.94])] == [True, True, True]
    assert best.patience_is_over()
    assert (best.loss, best.step) == (0.94, 2)

    renewed = Best(best.settings)
    renewed.restore({"loss": 0.95, "step": 1, "waited": 1})  # as Descent 0.1 has saved it
    assert renewed.observe(0.84, 2)
    assert renewed.waited == 0


def test_evaluations_and_checkpoints_come_when_asked_for(train: Train) -> None:
    run = train(
        "digits-mlp",
        *SMALL,
        "train.evaluate_every.steps=7",
        "train.checkpoint_every.steps=5",
        "train.keep=2",
    )
    steps = [e["step"] for e in run.events() if e["event"] == "evaluation" and e["split"] == "validation"]
    assert steps == [7, 14, 21, 24]
    best = {checkpoint.read(run.checkpoint(step))["best"]["step"] for step in (20, 24)}
    assert len(best) == 2
    assert run.checkpoints() == sorted({0, 20, 24, *best})
    readable = json.loads(run.checkpoint(24).with_suffix(".json").read_text())
    assert readable["metrics"]["test_accuracy"] == result_of(run).metrics["test_accuracy"]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_precision_trains(train: Train, precision: str) -> None:
    run = train("digits-mlp", *SMALL, f"train.precision={precision}")
    assert _loss(run)[-1] < _loss(run)[0]
    assert all(tensor.dtype == torch.float32 for tensor in _final(run)["model"].values())


def test_fp16_without_a_gpu_is_refused(train: Train) -> None:
    with pytest.raises(AssertionError, match="needs a CUDA GPU"):
        train("digits-mlp", *SMALL, "train.precision=fp16", "train.device=cpu")


def test_a_device_that_is_not_there_is_refused(train: Train) -> None:
    with pytest.raises(AssertionError, match="no such GPU here"):
        train("digits-mlp", *SMALL, "train.device=cuda:77")


@pytest.mark.long
@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_shows_its_dead_units(train: Train) -> None:
    """A layer that has died would look alive for ever: the compiler sees no hook that comes later."""
    plain = train("digits-mlp", *FEW, "train.steps=6")
    compiled = train("digits-mlp", *FEW, "train.steps=6", "train.compile=true")
    assert _loss(compiled) == pytest.approx(_loss(plain), rel=1e-3)
    layout = Metrics(plain.path).layout
    assert layout is not None
    dead = [
        Metrics(run.path).columns([n for n in layout.columns if n.endswith(".dead")]) for run in (plain, compiled)
    ]
    assert np.isfinite(dead[0][[0, 5]]).any(axis=1).all()
    np.testing.assert_allclose(dead[1], dead[0], atol=0.05)


@pytest.mark.long
@pytest.mark.slow
def test_without_a_compiler_the_setting_that_needs_it_is_named(tmp_path: Path) -> None:
    """It would be called a bug in Descent."""
    words = ["run", "digits-mlp", "--set", "train.compile=true", "--set", "train.steps=2", "--runs-dir", "runs"]
    done = process(words, cwd=tmp_path, env={**os.environ, "CXX": "/nonexistent/g++"})
    assert done.code == 5, done
    assert "train.compile = true: PyTorch could not compile the model" in done.err


@pytest.mark.slow
def test_penalties_pull_the_weights_in_and_stay_out_of_the_loss(train: Train) -> None:
    runs = [train("digits-mlp", *SMALL, f"loss.l2={l2}") for l2 in (0.0, 0.1)]
    norms = [float(sum(t.square().sum() for n, t in _final(run)["model"].items() if "weight" in n)) for run in runs]
    assert norms[1] < norms[0]
    assert _loss(runs[0])[0] == _loss(runs[1])[0]  # of the same first weights and batch


def test_each_schedule_is_the_rate_that_was_used(train: Train) -> None:
    run = train("digits-mlp", *SMALL, "schedule.name=cosine", "schedule.warmup=4", "optimizer.lr=0.08")
    lr = Metrics(run.path).column("lr")
    assert lr[:4] == pytest.approx([0.02, 0.04, 0.06, 0.08])
    assert lr[-1] == pytest.approx(0, abs=1e-7)
    assert (np.diff(lr[4:]) < 0).all()


@pytest.mark.slow
def test_a_rate_that_waits_for_a_plateau_falls_on_one(train: Train) -> None:
    run = train("digits-mlp", "schedule.name=plateau", "schedule.patience=1", "train.epochs=40", "data.size=100")
    rates = np.unique(Metrics(run.path).column("lr"))
    assert len(rates) > 1
    assert rates[-2] == pytest.approx(rates[-1] * 0.1)


@pytest.mark.slow
def test_weights_of_another_run_are_a_start_and_frozen_layers_stay(train: Train, tmp_path: Path) -> None:
    first = train("digits-mlp", *SMALL)
    tuned = train("digits-mlp", *SMALL, f'model.from="{first.id}"', "model.freeze=1", "train.seed=5")
    before, after = _final(first)["model"], _final(tuned)["model"]
    frozen, trained = [name for name in before if "hidden1" in name], [name for name in before if "head" in name]
    assert frozen
    assert trained
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not any(torch.equal(before[name], after[name]) for name in trained)
    assert _loss(tuned)[0] < _loss(first)[0]
    given = tuned.facts()["transfer"]
    assert given["from"] == str(first.path)
    assert (given["loaded"], given["frozen"]) == (["hidden1", "head"], ["hidden1"])
    assert "transfer" not in first.facts()
    by_path = train("digits-mlp", *SMALL, f'model.from="{first.checkpoint(24)}"', "model.freeze=1", "train.seed=5")
    assert _loss(by_path).tobytes() == _loss(tuned).tobytes()


def test_a_last_batch_of_one_is_left_out_for_batch_norm(train: Train) -> None:
    run = train("digits-mlp", "data.size=301", "train.batch_size=50", "train.epochs=2", "model.batch_norm=true")
    assert run.facts()["steps_per_epoch"] == 6
    assert any("batch of one" in e["message"] for e in run.events() if e["event"] == "warning")


def test_batch_norm_never_trains_on_a_part_of_one(train: Train) -> None:
    """The last batch of 2 would be split into parts of one sample, which end the run."""
    settings = ("data.size=302", "train.batch_size=50", "train.epochs=2", "model.batch_norm=true")
    run = train("digits-mlp", *settings, "train.accumulate=2")
    assert run.facts()["steps_per_epoch"] == 7
    assert np.isfinite(_loss(run)).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["train.batch_size=1"], "train.batch_size = 1 gives .* allowed: 2 to 300"),
        (["train.batch_size=9", "train.accumulate=6"], "train.batch_size = 9 in 6 parts .* allowed: 12 to 300"),
    ],
)
def test_where_batch_norm_would_have_one_sample_only_it_is_said_beforehand(
    train: Train, settings: list[str], says: str
) -> None:
    with pytest.raises(AssertionError, match=says):
        train("digits-mlp", "data.size=300", "model.batch_norm=true", "train.steps=2", *settings)


@pytest.mark.slow
def test_batch_norm_of_images_takes_a_sample_at_a_time(train: Train) -> None:
    """Its values are many a channel: memory that holds one image only would be refused for nothing."""
    run = train("digits-cnn", *FEW, "model.batch_norm=true", "train.accumulate=50", "train.steps=2")
    assert np.isfinite(_loss(run)).all()


def test_regression_has_no_accuracy(train: Train) -> None:
    run = train("linear-regression", "train.steps=20")
    layout = Metrics(run.path).layout
    assert layout is not None
    assert "accuracy" not in layout.columns
    assert "test_accuracy" not in result_of(run).metrics
    assert result_of(run).metrics["test_loss"] > 0


def test_the_table_of_layers_names_each_layer_and_its_shape(train: Train) -> None:
    run = train("digits-mlp", *SMALL)
    layout = Metrics(run.path).layout
    assert layout is not None
    assert [layer["name"] for layer in layout.layers][-1] == "head"
    assert "64" in layout.layers[0]["kind"]
    dead = Metrics(run.path).column(f"layer.{layout.layers[0]['name']}.dead")
    assert np.isfinite(dead[::5]).all()


@pytest.mark.parametrize("setting", ["train.early_stopping={patience=2}", "schedule.name=plateau"])
def test_what_goes_by_the_validation_loss_wants_a_validation_split(train: Train, setting: str) -> None:
    with pytest.raises(AssertionError, match="leaves no validation split"):
        train("digits-mlp", *SMALL, "data.validation=0.0", setting)


def test_an_accuracy_is_a_count_of_right_answers(train: Train) -> None:
    run = train("digits-mlp", *SMALL)
    accuracy = result_of(run).metrics["val_accuracy"]
    samples = run.facts()["samples"]["validation"]
    assert accuracy == round(accuracy * samples) / samples
