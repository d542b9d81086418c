"""A student who wants to go on with the best of several models must get that one: its weights, its optimizer, its
batches, and the settings it had come to.
"""

from pathlib import Path

import numpy as np
import pytest

from descent.common.errors import DescentError
from descent.control import send
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.results import LiveEdit, result_of
from engine.cli import members_view
from engine.launch import start as launch_start
from engine.launch.fork import branch
from engine.launch.options import Options
from engine.preset.loading import load_preset
from tests.helpers.workers import child, ends_with, start

QUIET = Options(quiet=True)
AT = 12


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Stopped at step 40: three rates, one of which diverges, with two seeds each; member 5 was steered alone at 5.

    Not to be changed.
    """
    pid, folder = start(
        tmp_path_factory.mktemp("several") / "runs",
        "train.steps=100000",
        "train.evaluate_every.steps=10",
        "train.batch_size=64",
        "train.keep=9",
        "train.clip_norm=1.0",
        "optimizer.name=adam",
        'members.sweep."optimizer.lr"=[0.01, 1e38, 0.003]',
        "members.repeats=2",
    )
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    send(folder.path, "step", {"steps": 5})
    send(folder.path, "set", {"edits": ["member=5", "optimizer.lr=0.02", "lr_scale=0.5"]})
    send(folder.path, "set", {"edits": ["member=0", "optimizer.lr=0.03"]})
    send(folder.path, "step", {"steps": AT - 5})
    send(folder.path, "checkpoint")
    send(folder.path, "step", {"steps": 40 - AT})
    send(folder.path, "stop")
    assert ends_with(pid) == 0
    return folder


def fork(parent: RunFolder, member: int, run_id: str, *settings: str, at: int | None = AT) -> RunFolder:
    options = Options(run_id, quiet=True)
    assert child(lambda: launch_start.fork(str(parent.path), at, settings, options, member=member)) == 0
    return RunFolder(parent.path.parent / run_id)


@pytest.mark.slow
@pytest.mark.parametrize("member", [1, 5])
def test_it_follows_the_members_own_path(parent: RunFolder, member: int) -> None:
    """The parent computes all members as batched products, the fork one model: they round otherwise, so that the
    rows are equal to 1e-5 and not to the bit."""
    alone = fork(parent, member, f"alone-{member}", "train.steps=40")
    for name in ("loss", "lr", "accuracy", "clipped_norm"):
        mine, theirs = Metrics(alone.path).column(name), Metrics(parent.path).column(name, member)
        np.testing.assert_array_equal(mine[:AT], theirs[:AT])
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    weights = [checkpoint.read(run.checkpoint(40))["model"] for run in (alone, parent)]
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(tensor, weights[1][name][member], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_is_a_plain_run_with_that_members_settings_and_past(parent: RunFolder) -> None:
    alone = fork(parent, 5, "plain", "train.steps=41")
    preset = load_preset(alone.preset)
    assert (preset.optimizer.lr, preset.train.seed) == (0.02, 1)
    assert "members" not in alone.preset.read_text()
    assert alone.facts()["parent"] == {"run": parent.id, "dir": str(parent.path), "step": AT, "member": 5}
    assert len(Metrics(alone.path).layout.members) == 1  # type: ignore[union-attr]
    mine = [(e["step"], e["loss"]) for e in alone.events() if e["event"] == "evaluation" and e["step"] <= AT]
    of_member = [
        (e["step"], e["loss"])
        for e in parent.events()
        if e["event"] == "evaluation" and e["step"] <= AT and e["member"] == 5
    ]
    assert mine == of_member != []
    facts, losses = parent.facts(), Metrics(parent.path).column("loss", 5)
    told = {e["step"]: e["train_loss"] for e in alone.events() if e["event"] == "epoch" and e["step"] <= AT}
    for step, loss in told.items():
        sizes = [facts["batch_size"]] * (facts["steps_per_epoch"] - 1) + [facts["last_batch"]]
        assert loss == pytest.approx(np.average(losses[step - len(sizes) : step].astype(float), weights=sizes))
    edits = [e["arguments"]["edits"] for e in alone.events() if e["event"] == "command" and e["command"] == "set"]
    assert edits == [["member=5", "optimizer.lr=0.02", "lr_scale=0.5"]]
    reached = result_of(alone)
    assert (reached.state, reached.step) == ("finished", 41)
    assert not reached.has_members
    assert child(lambda: launch_start.resume(str(alone.path), QUIET)) == 0


def test_it_is_told_which_member_was_steered_alone(parent: RunFolder) -> None:
    """The table would give the rate of the sweep for a model that was trained with another."""
    found = result_of(parent)
    edits = {entry.member: entry.edits for entry in found.members}
    assert edits[0] == (LiveEdit(5, ["optimizer.lr=0.03"]),)
    assert edits[1] == ()
    said = " ".join(members_view.table(found, most=9))
    assert "only member 5 was changed: optimizer.lr=0.02, lr_scale=0.5 from step 5 on" in " ".join(said.split())


@pytest.mark.slow
def test_it_can_take_other_settings_and_another_optimizer(parent: RunFolder) -> None:
    other = fork(parent, 1, "other", "train.steps=20", "optimizer.name=sgd", "optimizer.lr=0.1", at=0)
    assert result_of(other).state == "finished"
    assert (Metrics(other.path).column("lr") == np.float32(0.1)).all()


@pytest.mark.slow
def test_early_stopping_begins_anew(tmp_path: Path) -> None:
    """The best model of before is none of the fork's own, which would look for it in vain at its end."""
    settings = ["train.device=cpu", "data.size=400", "train.threads=1", "train.epochs=60", "optimizer.lr=0.5"]
    settings += ["train.checkpoint_every=1", "train.keep=90", "train.early_stopping.patience=3", "members.repeats=2"]
    assert child(lambda: launch_start.run("digits-mlp", settings, Options("early", tmp_path, quiet=True))) == 0
    early = RunFolder(tmp_path / "early")
    last = next(e["step"] for e in early.events() if e["event"] == "member" and e["member"] == 1)
    at = [step for step in early.checkpoints() if step < last][-1]
    alone = fork(early, 1, "went-on", at=at)
    assert result_of(alone).state == "finished"
    assert len(Metrics(alone.path)) > last


@pytest.mark.parametrize(
    ("member", "at", "why"),
    [
        (6, AT, "the members 0 to 5"),
        (2, AT, r"--member 2: it diverged at step \d; fork it at an earlier checkpoint: --at 0$"),
        (1, 13, "has no checkpoint of that step"),
    ],
)
def test_what_can_not_be_forked_is_refused(parent: RunFolder, member: int, at: int, why: str) -> None:
    with pytest.raises(DescentError, match=why):
        branch(parent, at, (), member)


@pytest.mark.slow
def test_a_fold_can_not_go_on_alone(tmp_path: Path) -> None:
    """A plain run would train on samples on which the fold validated."""
    settings = ["train.device=cpu", "data.size=400", "train.threads=1", "train.steps=5", "members.folds=3"]
    assert child(lambda: launch_start.run("digits-mlp", settings, Options("folds", tmp_path, quiet=True))) == 0
    with pytest.raises(DescentError, match="are folds"):
        branch(RunFolder(tmp_path / "folds"), None, (), 1)
