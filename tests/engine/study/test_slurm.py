"""A study that SLURM trains must come to what this machine's own queue comes to, whatever happens in between."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.study.slurm import _ranges
from tests.helpers import slurm
from tests.helpers.held_run import Held
from tests.helpers.processes import Child
from tests.helpers.studies import Studies, rows
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]
PLAN = ("held.toml", "--allow-code", "--repeats")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Slurm]:
    if (why := slurm.missing()) is not None:
        pytest.skip(why)
    with slurm.started(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def shell(cluster: slurm.Slurm, tmp_path: Path) -> Iterator[Studies]:
    """`descent study …` where SLURM's commands are. Whatever a test leaves in the queue is taken out of it."""
    shell = Studies(tmp_path, cluster.environment)
    yield shell
    shell.end()
    (tmp_path / "gate").unlink(missing_ok=True)
    cluster("scancel", "--user=root")
    wait_for(lambda: not cluster("squeue", "--noheader"), "an empty queue")


@pytest.mark.long
def test_a_study_on_slurm_is_that_of_this_machine(shell: Studies, cluster: slurm.Slurm, held: Held) -> None:
    """A job that was preempted, or whose time was up, would be trained twice, or not to its end."""
    board = shell.begin("run", *PLAN, "4", "--id", "there", "--on", "slurm")
    runs = shell.runs("there", 4)
    lines = iter(board.stdout or ())
    headline = next(lines)
    assert "there: 4 jobs, 4 queued as SLURM job " in headline
    assert "0/4, 2 running, 2 pending (Resources" in next(lines)
    board.send_signal(signal.SIGINT)
    batch = headline.split()[-1]
    assert f"`scancel {batch}` lets them save and end" in board.communicate()[0]
    assert board.returncode == 130
    assert len(cluster("squeue", "--array", "--noheader").splitlines()) == 4
    code, _out, err = shell("rm", "there", "--yes")
    assert (code, f"scancel {batch}" in err) == (2, True), err

    board = shell.begin("run", "there", "--on", "slurm")
    assert "there: 4 jobs, 4 queued before" in (board.stdout or iter(())).readline()
    warned = worker_pid(runs[1].path)
    assert warned is not None
    os.kill(warned, signal.SIGUSR1)  # as SLURM does two minutes before the end
    cluster("scontrol", "requeue", f"{batch}_0")
    held.release()
    cluster.hurry(f"{batch}_0", f"{batch}_1")
    out, err = board.communicate()
    assert board.returncode == 0, out + err
    assert out.count("queued again at step ") == 2, out
    for run in runs[:2]:
        states = [event["state"] for event in run.events() if event["event"] == "state"]
        assert states == ["starting", "running", "stopped", "starting", "running", "finished"]
    assert [len(Metrics(run.path)) for run in runs] == [130] * 4
    assert shell("run", *PLAN, "4", "--id", "here")[0] == 0
    here, there = (rows(shell("show", name, "--csv", "-")[1]) for name in ("here", "there"))
    assert len(here) == 4
    assert here == there


@pytest.mark.long
def test_a_lost_node_costs_no_job(shell: Studies, cluster: slurm.Slurm, held: Held) -> None:
    """A study would wait for ever for what trained there, or begin it anew."""
    board = shell.begin("run", *PLAN, "2", "--id", "lost", "--on", "slurm")
    runs = shell.runs("lost", 2)
    cluster.lose_node()
    for run in runs:
        if (pid := worker_pid(run.path)) is not None:
            os.kill(pid, signal.SIGKILL)
    held.release()  # SLURM lets two minutes pass before it starts them again
    out, err = board.communicate()
    assert board.returncode == 0, out + err
    assert [len(Metrics(run.path)) for run in runs] == [130] * 2


@pytest.mark.long
def test_what_is_taken_out_of_the_queue_is_not_awaited_and_is_taken_up_again(
    shell: Studies, cluster: slurm.Slurm, held: Held
) -> None:
    board = shell.begin("run", *PLAN, "3", "--id", "mine", "--on", "slurm")
    runs = shell.runs("mine", 3)
    held.release()
    cluster("scancel", "--user=root")
    out, _err = board.communicate()
    assert board.returncode == 1, out
    assert "it is no longer in SLURM's queue; see" in out, out
    code, out, err = shell("run", "mine", "--on", "slurm", "--json")
    assert code == 0, out + err
    assert [len(Metrics(run.path)) for run in runs] == [130] * 3


@pytest.mark.long
def test_a_queue_that_is_full_takes_nothing(shell: Studies, cluster: slurm.Slurm, held: Held) -> None:
    """Half of the jobs would be queued, and nobody would know which."""
    code, _out, err = shell("run", *PLAN, "9", "--id", "many", "--on", "slurm")
    assert code == 2
    assert "sbatch: Batch job submission failed: Invalid job array specification. No job was queued" in err
    assert cluster("squeue", "--noheader") == ""
    assert held


def test_slurm_that_is_not_here_is_told_before_anything_is_planned(descent: Descent, tmp_path: Path) -> None:
    """A folder would be left behind, and a traceback."""
    words = ("study", "run", "digits-mlp", "--repeats", "2")
    done = descent(*words, "--on", "slurm", environment={"PATH": "/none"}).end()
    assert done.code == 2, done
    assert "--on slurm: sbatch, squeue not found" in done.err
    assert not (tmp_path / "studies").exists()
    wrong = descent(*words, "--sbatch=--gpus=1").end()
    assert (wrong.code, "--sbatch --gpus=1: needs --on slurm" in wrong.err) == (2, True), wrong
    assert "must be slurm" in descent("study", "run", "digits-mlp", "--on", "pbs").end().err


def test_numbers_of_jobs_in_short() -> None:
    """Jobs that are finished would be queued again."""
    assert _ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert _ranges([3]) == "3"
