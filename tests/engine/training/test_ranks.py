"""A run that several processes train must be the run that one process trains, whatever happens to it."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import HashStore

from descent import control, handle
from descent.common.errors import DescentError, ExitCode, PresetError
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.launch import start
from engine.launch.options import Options
from engine.preset.loading import load_preset
from engine.training import divided, hung, ranks
from engine.training.build import build
from tests.helpers.waiting import wait_for
from tests.helpers.workers import begin, child, ends_with

SWEEP = 'members.sweep={"optimizer.lr"=[0.1,0.03,0.3]}'


def _trained(runs: Path, run_id: str, *settings: str) -> RunFolder:
    """A whole run, in a process of its own: what torch.distributed leaves behind breaks later forks."""
    fixed = ("train.threads=1", "train.statistics_every=5")
    code = child(lambda: start.run("digits-mlp", [*fixed, *settings], Options(run_id, runs, quiet=True)))
    assert code == 0
    return RunFolder(runs / run_id)


def _rows(run: RunFolder) -> dict[str, np.ndarray]:
    stored = Metrics(run.path)
    names = [name for name in stored.layout.columns if name != "time"]
    whole = stored.rows(0, len(stored))
    return {name: whole[:, :, stored.layout.columns.index(name)] for name in names}


def _evaluations(run: RunFolder) -> list[tuple[object, ...]]:
    found = [e for e in run.events() if e["event"] == "evaluation"]
    return [(e["step"], e["split"], e["member"], e["loss"], e["accuracy"]) for e in found]


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("members", [SWEEP, "members.folds=3"])
def test_members_over_ranks_are_those_of_one_process(members: str, tmp_path: Path) -> None:
    """A study would give other results on a larger machine."""
    settings = ("members.way=loop", "train.epochs=2", 'optimizer={name="adamw", lr=0.003}')
    alone, shared = (
        _trained(tmp_path, f"of-{ranks}", members, *settings, f"train.ranks={ranks}") for ranks in (1, 2)
    )
    for name, values in _rows(alone).items():
        assert np.array_equal(values, _rows(shared)[name], equal_nan=True), name
    assert _evaluations(alone) == _evaluations(shared)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_one_model_on_several_ranks_is_that_of_one_process(tmp_path: Path) -> None:
    """The gradient would be that of another batch, which nobody would see in the curve. Three ranks share 50."""
    settings = ("train.steps=200", "train.batch_size=50", "train.clip_norm=1.0", "train.accumulate=2", "loss.l2=1e-4")
    alone, shared = (_trained(tmp_path, f"of-{ranks}", *settings, f"train.ranks={ranks}") for ranks in (1, 3))
    before, after = _rows(alone), _rows(shared)
    assert len(after["loss"]) == 200
    for name in ("loss", "accuracy", "grad_norm", "layer.head.update_ratio"):
        assert np.allclose(before[name], after[name], rtol=1e-4, atol=1e-6, equal_nan=True), name
    assert not np.array_equal(before["loss"], after["loss"])  # sums of parts are rounded in another way
    assert np.abs(before["loss"] - after["loss"]).max() < 1e-6


def _begun(tmp_path: Path, *settings: str) -> RunFolder:
    options = Options(run_id="led", runs_dir=tmp_path / "runs")
    fixed = ("train.threads=1", "train.statistics_every=5", "train.ranks=2", "train.epochs=100000")
    run = start.detach("digits-mlp", [*fixed, *settings], options)
    wait_for(lambda: run.last("state", state="running") is not None, "the run to train")
    return run


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_commands_take_effect_on_all_ranks_at_the_same_step(tmp_path: Path) -> None:
    """One rank would go on with the old rate. A replay in one process has every command at its step."""
    run = _begun(tmp_path, "members.repeats=3")
    control.send(run.path, "pause")
    control.send(run.path, "checkpoint")
    control.send(run.path, "set", {"edits": ["optimizer.lr=0.03", "member=1"]})
    control.send(run.path, "resume")
    wait_for(lambda: len(Metrics(run.path)) > run.checkpoints()[-1] + 20, "further steps")
    control.send(run.path, "pause")
    at = control.send(run.path, "step", {"steps": 3})["step"]
    assert control.send(run.path, "rewind")["to"] < at
    control.send(run.path, "set", {"edits": ["train.batch_size=64", "lr_scale=0.5"]})
    step = control.send(run.path, "checkpoint")["step"]
    control.send(run.path, "extend", {"epochs": 1})
    with pytest.raises(DescentError, match="built without dropout"):
        control.send(run.path, "set", {"edits": ["model.dropout=0.5"]})
    control.send(run.path, "resume")
    wait_for(lambda: len(Metrics(run.path)) > step + 60, "further steps")
    control.send(run.path, "stop")
    wait_for(lambda: run.state() == "stopped", "the run's end")
    options = Options(run_id="again", ranks=1, quiet=True)
    assert child(lambda: start.replay(str(run.path), options)) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_killed_rank_ends_the_run_which_goes_on_with_another_number(tmp_path: Path) -> None:
    """The others would wait for ever, and what was trained would be lost."""
    run = _begun(tmp_path, "train.epochs=100000")
    saved = control.send(run.path, "checkpoint")["step"]
    (other,) = _others(run)
    os.kill(other, signal.SIGKILL)
    wait_for(lambda: run.state() == "failed", "the run's end")
    reason = run.last("state", state="failed")["reason"]  # type: ignore[index]
    assert "rank 1 of the 2 processes" in reason
    assert "SIGKILL" in reason
    wait_for(lambda: worker_pid(run.path) is None, "the worker's end")
    start.detach_resume(run, Options(ranks=1))
    wait_for(lambda: run.last("warning") is not None, "the run to go on")
    assert run.last("warning")["message"] == (  # type: ignore[index]
        "trained by 2 processes until now, from here on by 1 process: not bit-equal"
    )
    wait_for(lambda: len(Metrics(run.path)) > saved, "further steps")
    wait_for(lambda: not _others(run), "one process alone: the worker of before may still be ending")
    control.send(run.path, "stop")
    wait_for(lambda: run.state() == "stopped", "the run's end")


def test_processes_that_torchrun_starts_again_find_each_other_and_not_those_of_before() -> None:
    """They would wait for half an hour for addresses at which nobody listens: torchrun's agent keeps its store."""
    store = HashStore()
    with ThreadPoolExecutor() as threads:
        for attempt in range(3):
            other = threads.submit(ranks._agreed, store, 1, 2, lambda: False)
            if attempt:
                wait_for(lambda: len(store.get(f"{store.get('lead').decode()}/1")) > 0, "it to see what is left")
            lead = threads.submit(ranks._agreed, store, 0, 2, lambda: False)
            lead.result(20).set("port", str(attempt))
            assert other.result(20).get("port") == str(attempt).encode()


@pytest.mark.slow
def test_torchrun_starts_a_run_again_after_one_of_its_processes_was_killed(tmp_path: Path) -> None:
    """A night's run would stand still at its first lost process."""
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1", "--module"]
    words += ["descent", "run", "digits-mlp", "--id=led", f"--runs-dir={tmp_path}", "--resume-if-exists", "--quiet"]
    words += ["--set=train.threads=1", "--set=train.epochs=100000"]
    run = RunFolder(tmp_path / "led")
    with subprocess.Popen(words) as agent:
        try:
            wait_for(lambda: run.state() == "running", "the run to train")
            saved = control.send(run.path, "checkpoint")["step"]
            (victim,) = (pid for pid in _children(agent.pid) if "RANK=0" in _environment(pid))
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: (run.last("resumed") or {}).get("to") == saved, "the run to go on")
            wait_for(lambda: run.state() == "running" and len(Metrics(run.path)) > saved + 20, "further steps")
            control.send(run.path, "stop")
            assert agent.wait(60) == 0
        finally:
            agent.terminate()
    assert run.state() == "stopped"


@pytest.mark.slow
def test_a_signal_ends_a_run_that_waits_for_a_process_that_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither Ctrl-C nor a batch system could end it, and its warning would not lead to being queued again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    run = RunFolder(tmp_path / "led")
    settings = ("train.threads=1", "train.epochs=100000", "train.statistics_every=5")
    pid = begin(lambda: start.run("digits-mlp", settings, Options("led", tmp_path, quiet=True)))
    wait_for(lambda: bool(run.facts()), "the run to be ready")
    os.kill(pid, signal.SIGUSR1)
    assert ends_with(pid) == 128 + signal.SIGUSR1
    assert run.state() == "stopped"


@pytest.mark.slow
def test_a_process_that_ends_before_all_are_there_ends_the_run(tmp_path: Path) -> None:
    """Rank 0 would wait for it for half an hour."""
    run = RunFolder(tmp_path / "led")
    settings = ("train.threads=1", "train.ranks=2", "train.epochs=100000")
    pid = begin(lambda: start.run("digits-mlp", settings, Options("led", tmp_path, quiet=True)))
    wait_for(lambda: bool(_children(pid)), "the other process")
    for other in _children(pid):
        os.kill(other, signal.SIGKILL)
    assert ends_with(pid) == ExitCode.CANNOT_GO_ON
    assert not run.path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["started", "forked"])
def test_rank_0_that_is_killed_leaves_nobody_behind(how: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The others would take a core each until somebody found them. The run goes on from its last checkpoint."""
    if how == "forked":
        request.getfixturevalue("warm")
    run = _begun(tmp_path)
    saved = control.send(run.path, "checkpoint")["step"]
    pid = _pid(run)
    others = _others(run)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(_lives, others)), "the end of the others")
    wait_for(lambda: run.state() == "lost", "the kernel to release the lock")
    start.detach_resume(run)
    wait_for(lambda: len(Metrics(run.path)) > saved, "the run to go on")
    assert len(_others(run)) == len(others) == 1
    assert run.last("resumed")["to"] == saved  # type: ignore[index]
    control.send(run.path, "stop")
    wait_for(lambda: run.state() == "stopped", "the run's end")


@pytest.mark.slow
def test_a_signal_ends_all_ranks_while_they_train_while_paused_and_while_one_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C would leave processes behind, or lose what was trained; a batch system would kill a run that hangs."""
    monkeypatch.setattr(hung, "PATIENCE", 1.0)  # in the forked processes, too
    run = RunFolder(tmp_path / "led")
    settings = ("train.threads=1", "train.ranks=2", "train.epochs=100000")
    options = Options("led", tmp_path, quiet=True)
    for number, pauses in ((signal.SIGTERM, False), (signal.SIGINT, True)):
        pid = begin(lambda: start.run("digits-mlp", settings, options, resume_if_exists=True))
        others = _led(run, pid)
        if pauses:
            control.send(run.path, "pause")
        for one in (*others, pid):  # Ctrl-C, or a batch system, may reach all of them
            os.kill(one, number)
        assert ends_with(pid) == 128 + number
        assert run.state() == "stopped"
        assert run.checkpoints()[-1] == len(Metrics(run.path))
        assert not any(map(_lives, others))

    pid = begin(lambda: start.run("digits-mlp", settings, options, resume_if_exists=True))
    others = _led(run, pid)
    os.kill(others[0], signal.SIGSTOP)
    _until_it_stands_still(run)  # before, the signal may end it at a step that both have taken
    os.kill(pid, signal.SIGTERM)
    assert ends_with(pid) == ExitCode.CANNOT_GO_ON
    assert not any(map(_lives, others))
    assert "rank 1 of the 2 processes" in run.last("state", state="failed")["reason"]  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("members", ["members.repeats=3", None])
def test_rate_and_end_that_follow_the_validation_loss_are_those_of_one_process(
    members: str | None, tmp_path: Path
) -> None:
    """The ranks would lower their rates, or stop, at different epochs: they would wait for each other for ever."""
    settings = ["schedule.name=plateau", "schedule.patience=1", "train.early_stopping={patience=4}", "data.size=400"]
    settings += ["optimizer.lr=0.05", "train.epochs=200", "train.evaluate_every.steps=5"]
    settings += ["members.way=loop", members] if members else []
    alone, shared = (_trained(tmp_path, f"of-{ranks}", *settings, f"train.ranks={ranks}") for ranks in (1, 2))
    before, after = _rows(alone), _rows(shared)
    assert len({rate for rate in before["lr"].ravel() if rate > 0}) > 1, "the rate never fell"
    assert before["loss"].shape == after["loss"].shape
    assert np.array_equal(before["lr"], after["lr"], equal_nan=True)
    if members:
        assert _evaluations(alone) == _evaluations(shared)
    else:
        assert np.allclose(before["loss"], after["loss"], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
async def test_a_loss_that_is_not_finite_pauses_all_ranks_for_whoever_attaches(tmp_path: Path) -> None:
    """A run over night would end, and a console could not mend it."""
    folder = _begun(tmp_path, "optimizer.lr=1e30", "train.on_nan=pause")
    first = await handle.attach(str(folder.path))
    wait_for(lambda: first.state == "paused", "the pause")
    assert folder.last("anomaly") is not None
    await first.rewind(0)
    await first.set("optimizer.lr=0.1")
    await first.resume()
    second = await handle.attach(str(folder.path))
    await second.wait_for_step(50)
    at = (await second.pause())["step"]
    assert (await second.set("optimizer.lr=0.03"))["step"] == at
    await second.resume()
    await second.wait_for_step(at + 20)
    await second.stop()
    assert await second.wait() == "stopped"
    rates, losses = _rows(folder)["lr"], _rows(folder)["loss"]
    assert set(rates[:at].ravel()) == {np.float32(0.1)}
    assert set(rates[at:].ravel()) == {np.float32(0.03)}
    assert np.isfinite(losses).all()


def _led(run: RunFolder, pid: int) -> list[int]:
    """The other processes of a run that a process trains, once it trains."""
    wait_for(lambda: worker_pid(run.path) == pid and run.state() == "running", "the run to train")
    return _children(pid)


def _until_it_stands_still(run: RunFolder) -> None:
    """Wait until no row has come for two seconds."""
    seen, since = -1, time.monotonic()

    def stands_still() -> bool:
        nonlocal seen, since
        rows = len(Metrics(run.path))
        if rows != seen:
            seen, since = rows, time.monotonic()
        return time.monotonic() - since > 2

    wait_for(stands_still, "the run to stand still")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _pid(run: RunFolder) -> int:
    pid = worker_pid(run.path)
    assert pid is not None
    return pid


def _others(run: RunFolder) -> list[int]:
    """The other processes of a run in the background, started or forked. They print into its log, as its worker."""
    there = {int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _prints_into(folder, run.output)}
    return sorted(there - {_pid(run)})


def _prints_into(process: Path, log: Path) -> bool:
    try:
        return (process / "fd" / "1").readlink() == log.resolve()
    except OSError:  # another user's, or gone
        return False


def _environment(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_text().split("\0")


def _children(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


@pytest.mark.parametrize(
    ("preset", "settings", "reason"),
    [
        ("digits-cnn", (), "batch norm"),
        ("digits-mlp", ("model.dropout=0.2",), "dropout"),
        ("digits-mlp", ("members.repeats=2",), "2 members"),
        ("digits-mlp", ("members.repeats=3", "members.way=batched"), "rounds the numbers"),
    ],
)
def test_what_would_end_otherwise_is_refused(
    preset: str, settings: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    """A result would depend on the number of processes, and nothing would say so."""
    run = build(
        load_preset(preset, settings), RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True, processes=3
    )
    with pytest.raises(PresetError, match=rf"train\.ranks = 3: .*{reason}.*Train it in one process"):
        divided.refuse(run)
