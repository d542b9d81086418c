"""A fork must have the other run's past and nothing else of it; a replay must end bit for bit the same."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from descent.common.errors import DescentError, ExitCode, PresetError
from descent.common.files import write_json
from descent.control import send
from descent.loop import checkpoint
from descent.run import histograms
from descent.run.epochs import epochs_since
from descent.run.folder import RunFolder, create
from descent.run.metrics import Metrics
from descent.run.results import result_of
from engine import cli
from engine.cli import report
from engine.launch import start as launch_start
from engine.launch.fork import branch, branch_to_replay, first_difference, said_of
from engine.launch.options import Options
from engine.pictures import kept
from engine.preset.loading import load_preset
from engine.training import worker  # noqa: F401 - imported once here, not in each child
from engine.training.pictures import keeper
from engine.training.reporter import MOST_LINES
from tests.helpers.waiting import DEADLINE, wait_for
from tests.helpers.workers import child, ends_with, start

pytestmark = pytest.mark.slow

COMMON = ["train.device=cpu", "data.size=400", "train.threads=1", "train.statistics_every=7", "train.batch_size=32"]


def run(runs: Path, run_id: str, *settings: str) -> RunFolder:
    """A whole digits run."""
    code = child(lambda: launch_start.run("digits-mlp", [*COMMON, *settings], Options(run_id, runs, quiet=True)))
    assert code == 0
    return RunFolder(runs / run_id)


def fork(parent: RunFolder, at: int | None, run_id: str, *settings: str, code: int = 0) -> RunFolder:
    assert child(lambda: launch_start.fork(str(parent.path), at, settings, Options(run_id, quiet=True))) == code
    return RunFolder(parent.path.parent / run_id)


def replay(parent: RunFolder, run_id: str) -> int:
    return child(lambda: launch_start.replay(str(parent.path), Options(run_id, quiet=True)))


@pytest.fixture(scope="module", autouse=True)
def pictures_at_once() -> Iterator[None]:
    """Each run keeps a picture of its beginning and its end, however busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "AT_ONCE", DEADLINE)
        yield


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run of 60 steps, with checkpoints at 0, 20, 40 and 60 among others. Not to be changed."""
    return run(
        tmp_path_factory.mktemp("parent"),
        "parent",
        "train.steps=60",
        "train.checkpoint_every.steps=20",
        "train.keep=9",
        "optimizer.momentum=0.9",
        "model.dropout=0.2",
        "schedule.name=cosine",
    )


@pytest.mark.parametrize(
    ("device", "settings", "told"),
    [("cpu", (), False), ("cuda", (), True), ("cuda", ("train.deterministic=true",), False)],
)
def test_a_replay_on_a_gpu_says_what_can_be_expected(
    device: str, settings: tuple[str, ...], told: bool, tmp_path: Path
) -> None:
    """Atomic additions come in another order each time, and a user would look for a fault."""
    run = create(tmp_path, "run", load_preset("digits-mlp", settings).to_toml(), {})
    write_json(run.path / "run.json", {"device": device, "started": 1.0})
    assert said_of(run, run, None) == "the same as run, bit for bit"
    assert said_of(run, run, 7).startswith("differs from run from step 7 on")
    assert ("train.deterministic" in said_of(run, run, 7)) == told


@pytest.mark.parametrize(("members", "told"), [({}, True), ({"way": "loop"}, False)])
def test_a_replay_by_other_processes_says_what_can_be_expected(
    members: dict[str, str], told: bool, tmp_path: Path
) -> None:
    """A run of torchrun's is replayed by one process, and a user would look for a fault."""
    text = load_preset("digits-mlp").to_toml()
    run, replay = (create(tmp_path, name, text, {}) for name in ("run", "replay"))
    write_json(run.path / "run.json", {"device": "cpu", "started": 1.0, "processes": 2} | members)
    write_json(replay.path / "run.json", {"device": "cpu", "started": 1.0} | members)
    assert ("2 processes trained it, and 1 process the replay" in said_of(run, replay, 7)) == told


def test_a_fork_that_changes_nothing_ends_bit_equal_to_its_parent(parent: RunFolder) -> None:
    same = fork(parent, 20, "same")
    assert first_difference(parent, same) is None
    mine, theirs = (checkpoint.read(folder.checkpoint(60)) for folder in (same, parent))
    assert all(mine["model"][name].equal(theirs["model"][name]) for name in mine["model"])
    assert result_of(same).metrics == result_of(parent).metrics


def test_a_fork_has_its_parents_past_and_its_own_future(parent: RunFolder) -> None:
    other = fork(parent, 40, "slower", "optimizer.lr=0.001", "optimizer.momentum=0.5")
    assert first_difference(parent, other) == 40
    assert [kept.steps(run.path)[at] for run in (parent, other) for at in (0, -1)] == [0, 60, 0, 60]
    assert 40 in kept.steps(other.path)  # its own beginning
    assert other.facts()["parent"] == {"run": "parent", "dir": str(parent.path), "step": 40}
    assert other.facts()["threads"] == parent.facts()["threads"]
    origin = other.origin()
    assert origin is not None
    assert origin["changed"] == ["optimizer.lr", "optimizer.momentum"]
    before = [(e["step"], e["loss"]) for e in parent.events() if e["event"] == "evaluation" and e["step"] <= 40]
    assert [(e["step"], e["loss"]) for e in other.events() if e["event"] == "evaluation"][: len(before)] == before
    group = checkpoint.read(other.checkpoint(60))["update"]["optimizer"]["param_groups"][0]
    assert group["momentum"] == 0.5
    assert other.checkpoints()[0] == 40
    old, new = (histograms.read(folder.path, 2) for folder in (parent, other))
    past = int((old.steps < 40).sum())
    assert past > 0
    assert new.steps[:past].tolist() == old.steps[:past].tolist()
    assert np.array_equal(old.values[:past], new.values[:past])
    assert (new.steps[past:] >= 40).all()


def test_early_stopping_goes_back_to_a_best_model_from_before_the_fork(tmp_path: Path) -> None:
    """The fork would end in an error, with all it had trained, where the best model is the parent's."""
    settings = ["train.epochs=60", "optimizer.lr=0.5", "train.checkpoint_every=1", "train.keep=90"]
    whole = run(tmp_path, "whole", *settings, "train.early_stopping.patience=3")
    saved = whole.last("checkpoint")
    assert saved is not None
    best = saved["best"]
    at = next(step for step in whole.checkpoints() if step > best)
    same = fork(whole, at, "same")
    assert first_difference(whole, same) is None
    assert result_of(same).metrics == result_of(whole).metrics


@pytest.fixture(scope="module")
def improving(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run whose checkpoint of step 20 was saved when the best model was that of step 14, and the last one
    when it was a later. Not to be changed."""
    often = ["train.evaluate_every.steps=7", "train.checkpoint_every.steps=5", "train.keep=2"]
    whole = run(tmp_path_factory.mktemp("improving"), "whole", *often, "train.steps=24")
    best = {event["step"]: event["best"] for event in whole.events() if event["event"] == "checkpoint"}
    assert (best[20], best[24]) == (14, 24)
    return whole


WORSE = ("train.early_stopping.patience=1", "optimizer.lr=5", "train.steps=70")


def model_tested(folder: RunFolder) -> int:
    """The step of the model that was tested."""
    event = folder.last("evaluation", split="test")
    assert event is not None
    return int(event["step"])


def test_the_best_model_of_an_older_checkpoint_is_kept_for_a_fork_of_it_and_for_a_fork_of_that(
    improving: RunFolder,
) -> None:
    """A later best would take its place, and the fork would end in an error, with all it had trained."""
    worse = fork(improving, 20, "worse", *WORSE)
    assert model_tested(worse) == 14
    assert model_tested(fork(worse, 20, "again")) == 14


@pytest.mark.parametrize("why", ["missing", "damaged"])
def test_where_the_best_model_is_lost_the_run_says_so_and_ends_without_it(
    improving: RunFolder, tmp_path: Path, why: str
) -> None:
    """All that was trained would be lost at the very end, again and again with every resume."""
    parent = RunFolder(shutil.copytree(improving.path, tmp_path / "parent"))
    if why == "missing":
        parent.checkpoint(14).unlink()
    else:
        parent.checkpoint(14).write_bytes(b"PK")
    worse = fork(parent, 20, "worse", *WORSE)
    assert result_of(worse).state == "finished"
    assert model_tested(worse) > 20
    said = [event["message"] for event in worse.events() if event["event"] == "warning"]
    assert len(said) == 1
    assert f"the best model so far, of step 14, is lost (step-14.pt is {why}" in said[0]


def test_a_fork_can_be_longer_with_the_schedule_of_its_new_length(parent: RunFolder) -> None:
    longer = fork(parent, 20, "longer", "train.steps=100")
    rows = Metrics(longer.path).column("lr")
    assert len(rows) == 100
    assert rows[19] == Metrics(parent.path).column("lr")[19]
    assert rows[20] > Metrics(parent.path).column("lr")[20]
    assert rows[-1] == 0


def test_a_fork_with_another_optimizer_says_that_it_begins_anew(parent: RunFolder) -> None:
    adam = fork(parent, 40, "adam", "optimizer.name=adam", "optimizer.lr=0.001")
    assert result_of(adam).state == "finished"
    warnings = [event["message"] for event in adam.events() if event["event"] == "warning"]
    assert any("the optimizer begins again" in message for message in warnings)


def test_a_larger_batch_in_a_fork_waits_for_the_epochs_end(parent: RunFolder) -> None:
    larger = fork(parent, 20, "larger", "train.batch_size=50", "train.steps=60")
    sizes = [event for event in larger.events() if event["event"] == "batch_size"]
    per_epoch = parent.facts()["steps_per_epoch"]
    assert [(event["step"], event["size"], event["per_epoch"]) for event in sizes] == [
        (20 // per_epoch * per_epoch, 32, per_epoch),  # what the epoch under way has, which its settings don't tell
        (-(-20 // per_epoch) * per_epoch, 50, larger.facts()["steps_per_epoch"]),
    ]


def test_a_fork_at_an_epochs_beginning_says_that_its_epochs_are_shorter(tmp_path: Path) -> None:
    whole = run(tmp_path, "whole", "train.epochs=2")
    end = 2 * whole.facts()["steps_per_epoch"]
    larger = fork(whole, end, "larger", "train.batch_size=50", "train.epochs=4")
    sizes = [event for event in larger.events() if event["event"] == "batch_size"]
    assert [(event["step"], event["epoch"], event["size"]) for event in sizes] == [(end, 2, 50)]
    assert epochs_since(sizes[-1], larger.facts()).at(len(Metrics(larger.path))) == 4
    assert fork(whole, end, "longer", "train.epochs=3").last("batch_size") is None


def test_a_fork_with_other_batches_is_where_its_epochs_are_on_the_schedule(tmp_path: Path) -> None:
    whole = run(tmp_path, "whole", "train.epochs=2", "schedule.name=step", "schedule.every=1", "schedule.gamma=0.5")
    end, base = 2 * whole.facts()["steps_per_epoch"], float(Metrics(whole.path).column("lr")[0])
    larger = fork(whole, end, "larger", "train.batch_size=50", "train.epochs=4")
    rates, per_epoch = Metrics(larger.path).column("lr"), larger.facts()["steps_per_epoch"]
    assert rates[end:].tolist() == pytest.approx([base / 4] * per_epoch + [base / 8] * per_epoch)
    assert larger.facts()["total_steps"] == len(rates) == end + 2 * per_epoch


def test_a_fork_tells_of_each_epoch_however_many_steps_its_past_had(tmp_path: Path) -> None:
    small = run(tmp_path, "small", "train.epochs=2", "train.batch_size=2")
    larger = fork(small, None, "larger", "train.batch_size=200", "train.epochs=8")
    told = [event["epoch"] for event in larger.events() if event["event"] == "epoch"]
    assert len(Metrics(larger.path)) / larger.facts()["steps_per_epoch"] > MOST_LINES
    assert told == list(range(1, 9))


def test_a_fork_that_has_nothing_to_train_is_refused(parent: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    nothing = fork(parent, None, "nothing", "optimizer.lr=0.01", code=ExitCode.WRONG_USE)
    assert "the fork begins at step 60, the last one: nothing is left to train" in capfd.readouterr().err
    assert not nothing.path.exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("train.accumulate=99999",), "train.accumulate = 99999 can't split a batch of"),
        (("train.device=cuda:99",), 'train.device = "cuda:99": no such GPU here'),
    ],
)
def test_a_fork_that_cannot_begin_says_why_and_leaves_nothing(
    parent: RunFolder, capfd: pytest.CaptureFixture[str], settings: Sequence[str], said: str
) -> None:
    """The reason was hidden behind a bug in Descent, and a damaged run had taken the id."""
    folder = fork(parent, None, "unbegun", *settings, "train.steps=90", code=ExitCode.WRONG_USE)
    assert said in capfd.readouterr().err
    assert not folder.path.exists()


def test_a_fork_that_has_not_begun_can_be_read(parent: RunFolder) -> None:
    """It would be listed as damaged while its worker loads the data."""
    planned = branch(parent, 40, ())
    waiting = create(parent.path.parent, "waiting", planned.preset.to_toml(), {}, planned.fill)
    assert waiting.facts() == {}
    assert (result_of(waiting).step, result_of(waiting).metrics["train_loss"]) == (40, None)
    assert cli.main(["show", str(waiting.path)]) == ExitCode.DONE
    shutil.rmtree(waiting.path)


@pytest.fixture(scope="module")
def stopped_early(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of 24 steps that early stopping ended, after a test of its best model. Not to be changed."""
    settings = ("optimizer.lr=5", "train.steps=400", "train.evaluate_every.steps=6")
    whole = run(tmp_path_factory.mktemp("early"), "early", *settings, "train.early_stopping.patience=2")
    assert len(Metrics(whole.path)) < 400
    return whole


def test_a_fork_of_a_run_that_stopped_early_trains(stopped_early: RunFolder) -> None:
    """It would train nothing, and report its parent's test as its own."""
    before = len(Metrics(stopped_early.path))
    on = fork(stopped_early, None, "on", "optimizer.lr=0.1")
    assert len(Metrics(on.path)) >= before + 12
    same = fork(stopped_early, None, "same")
    assert len(Metrics(same.path)) > before
    assert len([event for event in same.events() if event["event"] == "evaluation" and event["split"] == "test"]) == 2


def test_a_fork_with_other_splits_forgets_the_best_on_the_old_ones(stopped_early: RunFolder) -> None:
    """A loss on samples that it trains on now would be its best, and its test would be of a model that knew them."""
    end = len(Metrics(stopped_early.path))
    other = fork(stopped_early, None, "reseeded", "data.seed=7", "optimizer.lr=0.1", "train.steps=90")
    evaluations = [event for event in other.events() if event["event"] == "evaluation"]
    assert min(event["step"] for event in evaluations) > end
    assert model_tested(other) > end
    (said,) = [event["message"] for event in other.events() if "forgotten" in event.get("message", "")]
    assert said.startswith("these are other data, or other splits, than those of early (data.seed)")


def test_members_that_stopped_early_train_again_in_a_fork(tmp_path: Path) -> None:
    settings = ("optimizer.lr=5", "train.steps=200", "train.evaluate_every.steps=6", "members.repeats=2")
    whole = run(tmp_path, "whole", *settings, "train.early_stopping.patience=1")
    end = len(Metrics(whole.path))
    assert end < 200
    on = fork(whole, None, "on", "optimizer.lr=0.1")
    assert np.isfinite(Metrics(on.path).column("loss", 0)[end : end + 6]).all()
    assert np.isfinite(Metrics(on.path).column("loss", 1)[end : end + 6]).all()
    ended = [event["step"] for event in on.events() if event["event"] == "member"]
    assert all(step > end for step in ended)


@pytest.mark.parametrize("damage", [b"", b"PK nothing of the kind"])
def test_a_fork_passes_over_a_damaged_checkpoint_and_says_so(
    parent: RunFolder, tmp_path: Path, damage: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would begin with nothing, and end in an error that hides why."""
    mine = RunFolder(shutil.copytree(parent.path, tmp_path / "mine"))
    last, before = mine.checkpoints()[-1], mine.checkpoints()[-2]
    mine.checkpoint(last).write_bytes(damage)
    other = fork(mine, None, "other", "optimizer.lr=0.01")
    assert other.checkpoints()[0] == before
    (said,) = [event["message"] for event in other.events() if event["event"] == "warning"]
    assert f"step-{last}.pt is damaged" in said
    assert f"going on from step {before}" in said
    assert fork(mine, last, "at", "optimizer.lr=0.01", code=ExitCode.WRONG_USE).path.exists() is False
    assert f"--at {last}: step-{last}.pt is damaged" in capfd.readouterr().err
    new = child(
        lambda: launch_start.run(
            "digits-mlp", [*COMMON, "train.steps=2", f"model.from={mine.path}"], Options("new", tmp_path, quiet=True)
        )
    )
    assert new == 0
    told = [event["message"] for event in RunFolder(tmp_path / "new").events() if event["event"] == "warning"]
    assert f"at step {before}, in place of a checkpoint that can't be read (step-{last}.pt is damaged" in told[0]


def test_weights_that_are_not_there_are_missed_before_anything_is_loaded(tmp_path: Path) -> None:
    """A student would wait until all data are read, and find a failed run among theirs."""
    with pytest.raises(PresetError, match=r"model.from: .*pretrain.*train the preset first"):
        launch_start.detach("digits-mlp", ["model.from=pretrain"], Options(runs_dir=tmp_path))
    assert not any(tmp_path.iterdir())


def test_where_there_is_no_checkpoint_those_that_are_there_are_named(parent: RunFolder) -> None:
    with pytest.raises(DescentError, match=r"it has those of steps 0, .*20, .*40, .*60"):
        branch(parent, 30, ())


def test_a_step_is_taken_as_it_is_printed(parent: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """A step that was copied from a message would be called no number."""
    assert cli.main(["fork", str(parent.path), "--at", "8,400"]) == ExitCode.WRONG_USE
    assert "--at 8400: " in capsys.readouterr().err
    assert cli.main(["fork", str(parent.path), "--at", "8,4x"]) == ExitCode.WRONG_USE
    assert "'8,4x' is not a step" in capsys.readouterr().err


def test_a_fork_of_another_shape_is_refused_and_leaves_nothing(
    parent: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = fork(parent, 20, "wide", "model.widths=[8]", code=2)
    assert not folder.path.exists()
    said = capfd.readouterr().err
    assert "does not fit this model" in said
    assert "model.widths" in said


def test_a_fork_with_nothing_left_to_train_is_refused(parent: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    folder = fork(parent, 40, "short", "train.steps=30", code=2)
    assert not folder.path.exists()
    assert "train.steps = 30 is already reached at step 40" in capfd.readouterr().err
    with pytest.raises(PresetError, match="already reached at step 40"):  # before a worker is started
        branch(parent, 40, ["train.steps=40"])


def test_a_fork_that_was_killed_at_its_beginning_is_resumed_as_a_fork(parent: RunFolder) -> None:
    """It must not take the parent's checkpoint for one under its own settings."""
    folder = RunFolder(parent.path.parent / "killed")

    def die() -> int:
        from engine.training import session

        session.Session.save = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
        return launch_start.fork(str(parent.path), 20, ["optimizer.lr=0.001"], Options("killed", quiet=True))

    assert child(die) == -signal.SIGKILL
    assert child(lambda: launch_start.resume(str(folder.path), Options(quiet=True))) == 0
    whole = fork(parent, 20, "not-killed", "optimizer.lr=0.001")
    assert first_difference(folder, whole) is None


def steered(runs: Path) -> tuple[int, RunFolder]:
    """A paused run that a person has changed, rewound, and changed again."""
    pid, folder = start(runs, "train.steps=100000", "train.evaluate_every=1000", "model.dropout=0.1")
    send(folder.path, "pause")
    send(folder.path, "rewind", {"to": 0})
    for command, arguments in (
        ("step", {"steps": 12}),
        ("set", {"edits": ["optimizer.lr=0.05", "train.batch_size=50"]}),
        ("checkpoint", {}),
        ("step", {"steps": 20}),
        ("set", {"edits": ["model.dropout=0.4", "lr_scale=0.5"]}),
        ("extend", {"steps": 7}),
        ("step", {"steps": 5}),
        ("evaluate", {}),
        ("rewind", {"to": 12}),
        ("set", {"edits": ["optimizer.momentum=0.8"]}),
        ("step", {"steps": 40}),
        ("set", {"edits": ["lr_scale=2.0"]}),
        ("step", {"steps": 8}),
    ):
        send(folder.path, command, arguments)
    return pid, folder


@pytest.fixture(scope="module")
def steered_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Such a run, stopped at step 60. Not to be changed."""
    pid, folder = steered(tmp_path_factory.mktemp("steered") / "runs")
    send(folder.path, "stop")
    assert ends_with(pid) == 0
    return folder


def test_a_replay_follows_the_surviving_commands_to_the_same_bits(steered_run: RunFolder) -> None:
    assert replay(steered_run, "again") == 0
    again = RunFolder(steered_run.path.parent / "again")
    assert result_of(again).step == result_of(steered_run).step == 60
    states = [checkpoint.read(folder.checkpoint(60)) for folder in (again, steered_run)]
    assert all(states[0]["model"][name].equal(states[1]["model"][name]) for name in states[0]["model"])
    assert states[0]["edits"] == states[1]["edits"]


def test_a_look_at_the_last_step_leaves_the_deciding_evaluation_to_the_run(improving: RunFolder) -> None:
    """Whoever presses `v` would change which model is the best, and with it what early stopping ends with."""
    look = {"step": 24, "command": "evaluate", "arguments": {}}
    watched = replace(branch_to_replay(improving), script=(look,))
    assert child(lambda: launch_start._train_branch(watched, Options("watched", quiet=True))) == 0
    folder = RunFolder(improving.path.parent / "watched")
    assert folder.last("command", command="evaluate") is not None
    mine, theirs = (checkpoint.read(run.checkpoint(24)) for run in (folder, improving))
    for key in ("best", "metrics", "evaluated"):
        assert mine[key] == theirs[key]


def test_a_replay_that_was_killed_goes_on_with_the_commands_that_are_left(steered_run: RunFolder) -> None:
    folder = RunFolder(steered_run.path.parent / "interrupted")

    def die() -> int:
        from descent.loop.commands import CommandHandler

        attend = CommandHandler.attend

        def attend_until_40(handler: CommandHandler, interrupted: Callable[[], bool]) -> None:
            if handler._session.step == 40:
                handler._session.save(wanted=False)
            if handler._session.step == 45:
                os.kill(os.getpid(), signal.SIGKILL)
            attend(handler, interrupted)

        CommandHandler.attend = attend_until_40  # type: ignore[method-assign]
        return launch_start.replay(str(steered_run.path), Options("interrupted", quiet=True))

    assert child(die) == -signal.SIGKILL
    assert child(lambda: launch_start.resume(str(folder.path), Options(quiet=True))) == 0
    assert first_difference(steered_run, folder) is None


def test_a_replay_that_comes_out_otherwise_says_where_and_fails(
    steered_run: RunFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(steered_run.path, tmp_path / "runs" / "altered")
    altered = RunFolder(tmp_path / "runs" / "altered")
    file = sorted((altered.path / "metrics").glob("*.f32"))[-1]
    content = bytearray(file.read_bytes())
    content[-4 * 8] ^= 1
    file.write_bytes(content)
    assert child(lambda: launch_start.replay(str(altered.path), report.options("other", as_json=True))) == 1
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["differs_at"] == 59


def test_a_fork_of_a_steered_run_has_the_edits_of_that_step_in_its_preset(steered_run: RunFolder) -> None:
    at_12 = branch(steered_run, 12, ())
    assert at_12.preset.optimizer.lr == 0.05
    assert at_12.preset.train.batch_size == 50
    child_run = fork(steered_run, 60, "child", "train.steps=70")
    assert load_preset(child_run.preset).optimizer.momentum == 0.8  # type: ignore[union-attr]
    assert checkpoint.read(child_run.checkpoint(70))["lr_scale"] == 2.0
    lr = Metrics(child_run.path).column("lr")
    assert lr[59] == lr[65]


def test_a_checkpoint_of_a_future_that_was_left_is_not_offered(tmp_path: Path) -> None:
    pid, folder = start(tmp_path / "runs", "train.steps=100000", "train.evaluate_every=1000")
    send(folder.path, "pause")
    send(folder.path, "step", {"steps": 2})
    left = send(folder.path, "checkpoint")["step"]
    send(folder.path, "rewind", {"to": 0})
    assert folder.checkpoint(left).exists()
    assert folder.checkpoints() == [0]
    send(folder.path, "stop", {"how": "discard"})
    assert ends_with(pid) == 0


@pytest.mark.usefixtures("warm")
def test_a_fork_runs_in_the_background_beside_its_live_parent(tmp_path: Path) -> None:
    pid, folder = start(tmp_path / "runs", "train.steps=100000", "train.evaluate_every=1000")
    at = send(folder.path, "checkpoint")["step"]
    other = launch_start.detach_fork(folder, at, ["optimizer.lr=0.01"], Options("beside"))
    wait_for(lambda: other.state() == "running", "the fork")
    assert folder.state() == "running"
    assert send(other.path, "stop")["step"] >= at
    assert send(folder.path, "stop")["ok"]
    assert ends_with(pid) == 0
