"""A training that becomes much slower must be told once, with what helps; and a moment's stutter never."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine.training import monitor
from engine.training.monitor import RateWatch


class Watched:
    """A watch on a run whose steps take as long as is said."""

    def __init__(self, device: str = "cpu", seconds: float = 0.0) -> None:
        self.told: list[dict[str, Any]] = []
        batches = SimpleNamespace(size=64, augment=None)
        self.run: Any = SimpleNamespace(batches=batches, statistics_every=10, device=torch.device(device))
        self._watch = RateWatch(self.run, lambda **values: self.told.append(values))
        self._step, self._seconds = 0, seconds

    def train(self, seconds: float, rate: float) -> None:
        """So long, at so many steps a second; rows come ten times a second."""
        for _ in range(round(10 * seconds)):
            count = round(rate / 10)
            self._watch.rows(self._step, self._seconds + np.arange(1, count + 1) / rate)
            self._step, self._seconds = self._step + count, self._seconds + count / rate


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor.torch, "get_num_threads", lambda: 2)


@pytest.mark.usefixtures("two_threads")
def test_a_rate_that_drops_by_half_is_told_once_with_what_helps() -> None:
    watched = Watched()
    watched.train(10, rate=1000)
    watched.train(60, rate=400)
    (event,) = watched.told
    assert 10_000 < event["step"] < 12_500
    assert event["steps_per_second"] == pytest.approx(400, rel=0.05)
    assert event["usual"] == pytest.approx(1000, rel=0.05)
    assert (event["threads"], event["try"]) == (2, "train.threads=1")


@pytest.mark.usefixtures("two_threads")
def test_a_drop_is_told_after_weeks_of_training_too() -> None:
    """Times in float32 are half a second apart by then."""
    watched = Watched(seconds=1200 * 3600.0)
    watched.train(10, rate=1000)
    watched.train(10, rate=400)
    (event,) = watched.told
    assert event["steps_per_second"] == pytest.approx(400, rel=0.05)
    assert event["usual"] == pytest.approx(1000, rel=0.05)


@pytest.mark.usefixtures("two_threads")
def test_it_is_told_again_once_the_rate_has_been_back() -> None:
    watched = Watched()
    for rate in (1000, 400, 1000, 400):
        watched.train(12, rate)
    assert [event["step"] // 10_000 for event in watched.told] == [1, 3]


def test_a_stutter_and_a_slower_kind_of_step_are_no_matter() -> None:
    watched = Watched()
    watched.train(10, rate=1000)
    watched.train(2, rate=100)
    watched.train(10, rate=1000)
    watched.run.batches.size = 256  # a person has set it
    watched.train(20, rate=300)
    assert watched.told == []


def test_one_thread_is_not_told_to_use_fewer() -> None:
    watched = Watched()
    watched.train(10, rate=1000)
    watched.train(10, rate=300)
    assert [event.keys() for event in watched.told] == [{"step", "steps_per_second", "usual"}]
