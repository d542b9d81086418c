"""A study that Ray trains must come to what this machine's own queue comes to, whatever happens in between."""

import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from descent.common.errors import DescentError
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.study import ray as study_ray
from engine.study.folder import Job, Study
from engine.study.ray import Ray
from engine.study.results import Outcome
from tests.helpers.held_run import Held
from tests.helpers.processes import Child
from tests.helpers.studies import Studies, rows
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]
PLAN = ("held.toml", "--allow-code", "--repeats")
with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="not installed: ray (pip install -e '.[ray]')"
)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Studies]:
    shell = Studies(tmp_path, {name: text for name, text in os.environ.items() if name != "RAY_ADDRESS"})
    yield shell
    (tmp_path / "gate").unlink(missing_ok=True)
    shell.end()


def _states(run: RunFolder) -> list[str]:
    return [event["state"] for event in run.events() if event["event"] == "state"]


def _training(runs: list[RunFolder]) -> list[RunFolder]:
    return [run for run in runs if worker_pid(run.path) is not None]


def _starter(run: RunFolder) -> int:
    """The process that has started the job's: Ray's worker."""
    pid = worker_pid(run.path)
    assert pid is not None
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@with_ray
@pytest.mark.long
def test_a_study_on_ray_is_that_of_this_machine_though_a_worker_is_killed(shell: Studies, held: Held) -> None:
    """A job whose worker was killed would be missing, be trained twice at once, or have other numbers."""
    board = shell.begin("run", *PLAN, "3", "--id", "there", "--on", "ray", "--jobs", "2")
    runs = shell.runs("there", 3)
    held.wait()
    killed, other = _training(runs)
    os.kill(_starter(killed), signal.SIGKILL)
    lines = iter(board.stdout or ())
    headline = next(lines)
    assert "there: 3 jobs, 3 queued on Ray (local, 1 node, " in headline
    told = next(line for line in lines if "queued again at step " in line)
    assert f"job {int(killed.id[-4:])}" in told
    held.release()
    out, err = board.communicate()
    assert (board.returncode, err) == (0, ""), out + err
    once = ["starting", "running", "finished"]
    assert _states(killed) == ["starting", "running", "stopped", *once]
    assert _states(other) == once
    assert [len(Metrics(run.path)) for run in runs] == [130] * 3
    assert "raylet" not in out
    assert shell("run", *PLAN, "3", "--id", "here")[0] == 0
    here, there = (rows(shell("show", name, "--csv", "-")[1]) for name in ("here", "there"))
    assert len(here) == 3
    assert here == there


@with_ray
@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_save_when_the_command_ends_and_go_on(shell: Studies, held: Held, how: signal.Signals) -> None:
    """What was trained since the last checkpoint would be lost, or processes would stay behind."""
    board = shell.begin("run", *PLAN, "3", "--id", "mine", "--on", "ray", "--jobs", "2", "--json")
    runs = shell.runs("mine", 3)
    held.wait()
    begun = _training(runs)
    workers = {_starter(run) for run in begun}
    board.send_signal(how)
    if how == signal.SIGKILL:
        wait_for(lambda: not workers & {_starter(run) for run in begun}, "the workers to end")
    else:
        assert any("stopping: each job finishes its step and saves" in line for line in board.stderr or ())
    held.release()
    board.communicate()
    assert board.returncode == (-how if how == signal.SIGKILL else 128 + how)
    wait_for(lambda: not _training(runs), "the jobs to end")
    assert [_states(run) for run in begun] == [["starting", "running", "stopped"]] * 2
    code, out, err = shell("run", "mine", "--on", "ray", "--json")
    assert code == 0, out + err
    assert [len(Metrics(run.path)) for run in runs] == [130] * 3


@with_ray
@pytest.mark.long
def test_a_lost_node_costs_no_job_and_two_share_a_gpu(
    shell: Studies, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study would wait for ever for what trained there, or give each job a GPU of its own."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=100 << 20)]
        words = ("--on", "ray", "--address", cluster.address)
        board = shell.begin("run", *PLAN, "3", "--id", "lost", *words, "--gpus", "0.5")
        runs = shell.runs("lost", 3)
        held.wait()
        lines = iter(board.stdout or ())
        assert f"3 queued on Ray ({cluster.address}, 2 nodes, 2 CPU, 1 GPU)" in next(lines)
        assert any("1 pending (waiting for 1 CPU, 0.5 GPU)" in line for line in lines)
        cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=100 << 20)
        cluster.remove_node(nodes[0], allow_graceful=False)
        held.release()
        out, err = board.communicate()
        assert board.returncode == 0, out + err
        assert [len(Metrics(run.path)) for run in runs] == [130] * 3
        board = shell.begin("run", *PLAN, "1", "--id", "large", *words, "--gpus", "2")
        assert any("1 pending (no node has 1 CPU, 2 GPU)" in line for line in board.stdout or ())
        board.send_signal(signal.SIGINT)
        board.communicate()
        assert board.returncode == 130
    finally:
        cluster.shutdown()


@with_ray
@pytest.mark.long
def test_each_job_sees_the_gpu_that_ray_gives_it_and_no_other(
    shell: Studies, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All jobs would train on the first GPU of their machine, or one that names the second would fail there."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 2, "num_gpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        words = ("--on", "ray", "--address", cluster.address)
        board = shell.begin("run", *PLAN, "2", "--id", "both", *words)
        runs = shell.runs("both", 2)
        held.wait()
        seen = [_environment(run).get("CUDA_VISIBLE_DEVICES") for run in _training(runs)]
        held.release()
        out, err = board.communicate()
        assert board.returncode == 0, out + err
        assert sorted(map(str, seen)) == ["0", "1"]
        code, _out, err = shell("run", *PLAN, "2", "--id", "named", *words, "--set", "train.device=cuda:1")
        assert code == 2
        assert 'job 0: train.device = "cuda:1", but Ray gives a job 1 GPU' in err
        assert f"continue with: descent study run named --on ray --address {cluster.address}" in err
    finally:
        cluster.shutdown()


def _environment(run: RunFolder) -> dict[str, str]:
    """Of the process that trains a run."""
    text = Path(f"/proc/{worker_pid(run.path)}/environ").read_text()
    return dict(line.partition("=")[::2] for line in text.split("\0") if line)


def test_ray_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study would be planned that nobody trains, with a traceback."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DescentError, match=r"--on ray: .* pip install 'descent-console\[ray\]'"):
        Ray(at_once=None, gpus=None, address=None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"at_once": 0}, "--jobs 0: must be 1 or more"),
        ({"gpus": 1.5}, "--gpus 1.5: must be a part of one GPU"),
        ({"gpus": -1.0}, "--gpus -1.0: must be"),
        ({"address": "ray://gpu1:10001"}, "--address ray://gpu1:10001: Ray Client"),
    ],
)
def test_wrong_options_are_told_before_anything_is_planned(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(DescentError, match=said):
        Ray(**{"at_once": None, "gpus": None, "address": None, **wrong})


@pytest.mark.slow
def test_options_of_ray_are_refused_without_it(descent: Descent) -> None:
    words = ("study", "run", "digits-mlp", "--repeats", "2")
    assert "--gpus 0.5: needs --on ray" in descent(*words, "--gpus", "0.5").end().err
    assert "--address auto: needs --on ray" in descent(*words, "--on", "slurm", "--address", "auto").end().err


def test_an_address_where_nobody_answers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait there for two minutes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DescentError, match=f"--on ray, {address}: .*refused"):
        _after(FakeRay(), tmp_path, monkeypatch, address)


class FakeRay:
    """A cluster all of whose workers end in one way, which a real one does not on demand."""

    class exceptions:  # noqa: N801 - as Ray's module is called
        RayError = type("RayError", (Exception,), {})
        TaskCancelledError = type("TaskCancelledError", (RayError,), {})
        RayTaskError = type("RayTaskError", (RayError,), {"cause": FileNotFoundError(2, "No such file", "/jobs")})

    def __init__(self, *told: object) -> None:
        self._told, self.started, self.gpus = told, 0, 0.0
        self.shutdown = self.init = lambda **_options: None
        self.cloudpickle = SimpleNamespace(register_pickle_by_value=lambda _module: None)

    def remote(self, **_options: Any) -> Any:
        return lambda _function: SimpleNamespace(remote=self._start)

    def _start(self, *_arguments: Any) -> Iterator[object]:
        self.started += 1
        return iter(self._told)

    def wait(self, streams: list[Any], **_options: Any) -> tuple[list[Any], list[Any]]:
        return streams, []

    def get(self, told: object) -> object:
        if isinstance(told, Exception):
            raise told
        return told

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": self.gpus}


@pytest.mark.parametrize(
    ("device", "gpus", "there", "said"),
    [
        ("cuda:1", None, 4.0, 'train.device = "cuda:1", but Ray gives a job 1 GPU, .* "cuda" is whichever'),
        ("cuda:2", 2.0, 4.0, 'train.device = "cuda:2", but Ray gives a job 2 GPU'),
        ("xpu:1", 0.25, 4.0, 'Ray gives a job 0.25 GPU, .* "xpu" is whichever'),
        ("cuda", 0.0, 4.0, 'train.device = "cuda", but a job gets no GPU: --gpus 0'),
        ("cuda:0", None, 0.0, "but a job gets no GPU: the cluster has none"),
        ("cuda:1", 2.0, 4.0, None),
        ("cuda:0", 0.25, 4.0, None),
        ("auto", 0.0, 4.0, None),
        ("cpu", None, 4.0, None),
    ],
)
def test_a_gpu_that_ray_would_not_show_to_a_job_is_refused_before_it_is_queued(
    device: str, gpus: float | None, there: float, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All jobs of a study would fail one after another, or be thought to train on another GPU than they do."""
    fake = FakeRay("gpu1", 0)
    fake.gpus = there
    monkeypatch.setattr(study_ray, "_imported", lambda: fake)
    job = Job(0, "s-0000", 0, 0, 0, {}, (), None, device)
    study = Study(tmp_path, "p.toml", (), (), 1, None, (job,))
    engine = Ray(at_once=None, gpus=gpus, address=None)
    if said is None:
        engine.submit(study, [job])
        assert fake.started == 1
        return
    with pytest.raises(DescentError, match=said):
        engine.submit(study, [job])
    assert fake.started == 0


def _after(fake: FakeRay, folder: Path, monkeypatch: pytest.MonkeyPatch, address: str = "local") -> str | None:
    """Hand over one job, and return what is known of it when the cluster no longer has it."""
    monkeypatch.setattr(study_ray, "_imported", lambda: fake)
    job = Job(0, "s-0000", 0, 0, 0, {}, (), None, "auto")
    study = Study(folder, "p.toml", (), (), 1, None, (job,))
    engine = Ray(at_once=None, gpus=None, address=address)
    assert engine.submit(study, [job]) == "1 queued on Ray (local, 1 node, 2 CPU)"
    while engine.tasks(study):
        assert fake.started < 20
    return engine.why_gone(study, Outcome(job, "waiting"))


@pytest.mark.parametrize("last", [FakeRay.exceptions.RayError("the worker died"), -signal.SIGKILL, 138])
def test_a_job_that_is_lost_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: object
) -> None:
    """One that needs more memory than there is would kill workers for ever."""
    fake = FakeRay("gpu1", last)
    assert (_after(fake, tmp_path, monkeypatch) or "").startswith("lost 6 times; the last time: ")
    assert fake.started == 6


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            FakeRay.exceptions.RayTaskError(),
            "gpu1: .*No such file.*; all machines must see the folder of the studies",
        ),
        (2, "its process ended with exit code 2; see .*s-0000/log"),
    ],
)
def test_a_job_that_fails_by_itself_is_not_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: object, said: str
) -> None:
    fake = FakeRay("gpu1", last)
    why = _after(fake, tmp_path, monkeypatch)
    assert why is not None
    assert re.search(said, why), why
    assert fake.started == 1
