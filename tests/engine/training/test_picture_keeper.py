"""The worker keeps pictures while it trains: they must be right, cheap, and change no bit of the run."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent.common.errors import DescentError
from descent.loop import checkpoint
from descent.loop.clock import Clock
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine import pictures
from engine.pictures import followed, kept
from engine.preset.loading import load_preset
from engine.training import learned, losses
from engine.training.build import build
from engine.training.pictures import ended, keeper
from engine.training.pictures.keeper import OPTIONS, PictureKeeper, kinds_of
from tests.engine.training.conftest import Train


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture after every step."""
    monkeypatch.setattr(keeper, "EVERY", 0.0)
    monkeypatch.setattr(keeper, "SHARE", 1e9)


@pytest.mark.parametrize(
    ("preset", "overrides", "wanted"),
    [
        ("moons-mlp", [], ("boundary",)),
        ("linear-regression", [], ("fit", "surface")),
        ("polynomial-regression", [], ("fit",)),
        ("ravine-point", [], ("surface",)),
        ("digits-cnn", [], ("confusion", "mistakes")),
        ("moons-mlp", ["members.repeats=3"], ("tally",)),
        ("polynomial-regression", ["members.repeats=3"], ("fit",)),
        ("digits-mlp", ["members.repeats=3"], ()),
    ],
)
def test_the_data_choose_the_pictures(
    preset: str, overrides: list[str], wanted: tuple[str, ...], tmp_path: Path
) -> None:
    """Of several members, one alone would pass for all of them."""
    settings = load_preset(preset, ["train.threads=1", *overrides])
    run = build(settings, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
    assert kinds_of(run) == wanted


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("digits-cnn", ["data.size=200", "data.augment={shift=1, flip=true}", "model.dropout=0.3"]),
        ("digits-cnn", ["data.size=200", "model.batch_norm=true", "optimizer.name=adam"]),
        ("moons-mlp", ["data.n=100", "members.repeats=2", "model.dropout=0.2"]),
    ],
)
def test_a_run_with_pictures_is_bit_equal_to_one_without(
    train: Train, monkeypatch: pytest.MonkeyPatch, preset: str, overrides: list[str]
) -> None:
    changed = ["train.steps=12", "train.batch_size=50", *overrides]
    drawn = train(preset, *changed)
    assert kept.steps(drawn.path) == list(range(13))
    monkeypatch.setattr(keeper, "kinds_of", lambda run: ())
    plain = train(preset, *changed)
    assert not (plain.path / "pictures").exists()
    layout = Metrics(drawn.path).layout
    assert layout is not None
    columns = [at for at, name in enumerate(layout.columns) if name != "time"]
    rows = [Metrics(run.path).rows()[:, :, columns].tobytes() for run in (drawn, plain)]
    assert rows[0] == rows[1]
    states: list[Any] = [checkpoint.latest(run)[0] for run in (drawn, plain)]
    assert all(torch.equal(states[0]["model"][name], states[1]["model"][name]) for name in states[1]["model"])


@pytest.mark.usefixtures("eager")
def test_each_picture_is_of_its_step(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """A board that is moved back would show the boundary of another moment."""
    folder = train("digits-mlp", "data.size=300", "train.steps=20", "train.checkpoint_every={steps=20}")
    asked = [{"kind": kind, "options": OPTIONS[kind]} for kind in ("confusion", "mistakes")]
    assert ended.main(str(folder.path), str(folder.path), *map(json.dumps, asked)) == 0
    for line in capsys.readouterr().out.splitlines():
        of_checkpoint = pictures.read(Path(json.loads(line)["picture"]))
        found = {step: kept.latest(folder.path, of_checkpoint.kind, step) for step in (20, 5)}
        assert [None if one is None else one.step for one in found.values()] == [20, 5]
        assert found[20] is not None
        assert found[5] is not None
        name = "counts" if of_checkpoint.kind == "confusion" else "probability"
        assert np.allclose(found[20].arrays[name], of_checkpoint.arrays[name], atol=1e-3)
        assert found[5].arrays[name].tobytes() != found[20].arrays[name].tobytes()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("most", [8_000, 300])
def test_a_mistake_is_followed_by_what_the_model_says_at_each_step(
    train: Train, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """The screen would show probabilities that `descent predict` and the checkpoints contradict."""
    monkeypatch.setattr(keeper, "FOLLOWED", most)
    folder = train("digits-mlp", "data.size=300", "train.steps=20", "train.checkpoint_every={steps=10}")
    mistakes = followed.mistakes(folder.path)
    assert mistakes is not None
    assert len(mistakes.arrays["followed"]) == min(mistakes.arrays["of"], most // 10)
    run = build(load_preset(folder.preset), folder, folder.path, torch.device("cpu"), fresh=False)
    assert run.dataset.validation is not None
    samples = [int(index) for index in mistakes.arrays["index"]]
    inputs, targets = run.dataset.validation.inputs[samples], run.dataset.validation.targets[samples]
    assert targets.tolist() == mistakes.arrays["true"].tolist()
    courses = [followed.course_of(folder.path, "validation", index) for index in samples]
    if most == 8_000:
        assert all(course.steps.tolist() == list(range(21)) for course in courses)
    for step in (20, 10):
        model = learned.load(folder)
        assert model.step == step
        with torch.no_grad():
            wanted = losses.probabilities(model.module(inputs), model.loss).numpy()
        for course, probabilities in zip(courses, wanted, strict=True):
            there = np.flatnonzero(course.steps == step)
            assert len(there) == 1 or (most == 300 and step == 10)  # not among the least sure ones by then
            for at in there:
                assert course.probabilities[at] == pytest.approx(probabilities, abs=1e-3)
        folder.checkpoint(step).unlink()
    assert followed.course_of(folder.path, "train", samples[0]).steps.tolist() == []


def test_pictures_cost_a_hundredth_of_the_training_however_long_one_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of a large network takes seconds: it would slow down the training that it is to show."""
    run = build(load_preset("moons-mlp"), RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
    now, spent = 0.0, 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    cost = itertools.cycle([0.5, 2.0, 1.0])

    def draws(*_given: Any, **_named: Any) -> dict[str, Any]:
        nonlocal now, spent
        took = next(cost)
        now, spent = now + took, spent + took
        return {"boundary": {"x": np.zeros(1)}}

    monkeypatch.setattr(keeper, "draw", draws)
    clock = Clock(torch.device("cpu"), 0.0)
    pictured = PictureKeeper(run, RunFolder(tmp_path), clock, pytest.fail)
    monkeypatch.setattr(pictured, "_expected", lambda: 1.0)
    pictured.begin()
    assert kept.steps(tmp_path) == []  # one takes too long for a start
    with clock.running():
        for step in range(20_000):
            now += 0.1
            run.step = step
            pictured.keep_up()
            assert spent <= 0.02 * clock.seconds()
    assert spent == pytest.approx(0.01 * clock.seconds(), rel=0.2)


def test_a_picture_that_fails_ends_the_keeping_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build(load_preset("moons-mlp"), RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
    said: list[str] = []
    errors: list[Exception] = [DescentError("no memory is left"), OSError(28, "No space left on device")]
    for error in errors:

        def fails(*_given: Any, error: Exception = error, **_named: Any) -> None:
            raise error

        monkeypatch.setattr(keeper, "draw", fails)
        pictured = PictureKeeper(run, RunFolder(tmp_path), Clock(torch.device("cpu"), 0.0), said.append)
        for _step in range(3):
            pictured.keep()
            pictured.rest()
            pictured.keep_up()
    assert said == [
        "no more pictures of this run are kept to go back to: no memory is left",
        "no more pictures of this run are kept to go back to: No space left on device",
    ]
