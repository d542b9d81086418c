"""More threads than cores make every job of a study many times slower."""

import itertools

from engine.study.budget import share
from engine.study.folder import Job


def job(threads: int | None) -> Job:
    return Job(0, "x-0000", 0, 0, 0, {}, (), threads, "cpu")


def test_jobs_times_threads_never_exceed_the_cores() -> None:
    """Threads that spin at barriers while a core is taken away stop a machine."""
    for cores, wanted, fixed in itertools.product((1, 2, 3, 16, 65), (None, 1, 2, 5, 100), (None, 1, 2, 5)):
        budget = share([job(fixed), job(None)] * 20, wanted, cores)
        assert budget.jobs >= 1
        assert budget.threads >= 1
        assert budget.jobs * budget.threads <= cores
        if fixed is not None and fixed <= cores:
            assert budget.jobs * fixed <= cores
        assert budget.jobs <= (wanted or cores)


def test_a_core_each_where_nothing_is_said() -> None:
    """A study would leave cores idle, or start more processes than it has jobs."""
    assert share([job(None)] * 20, None, 8).jobs == 8
    assert share([job(None)] * 2, None, 8).jobs == 2
    assert share([job(None)] * 2, None, 8).threads == 4
