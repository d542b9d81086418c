"""A study over real processes: whatever happens to the queue or to one job, no job is lost or trained twice.

More threads than cores make every job of a study many times slower.
"""

import csv
import io
import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from descent.common import machine
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.study.folder import Job
from engine.study.queue import environment, gpus, share
from tests.helpers.held_run import Held
from tests.helpers.processes import DESCENT, Child, Done, process
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]
SEEDS = ("study", "run", "held.toml", "--allow-code", "--repeats", "2", "--jobs", "1", "--id", "mine")

TELLING = """
import os, torch
class Net(torch.nn.Linear):
    def __init__(self, input_shape, outputs):
        super().__init__(input_shape[0], outputs)
        print("threads", os.environ["OMP_NUM_THREADS"], torch.get_num_threads())
"""


@pytest.fixture(autouse=True)
def released(tmp_path: Path) -> Iterator[None]:
    """A test that fails leaves no job standing still for ever."""
    yield
    (tmp_path / "gate").unlink(missing_ok=True)


# --- to its end, with a job that fails -------------------------------------------------------------------


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """A study of two points, one of which diverges; and the folder it was started in. To be read only."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "net.py").write_text(TELLING)
    words = ["study", "run", "linear-regression", "--vary", "optimizer.lr=[1e20, 0.1]", "--id", "mine", "--json"]
    code = ["--set", "model.code=net.py:Net", "--allow-code", "--set", "train.epochs=200", "--jobs", "2"]
    home = {name: str(folder / "home") for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    return process([*words, *code], cwd=folder, env={**os.environ, **home, "OMP_NUM_THREADS": "9"}), folder


@pytest.mark.slow
def test_a_failed_job_is_marked_and_the_others_go_on(ended: tuple[Done, Path]) -> None:
    """One learning rate that is too high would cost the rest of the night."""
    done, folder = ended
    assert done.code == 1, done
    failed, finished = done.json["jobs"]
    assert (failed["state"], finished["state"]) == ("failed", "finished"), done
    assert "NaN or infinite" in failed["reason"] or "not finite" in failed["reason"]
    assert finished["metrics"]["test_loss"] < 0.1
    assert done.json["points"][1]["metrics"]["test_loss"] == {
        "mean": finished["metrics"]["test_loss"], "std": None, "n": 1,
    }  # fmt: skip
    assert "job 1  lr=0.1  seed=0  test loss" in done.err
    assert RunFolder(folder / "studies/mine/runs/mine-0001").state() == "finished"


def test_each_job_has_its_share_of_the_cores(ended: tuple[Done, Path]) -> None:
    """Every process would start a thread for every core of the machine."""
    from engine.study.queue import cores

    _, folder = ended
    share = max(1, cores() // min(2, cores()))
    run = RunFolder(folder / "studies/mine/runs/mine-0001")
    assert run.facts()["threads"] == share
    assert f"threads {share} " in run.output.read_text()


@pytest.mark.slow
def test_what_is_over_is_not_trained_again(ended: tuple[Done, Path], descent: Descent) -> None:
    """A study that is started again would waste a night, and hide that a job had failed."""
    _, folder = ended
    finished = RunFolder(folder / "studies/mine/runs/mine-0001")
    before = finished.events()
    done = descent("study", "run", str(folder / "studies/mine")).end()
    assert done.code == 1, done
    assert "study mine: 2 jobs" in done.out
    assert "1 finished before" in done.out
    assert "mine-0000 (lr=1e20 seed=0) failed" in done.out
    assert finished.events() == before


@pytest.mark.slow
def test_csv_has_one_row_a_run(ended: tuple[Done, Path], descent: Descent, tmp_path: Path) -> None:
    """The numbers could not be taken into a notebook."""
    _, folder = ended
    study = str(folder / "studies/mine")
    printed = descent("study", "show", study, "--csv", "-").end()
    assert printed.code == 0, printed
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert [(row["run"], row["optimizer.lr"], row["state"]) for row in rows] == [
        ("mine-0000", "1e+20", "failed"),
        ("mine-0001", "0.1", "finished"),
    ]
    assert float(rows[1]["test_loss"]) < 0.1
    assert descent("study", "show", study, "--csv", "table.csv").end().code == 0
    assert (tmp_path / "table.csv").read_text() == printed.out


@pytest.mark.slow
def test_its_runs_are_one_line_among_all_runs(ended: tuple[Done, Path]) -> None:
    """Forty jobs would push every other run off the screen."""
    _, folder = ended
    homes = {"XDG_STATE_HOME": str(folder / "home")}
    one = process(["runs"], cwd=folder, env={**os.environ, **homes}).out
    assert "study of 2 runs" in one
    assert "mine-0001" not in one
    assert "mine-0001" in process(["runs", "--all"], cwd=folder, env={**os.environ, **homes}).out
    assert "mine-0001" in process(["runs", "mine-0001"], cwd=folder, env={**os.environ, **homes}).out
    told = process(["runs", "--json"], cwd=folder, env={**os.environ, **homes}).json
    assert told["runs"] == []
    assert [(entry["study"], entry["runs"]) for entry in told["studies"]] == [("mine", 2)]


@pytest.mark.slow
def test_a_study_is_deleted_whole_or_not_at_all(descent: Descent, tmp_path: Path) -> None:
    """A student's notes would go with it, or runs stay of which nothing tells any more."""
    folder = tmp_path / "studies/mine"
    assert descent("study", "plan", "digits-mlp", "--repeats", "2", "--id", "mine").end().code == 0
    (folder / "notes.txt").write_text("mine")
    refused = descent("study", "rm", "mine", "--yes").end()
    assert (refused.code, "notes.txt; nothing was deleted" in refused.err) == (2, True)
    (folder / "notes.txt").unlink()
    assert "confirm with --yes" in descent("study", "rm", "mine").end().err
    assert folder.exists()
    assert descent("study", "rm", "mine", "--yes").end().code == 0
    assert not folder.exists()


# --- killed and told to end ------------------------------------------------------------------------------


def _has_said(child: Child, words: str) -> bool:
    return (child.folder / "out").exists() and words in child.printed()


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_killed_and_started_again_it_loses_and_doubles_nothing(descent: Descent, held: Held, tmp_path: Path) -> None:
    """A node that runs out of memory would cost the jobs under way, or train them beside their own copies."""
    started = subprocess.Popen([*DESCENT, *SEEDS], cwd=tmp_path, stdout=subprocess.DEVNULL)
    held.wait()
    started.kill()
    started.wait()
    first, second = (RunFolder(tmp_path / f"studies/mine/runs/mine-000{index}") for index in range(2))
    # The first job was told to save, and can't yet: its step is held. The new queue has to wait for it.
    again = descent("study", "run", "mine", "--jobs", "1")
    wait_for(lambda: _has_said(again, "2 jobs"), "the second queue")
    assert not second.path.exists()
    held.release()
    done = again.end()
    assert done.code == 0, done
    for run in (first, second):
        assert run.state() == "finished"
        assert len(Metrics(run.path)) == 130
    states = [event["state"] for event in first.events() if event["event"] == "state"]
    assert states == ["starting", "running", "stopped", "starting", "running", "finished"]
    assert [event["to"] for event in first.events() if event["event"] == "resumed"] == [25]


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_asked_to_end_it_saves_its_jobs_and_another_engine_goes_on(
    descent: Descent, held: Held, tmp_path: Path
) -> None:
    """Ctrl-C would cost the steps under way; SLURM and Ray could not drive what `study run` began."""
    queue = descent(*SEEDS, "--json")
    held.wait()
    queue.send(signal.SIGTERM)
    wait_for(lambda: "stopping" in (queue.folder / "err").read_text(), "word of the signal")
    assert "is training in process" in descent("study", "rm", "mine", "--yes").end().err
    other = descent("study", "run", "mine").end()
    assert other.code == 2
    assert f"in process {queue.pid}" in other.err
    held.release()
    done = queue.end()
    assert done.code == 143, done
    assert done.json["states"] == {"stopped": 1, "waiting": 1}
    assert done.json["jobs"][0]["step"] == 25

    answer = descent("study", "job", "mine", "0", "--json").end()
    assert answer.code == 0, answer
    assert (answer.json["run"], answer.json["step"], answer.json["threads"]) == ("mine-0000", 130, 1)
    assert descent("study", "job", "mine", "1", "--quiet").end() == Done(0, "", "")
    shown = json.loads(descent("study", "show", "mine", "--json").end().out)
    assert shown["states"] == {"finished": 2}
    assert [job["seed"] for job in shown["jobs"]] == [0, 1]
    assert shown["points"][0]["metrics"]["test_accuracy"]["n"] == 2


@pytest.mark.slow
def test_a_job_array_saves_before_its_time_is_up_and_asks_to_be_queued_again(
    descent: Descent, held: Held, tmp_path: Path
) -> None:
    """SLURM would kill the job in the middle, and not start it again."""
    planned = descent("study", "plan", *SEEDS[2:4], "--repeats", "1", "--id", "mine").end()
    assert planned.code == 0, planned
    script = descent("study", "slurm", "mine", "--at-once", "4").end().out
    assert "#SBATCH --array=0%4\n" in script
    (tmp_path / "job.sh").write_text(script)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, text in (("scontrol", f'echo "$@" > {tmp_path}/asked'), ("srun", 'shift; exec "$@"')):
        (bin_ / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin_ / name).chmod(0o755)
    batch = {
        "SLURM_ARRAY_JOB_ID": "17",
        "SLURM_ARRAY_TASK_ID": "0",
        "SLURM_CPUS_PER_TASK": "1",
        "PATH": f"{bin_}:{os.environ['PATH']}",
    }
    run = RunFolder(tmp_path / "studies/mine/runs/mine-0000")
    with (
        open(tmp_path / "said", "wb") as said,
        subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env={**os.environ, **batch}, stderr=said) as started,
    ):
        held.wait()
        pid = worker_pid(run.path)
        assert pid is not None
        os.kill(pid, signal.SIGUSR1)
        wait_for(lambda: "stopping" in (tmp_path / "said").read_text(), "the job's word of the signal")
        held.release()
    assert started.returncode == 138
    assert (tmp_path / "asked").read_text() == "requeue 17_0\n"
    assert run.state() == "stopped"
    assert run.checkpoints()[-1] == 25


def job(threads: int | None, device: str = "cpu") -> Job:
    return Job(0, "x-0000", 0, 0, 0, {}, (), threads, device)


def test_jobs_times_threads_never_exceed_the_cores() -> None:
    """Threads that spin at barriers while a core is taken away stop a machine."""
    for cores, wanted, fixed in itertools.product((1, 2, 3, 16, 65), (None, 1, 2, 5, 100), (None, 1, 2, 5)):
        budget = share([job(fixed), job(None)] * 20, wanted, cores, ())
        assert budget.jobs >= 1
        assert budget.threads >= 1
        assert budget.jobs * budget.threads <= cores
        if fixed is not None and fixed <= cores:
            assert budget.jobs * fixed <= cores
        assert budget.jobs <= (wanted or cores)


def test_a_core_each_where_nothing_is_said() -> None:
    """A study would leave cores idle, or start more processes than it has jobs."""
    assert share([job(None)] * 20, None, 8, ()).jobs == 8
    assert share([job(None)] * 2, None, 8, ()).jobs == 2
    assert share([job(None)] * 2, None, 8, ()).threads == 4


def test_several_gpus_are_given_out_in_turn() -> None:
    """All jobs would train on the first GPU, and the others stand idle."""
    jobs = [job(None, "auto")] * 5
    budget = share(jobs, None, 16, ("0", "2", "5"))
    assert (budget.jobs, budget.threads) == (3, 5)
    taken: list[str] = []
    for one in jobs:
        gpu = budget.gpu_for(one, taken)
        assert gpu is not None
        taken.append(gpu)
    assert taken == ["0", "2", "5", "0", "2"]
    assert budget.gpu_for(jobs[0], ["0", "2", "0"]) == "5"
    assert environment(5, "2")["CUDA_VISIBLE_DEVICES"] == "2"
    assert budget.gpu_for(job(None, "cpu"), []) is None
    assert budget.gpu_for(job(None, "cuda:1"), []) is None  # the user's own choice
    assert share(jobs, None, 16, ("0",)).gpus == ()
    assert share(jobs, None, 16, ("0",)).jobs == 1
    assert share([job(None, "cuda:0")] * 2, None, 16, ("0", "1")).jobs == 1, "both would be on one GPU"
    assert share([job(None, "cuda:0"), job(None, "cuda:1")], None, 16, ("0", "1")).jobs == 2
    assert share([job(None)] * 5, None, 4, ("0", "1")).jobs == 4


def test_the_gpus_that_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A batch job would train on GPUs that were given to others."""
    monkeypatch.setattr(machine, "gpus_of_torch", lambda: "cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-1f,")
    assert gpus() == ("3", "GPU-1f")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(machine, "nvidia_gpus", lambda: ["GPU-1", "MIG-2"])
    assert gpus() == ("GPU-1", "MIG-2")
    monkeypatch.setattr(machine, "gpus_of_torch", lambda: "hip")
    monkeypatch.setattr(machine, "amd_devices", lambda: 2)
    assert gpus() == ("0", "1")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    assert gpus() == ("1",)
    monkeypatch.setattr(machine, "gpus_of_torch", lambda: None)
    assert gpus() == (), "this PyTorch is built for CPUs: all cores are for the jobs"
    monkeypatch.undo()
    for bus in ("0000:17:00.0", "0000:65:00.0"):
        (tmp_path / bus).mkdir()
    assert machine.nvidia_devices(tmp_path) == 2
