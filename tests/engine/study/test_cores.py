"""More threads than cores make every job of a study many times slower."""

import itertools
from pathlib import Path

import pytest

from descent.common import machine
from engine.study.folder import Job
from engine.study.queue import environment, gpus, share


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
    assert share([job(None)] * 5, None, 4, ("0", "1")).jobs == 4


def test_the_gpus_that_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A batch job would train on GPUs that were given to others."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-1f,")
    assert gpus() == ("3", "GPU-1f")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(machine, "nvidia_devices", lambda: 2)
    assert gpus() == ("0", "1")
    monkeypatch.undo()
    for bus in ("0000:17:00.0", "0000:65:00.0"):
        (tmp_path / bus).mkdir()
    assert machine.nvidia_devices(tmp_path) == 2
