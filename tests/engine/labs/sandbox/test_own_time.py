"""On a machine on which thirty gradings run at once, right code must not be told that it ran too long."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.labs.sandbox import own_time
from engine.labs.sandbox.own_time import LEAST_SHARE, OwnTime, queued
from tests.helpers.waiting import wait_for

_BUSY = "import os; os.sched_setaffinity(0, {cpu})\nwhile True: pass"


def test_time_that_is_waited_for_a_processor_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = 100.0, 7.0
    monkeypatch.setattr(own_time, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(own_time, "queued", lambda pid: waited)
    spent = OwnTime(1)
    now = 103.0
    assert spent.seconds() == 3.0
    waited = 9.0
    assert spent.seconds() == 1.0
    now, waited = 200.0, 107.0  # in a crowd that it makes itself
    assert spent.seconds() == pytest.approx(100 * LEAST_SHARE)
    waited = 0.0  # it has ended
    assert spent.seconds() == 100.0


def test_a_process_that_shares_a_processor_waits_for_it() -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel does not tell how long a process waits")
    words = [sys.executable, "-c", _BUSY.format(cpu=set(list(os.sched_getaffinity(0))[:1]))]
    busy = [subprocess.Popen(words) for _ in range(2)]
    try:
        wait_for(lambda: all(queued(one.pid) > 0.1 for one in busy), "both to have waited")
        longest = max(queued(one.pid) for one in busy)
        assert queued(os.getpid()) >= longest  # with those below it
    finally:
        for one in busy:
            one.kill()
            one.wait()
    assert queued(busy[0].pid) == 0.0
