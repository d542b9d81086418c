"""A run with members must be what separate runs would be, and be steered, killed and resumed like any other."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.common.errors import PresetError
from descent.control import RefusedError, send
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import result_of
from engine import pictures
from engine.cli import live_view, report
from engine.launch.fork import first_difference
from engine.launch.options import Options
from engine.launch.start import fork, replay, resume, run
from engine.preset.loading import load_preset
from tests.helpers.waiting import wait_for
from tests.helpers.workers import child, ends_with, start

Train = Callable[..., RunFolder]
SHORT = ["data.size=400", "train.steps=60", "train.batch_size=50"]
SWEEP = 'members.sweep."optimizer.lr"='


def column(run: RunFolder, name: str, member: int = 0) -> Any:
    return Metrics(run.path).column(name, member)


def evaluations(run: RunFolder, split: str, member: int) -> list[tuple[int, float]]:
    wanted = {"event": "evaluation", "split": split, "member": member}
    return [(e["step"], e["loss"]) for e in run.events() if wanted.items() <= e.items()]


@pytest.mark.slow
def test_repeats_are_the_runs_of_their_seeds(train: Train) -> None:
    together = train("digits-mlp", *SHORT, "members.repeats=3", "train.seed=5", "optimizer.momentum=0.9")
    for member in range(3):
        alone = train("digits-mlp", *SHORT, f"train.seed={5 + member}", "optimizer.momentum=0.9")
        for name in ("loss", "accuracy", "lr"):
            np.testing.assert_allclose(column(together, name, member), column(alone, name), rtol=2e-4, atol=2e-5)
        for split in ("validation", "test"):
            mine, own = evaluations(together, split, member), evaluations(alone, split, 0)
            assert [step for step, _ in mine] == [step for step, _ in own]
            np.testing.assert_allclose([loss for _, loss in mine], [loss for _, loss in own], rtol=1e-4)
    layer = "layer.hidden1.weight_norm"
    measured = ~np.isnan(column(alone, layer))
    np.testing.assert_allclose(column(together, layer, 2)[measured], column(alone, layer)[measured], rtol=1e-4)


OF_SAMPLES = ["train.steps=3", "train.batch_size=full", "optimizer.lr=0.1", "members.samples=6"]


def test_each_member_trains_on_samples_of_its_own_and_all_are_tested_on_the_same(train: Train) -> None:
    """Two hundred fits of the same fifteen points would have no variance."""
    together = train("linear-regression", *OF_SAMPLES, "model.init=zeros", "members.repeats=3", "train.seed=5")
    first = [column(together, "loss", member)[0] for member in range(3)]
    assert len(set(first)) == 3  # of the same weights, 0
    alone = train("linear-regression", *OF_SAMPLES, "model.init=zeros", "train.seed=6")
    np.testing.assert_allclose(column(together, "loss", 1), column(alone, "loss"), rtol=1e-5)
    mine, own = evaluations(together, "test", 1), evaluations(alone, "test", 0)
    np.testing.assert_allclose(mine[-1], own[-1], rtol=1e-5)


def test_members_samples_says_how_many_there_are(train: Train) -> None:
    with pytest.raises(AssertionError, match="there are 80 training samples to draw from; allowed: 1 to 80"):
        train("linear-regression", "members.samples=5000", "members.repeats=2")
    with pytest.raises(PresetError, match=r"members\.samples and members\.folds can't be combined"):
        train("linear-regression", "members.samples=5", "members.folds=2")


@pytest.mark.slow
def test_candidates_have_their_own_rates_and_only_the_winner_is_tested(train: Train) -> None:
    run = train("digits-mlp", *SHORT, SWEEP + "[0.0001, 0.1]", "members.repeats=2", "schedule.name=cosine")
    assert column(run, "lr", 0)[0] == np.float32(0.0001)
    assert column(run, "lr", 2)[0] == np.float32(0.1)
    assert (column(run, "loss", 0)[0], column(run, "loss", 1)[0]) == (
        column(run, "loss", 2)[0],
        column(run, "loss", 3)[0],
    )
    winner = run.last("winner")
    assert winner is not None
    assert winner["members"] == [2, 3]
    assert winner["values"] == {"optimizer.lr": 0.1}
    assert [bool(evaluations(run, "test", member)) for member in range(4)] == [False, False, True, True]


@pytest.mark.slow
def test_a_member_that_diverges_is_marked_and_harms_no_other(train: Train) -> None:
    run = train("digits-mlp", *SHORT, SWEEP + "[0.1, 1e30, 0.05]")
    without = train("digits-mlp", *SHORT, SWEEP + "[0.1, 0.05]")
    for member, other in ((0, 0), (2, 1)):
        np.testing.assert_allclose(column(run, "loss", member), column(without, "loss", other), rtol=2e-4, atol=2e-5)
    ended = [event for event in run.events() if event["event"] == "member"]
    assert [(event["member"], event["state"]) for event in ended] == [(1, "diverged")]
    losses = column(run, "loss", 1)
    assert np.isfinite(losses[: ended[0]["step"]]).all()
    assert np.isnan(losses[ended[0]["step"] + 1 :]).all()
    assert not evaluations(run, "validation", 1)
    told = [event["train_loss"] for event in run.events() if event["event"] == "epoch"]
    assert max(told) < 10  # its last losses, on the way to infinity, would be all that the line of an epoch tells


def test_each_fold_validates_on_its_own_part_and_the_test_is_the_same(train: Train) -> None:
    run = train("digits-mlp", "data.size=400", "train.epochs=2", "members.folds=4")
    last = [evaluations(run, "validation", member)[-1][1] for member in range(4)]
    assert len(set(last)) == 4
    assert all(evaluations(run, "test", member) for member in range(4))
    assert run.last("ensemble") is not None
    assert [member["fold"] for member in Metrics(run.path).layout.members] == [0, 1, 2, 3]  # type: ignore[union-attr]


@pytest.mark.slow
def test_early_stopping_is_each_members_own(train: Train) -> None:
    settings = ["data.size=400", "train.epochs=40", "train.early_stopping.patience=2", "optimizer.lr=0.5"]
    run = train("digits-mlp", *settings, "members.repeats=3")
    stopped = {e["member"]: e["step"] for e in run.events() if e["event"] == "member"}
    assert stopped
    for member, step in stopped.items():
        losses = column(run, "loss", member)
        assert np.isfinite(losses[:step]).all()
        assert np.isnan(losses[step:]).all()
        alone = train("digits-mlp", *settings, f"train.seed={member}")
        assert len(column(alone, "loss")) == step
        np.testing.assert_allclose(
            evaluations(run, "test", member)[-1][1], evaluations(alone, "test", 0)[-1][1], rtol=1e-3
        )


@pytest.mark.slow
def test_with_early_stopping_candidates_are_told_by_the_models_that_were_compared(train: Train) -> None:
    """The winner's validation loss would be that of a model that nobody tested, and another would come first."""
    early = ["data.size=400", "train.epochs=40", "train.early_stopping.patience=2"]
    run = train("digits-mlp", *early, SWEEP + "[0.05, 0.5, 0.8]")
    found = result_of(run)
    best = [min(loss for _, loss in evaluations(run, "validation", member)) for member in range(3)]
    assert best != [evaluations(run, "validation", member)[-1][1] for member in range(3)]
    assert [member.metrics["val_loss"] for member in found.members] == best
    assert found.winner is not None
    assert found.winner.metrics["val_loss"] == pytest.approx(found.winner.score, rel=1e-6)
    assert [candidate.metrics["val_loss"] for candidate in found.candidates] == sorted(best)


def test_where_all_diverge_the_run_has_failed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = [*SHORT, "train.device=cpu", "train.threads=1", "train.statistics_every=7", SWEEP + "[1e30, 1e31]"]
    assert child(lambda: run("digits-mlp", settings, report.options("all", tmp_path, quiet=True))) == 3
    assert "every member" in capfd.readouterr().err


def test_repeats_that_have_all_diverged_are_tested_without_an_ensemble(train: Train) -> None:
    """The run would end as a bug of Descent's: there is no prediction to take the mean of."""
    run = train("digits-mlp", *SHORT, "members.repeats=2", "optimizer.lr=1e30", 'train.on_nan="continue"')
    assert [event["state"] for event in run.events() if event["event"] == "member"] == ["diverged", "diverged"]
    assert run.last("ensemble") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ["members.repeats=3", "model.dropout=0.2", "optimizer.momentum=0.9"],
        [SWEEP + "[0.1, 0.01, 1e30]", "schedule.name=plateau", "train.early_stopping.patience=4"],
        ["members.folds=3", "optimizer.name=adamw", "optimizer.lr=0.003", "model.batch_norm=true"],
    ],
    ids=["repeats", "sweep", "folds"],
)
def test_killed_and_resumed_they_end_bit_equal(settings: list[str], tmp_path: Path) -> None:
    settings = [*settings, "train.steps=120", "train.evaluate_every.steps=10", "train.batch_size=40"]
    common = ["train.device=cpu", "data.size=400", "train.threads=1", "train.statistics_every=7"]

    def whole() -> int:
        return run("digits-mlp", [*common, *settings], Options("whole", tmp_path, quiet=True))

    def killed() -> int:
        from descent.loop.commands import CommandHandler

        attend = CommandHandler.attend

        def attend_until_80(handler: CommandHandler, interrupted: Callable[[], bool]) -> None:
            if handler._session.step == 55:
                handler._session.save(wanted=False)
            if handler._session.step == 80:
                os.kill(os.getpid(), signal.SIGKILL)
            attend(handler, interrupted)

        CommandHandler.attend = attend_until_80  # type: ignore[method-assign]
        return run("digits-mlp", [*common, *settings], Options("killed", tmp_path, quiet=True))

    assert child(whole) == 0
    assert child(killed) == -signal.SIGKILL
    assert child(lambda: resume("killed", Options(runs_dir=tmp_path, quiet=True))) == 0
    runs = [RunFolder(tmp_path / name) for name in ("whole", "killed")]
    assert first_difference(*runs) is None
    results = [[e for e in run.events() if e["event"] in ("evaluation", "member", "winner")] for run in runs]
    assert [{**e, "time": 0} for e in results[0]] == [{**e, "time": 0} for e in results[1]]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[int, RunFolder]]:
    settings = ["train.steps=100000", "train.evaluate_every=1000", SWEEP + "[0.1, 0.05]", "model.dropout=0.1"]
    pid, folder = start(tmp_path / "runs", *settings)
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    yield pid, folder
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


@pytest.mark.slow
def test_what_was_set_for_one_member_is_said_to_be_its_alone(
    live: tuple[int, RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = live
    live_view.give(str(folder.path), None, "set", {"edits": ["member=1", "optimizer.lr=0.2"]}, as_json=False)
    assert capsys.readouterr().out == "set from step 0 on: optimizer.lr = 0.2 (only member 1)\n"


@pytest.mark.slow
def test_one_member_is_steered_alone_or_all_are(live: tuple[int, RunFolder]) -> None:
    pid, folder = live
    send(folder.path, "step", {"steps": 3})
    send(folder.path, "set", {"edits": ["member=1", "optimizer.lr=0.2"]})
    send(folder.path, "step", {"steps": 2})
    send(folder.path, "set", {"edits": ["lr_scale=0.5"]})
    send(folder.path, "step", {"steps": 1})
    saved = send(folder.path, "checkpoint")["step"]
    send(folder.path, "set", {"edits": ["optimizer.lr=0.4"]})
    send(folder.path, "step", {"steps": 2})
    send(folder.path, "rewind", {"to": saved})
    send(folder.path, "step", {"steps": 1})
    rates = [column(folder, "lr", member).tolist() for member in range(2)]
    assert rates[0] == pytest.approx([0.1] * 5 + [0.05, 0.05])
    assert rates[1] == pytest.approx([0.05] * 3 + [0.2] * 2 + [0.1, 0.1])
    for edits, why in (
        (["member=2", "optimizer.lr=1"], "members 0 to 1"),
        (["member=0", "train.batch_size=10"], "can't be set for one member alone"),
        (["member=0"], "give what to change"),
    ):
        with pytest.raises(RefusedError, match=why):
            send(folder.path, "set", {"edits": edits})
    send(folder.path, "stop")
    assert ends_with(pid) == 0


@pytest.mark.slow
def test_a_steered_run_with_members_is_replayed_to_the_same_bits(live: tuple[int, RunFolder]) -> None:
    pid, folder = live
    send(folder.path, "step", {"steps": 3})
    send(folder.path, "set", {"edits": ["member=1", "optimizer.lr=0.2", "model.dropout=0.4"]})
    send(folder.path, "step", {"steps": 20})
    send(folder.path, "stop")
    assert ends_with(pid) == 0
    assert child(lambda: replay(str(folder.path), Options("again", quiet=True))) == 0
    assert child(lambda: fork(str(folder.path), None, ["train.steps=40"], Options("longer", quiet=True))) == 0
    assert len(column(RunFolder(folder.path.parent / "longer"), "loss", 1)) == 40


@pytest.mark.slow
def test_a_picture_is_of_the_member_that_is_asked_for(live: tuple[int, RunFolder]) -> None:
    _, folder = live
    send(folder.path, "step", {"steps": 3})
    drawn = [
        pictures.read(Path(send(folder.path, "picture", {"kind": "weights", "options": options})["picture"]))
        for options in ({"member": 0}, {"member": 1})
    ]
    assert not np.array_equal(drawn[0].arrays["counts"], drawn[1].arrays["counts"])
    with pytest.raises(RefusedError, match="members 0 to 1"):
        send(folder.path, "picture", {"kind": "weights", "options": {"member": 2}})
    wait_for(lambda: folder.state() == "paused", "the run")
    assert json.dumps(folder.facts()["way"]) == '"batched"'


def test_what_members_cannot_do_is_said_before_anything_starts(train: Train) -> None:
    with pytest.raises((PresetError, AssertionError), match=r"train\.compile = true does not work with members"):
        train("digits-mlp", "members.repeats=2", "train.compile=true")
    with pytest.raises(PresetError, match=r"model\.widths can't differ"):
        load_preset("digits-mlp", ['members.sweep."model.widths"=[[8], [16]]'])
